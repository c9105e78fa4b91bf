// Seeded random numbers for drawing people: the same integer gives the same person on every machine.

export class Random {
  private state: number;
  private spare: number | undefined;

  /** Any integer; nearby seeds give unrelated sequences. */
  constructor(seed: number) {
    this.state = Math.imul(seed ^ (seed / 4294967296), 0x9e3779b1) ^ 0x7f4a7c15;
    for (let i = 0; i < 4; i++) this.uniform();
  }

  /** Uniform in [a, b), by the 32-bit mixer of a Weyl sequence. */
  uniform(a = 0, b = 1): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let t = this.state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return a + ((b - a) * ((t ^ (t >>> 14)) >>> 0)) / 4294967296;
  }

  /** Standard normal (polar method). */
  normal(): number {
    if (this.spare !== undefined) {
      const value = this.spare;
      this.spare = undefined;
      return value;
    }
    for (;;) {
      const a = this.uniform(-1, 1);
      const b = this.uniform(-1, 1);
      const s = a * a + b * b;
      if (s >= 1 || s === 0) continue;
      const scale = Math.sqrt((-2 * Math.log(s)) / s);
      this.spare = b * scale;
      return a * scale;
    }
  }

  /** Standard normal held within [-limit, limit] by drawing again. */
  truncated(limit: number): number {
    for (;;) {
      const value = this.normal();
      if (Math.abs(value) <= limit) return value;
    }
  }

  chance(p: number): boolean {
    return this.uniform() < p;
  }

  /** Integer in [0, n). */
  below(n: number): number {
    return Math.floor(this.uniform() * n);
  }
}
