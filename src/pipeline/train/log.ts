import { appendFileSync } from 'node:fs';
export class RunLog {
  constructor(
    private readonly run: string,
    _from: number,
  ) {}
  scalars(step: number, v: Record<string, number>): void {
    appendFileSync(`${this.run}/metrics.jsonl`, JSON.stringify({ step, ...v }) + '\n');
  }
  image(_s: number, _n: string, _p: unknown): void {}
  close(): void {}
}
