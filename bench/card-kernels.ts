// The heaviest kernels of what Nsight Compute saw: `ncu --csv --page raw` as text, one row a launch.

/** Nanoseconds a launch took, and shares of what the multiprocessors, the memory and the tensor cores can do. */
export const METRICS = {
  nanoseconds: 'gpu__time_duration.sum',
  multiprocessors: 'sm__throughput.avg.pct_of_peak_sustained_elapsed',
  memory: 'dram__throughput.avg.pct_of_peak_sustained_elapsed',
  tensorCores: 'sm__inst_executed_pipe_tensor.avg.pct_of_peak_sustained_active',
} as const;

export interface Heavy {
  kernel: string;
  launches: number;
  milliseconds: number;
  /** Of all that was seen. */
  share: number;
  /** Per cent, weighted by time. */
  multiprocessors: number;
  memory: number;
  tensorCores: number;
}

/** One line of comma-separated values, some of them in quotes. */
function cells(line: string): string[] {
  return [...line.matchAll(/"((?:[^"]|"")*)"(?:,|$)|([^,]*)(?:,|$)/g)].map(
    ([, quoted, plain]) => quoted ?? plain ?? '',
  );
}

const UNITS: Record<string, number> = {
  ns: 1,
  nsecond: 1,
  us: 1e3,
  usecond: 1e3,
  ms: 1e6,
  msecond: 1e6,
  s: 1e9,
  second: 1e9,
};

/** The `count` kernels that took longest, all launches of a name together. Throws RangeError where the text has no such table. */
export function heaviest(csv: string, count = 5): Heavy[] {
  const lines = csv.split('\n').filter((line) => line.startsWith('"'));
  const head = cells(lines[0] ?? '');
  const column = (name: string): number => head.indexOf(name);
  const [name, time] = [column('Kernel Name'), column(METRICS.nanoseconds)];
  if (name < 0 || time < 0 || lines.length < 3) throw new RangeError(`no table of kernels in ${lines.length} lines`);
  const unit = UNITS[cells(lines[1])[time]] ?? 1;
  const sums = new Map<string, Heavy & { nanoseconds: number }>();
  let all = 0;
  for (const line of lines.slice(2)) {
    const row = cells(line);
    const kernel = row[name].replace(/^void /, '').replace(/\(anonymous namespace\)::|rescunet::cuda::/g, '');
    const nanoseconds = Number(row[time].replaceAll(',', '')) * unit;
    if (!(nanoseconds > 0)) continue;
    const sum = sums.get(kernel) ?? {
      kernel,
      launches: 0,
      milliseconds: 0,
      share: 0,
      multiprocessors: 0,
      memory: 0,
      tensorCores: 0,
      nanoseconds: 0,
    };
    sum.launches++;
    sum.nanoseconds += nanoseconds;
    all += nanoseconds;
    for (const key of ['multiprocessors', 'memory', 'tensorCores'] as const)
      sum[key] += nanoseconds * Number(row[column(METRICS[key])] ?? Number.NaN);
    sums.set(kernel, sum);
  }
  const sorted = [...sums.values()].sort((a, b) => b.nanoseconds - a.nanoseconds).slice(0, count);
  return sorted.map(({ nanoseconds, ...sum }) => ({
    ...sum,
    milliseconds: nanoseconds / 1e6,
    share: nanoseconds / all,
    multiprocessors: sum.multiprocessors / nanoseconds,
    memory: sum.memory / nanoseconds,
    tensorCores: sum.tensorCores / nanoseconds,
  }));
}
