// Seeds and a small cache, for code that must not load the engine (a loader's workers on shards).

/** One seed from several integers. */
export function seedOf(...parts: readonly number[]): number {
  let h = 0x811c9dc5;
  for (const part of parts) {
    h = Math.imul(h ^ part, 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
    h ^= h >>> 16;
  }
  return h >>> 0;
}

/** Keeps what was made last; `keep` entries. */
export class Recent<T> {
  private readonly entries = new Map<string, T>();

  constructor(private readonly keep: number) {}

  get(key: string, make: () => T): T {
    const found = this.entries.get(key) ?? make();
    this.entries.delete(key);
    this.entries.set(key, found);
    for (const oldest of this.entries.keys()) {
      if (this.entries.size <= this.keep) break;
      this.entries.delete(oldest);
    }
    return found;
  }
}
