// Compiles every CUDA kernel for the architectures we ship, and compares what each uses of a multiprocessor with
// native/cuda/resources.json. A kernel that spills registers is an error, and so is one whose registers or shared memory differ
// from the table: `node scripts/check-cuda.mjs --write` writes it anew. Names of files without their ending (`batch_norm reduce`) leave all others
// out, in the table as they are. Needs nvcc (NVCC names one), no card.
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { devNull } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ARCHITECTURES = ['80', '90a'];
const root = dirname(dirname(fileURLToPath(import.meta.url)));
const folder = join(root, 'native', 'cuda');
const table = join(folder, 'resources.json');
const nvcc = process.env.NVCC ?? 'nvcc';

function run(command, args, input) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8', input, maxBuffer: 1 << 28 });
  if (error || status !== 0) {
    console.error(`check-cuda: ${command} failed: ${error?.message ?? stderr}`);
    process.exit(1);
  }
  return stdout + stderr;
}

/** ptxas' report on one file: 'sm_80 mangled name' -> registers, shared bytes, bytes spilled. The host's side is compiled too, as in a build. */
function compile(file) {
  const codes = ARCHITECTURES.map((architecture) => `-gencode=arch=compute_${architecture},code=sm_${architecture}`);
  const options = ['-std=c++20', '-O3', '-Xcompiler=-O0', '-Xptxas=-v', '-c', '-o', devNull];
  const report = run(nvcc, [...options, ...codes, file]);
  const kernels = new Map();
  let name;
  for (const line of report.split('\n')) {
    const [, entry, architecture] = /Compiling entry function '(\S+)' for '(\S+)'/.exec(line) ?? [];
    if (entry) {
      name = `${architecture} ${entry}`;
      kernels.set(name, { registers: 0, shared: 0, spilled: 0 });
    }
    const spilled = /(\d+) bytes spill stores, (\d+) bytes spill loads/.exec(line); // of a kernel, or of a function it calls
    if (spilled && name) kernels.get(name).spilled += Number(spilled[1]) + Number(spilled[2]);
    const used = /Used (\d+) registers/.exec(line);
    if (used && name)
      Object.assign(kernels.get(name), {
        registers: Number(used[1]),
        shared: Number(/(\d+) bytes smem/.exec(line)?.[1] ?? 0),
      });
  }
  return kernels;
}

const stems = process.argv.slice(2).filter((argument) => !argument.startsWith('--'));
const chosen = (file) => stems.length === 0 || stems.includes(file.slice(0, -'.cu'.length));
const files = readdirSync(folder)
  .filter((name) => name.endsWith('.cu'))
  .sort();
const unknown = stems.filter((stem) => !files.includes(`${stem}.cu`));
if (unknown.length) {
  console.error(`check-cuda: there is no ${unknown.join(', ')} in native/cuda`);
  process.exit(1);
}
const { compiler: release, kernels: written } = JSON.parse(readFileSync(table, 'utf8'));
const compiler = run(nvcc, ['--version']).match(/release [\d.]+/)?.[0];
const found = {};
const spills = [];
for (const file of files) {
  if (!chosen(file)) {
    for (const [name, used] of Object.entries(written)) if (name.startsWith(`${file} `)) found[name] = used;
    continue;
  }
  const kernels = [...compile(join(folder, file))];
  if (kernels.length === 0) continue;
  const readable = run('c++filt', [], kernels.map(([key]) => key).join('\n'))
    .trim()
    .split('\n');
  kernels.forEach(([, { registers, shared, spilled }], i) => {
    const [, architecture, entry] = /^(\S+) (.*)$/.exec(readable[i]);
    const name = entry
      .replace(/rescunet::cuda::|\(anonymous namespace\)::|_GLOBAL__N__\w+::|^void /g, '')
      .replace(/\(.*$/, '');
    if (spilled) spills.push(`${file} ${name} ${architecture}: ${spilled} bytes`);
    found[`${file} ${name}`] = { ...found[`${file} ${name}`], [architecture]: [registers, shared] };
  });
}

if (spills.length) {
  console.error(`check-cuda: registers are spilled:\n  ${spills.join('\n  ')}`);
  process.exit(1);
}
const text = `${JSON.stringify(
  {
    compiler,
    columns: ['registers', 'shared bytes'],
    kernels: found,
  },
  null,
  1,
)
  .replace(/\[\s+(\d+),\s+(\d+)\s+\]/g, '[$1, $2]')
  .replace(/\{\s+("sm_\d+a?": \[\d+, \d+\]),\s+("sm_\d+a?": \[\d+, \d+\])\s+\}/g, '{ $1, $2 }')}\n`;
if (process.argv.includes('--write')) writeFileSync(table, text);
else if (compiler !== release)
  console.log(`check-cuda: registers are not compared: the table is of nvcc ${release}, this is ${compiler}`);
else if (readFileSync(table, 'utf8') !== text) {
  const changed = [...new Set([...Object.keys(written), ...Object.keys(found)])].filter(
    (name) => JSON.stringify(written[name]) !== JSON.stringify(found[name]),
  );
  for (const name of changed)
    console.error(`  ${name}: ${JSON.stringify(written[name])} -> ${JSON.stringify(found[name])}`);
  console.error(
    'check-cuda: the kernels use other resources than native/cuda/resources.json says; look at the change, then run with --write',
  );
  process.exit(1);
}
console.log(`check-cuda: ${Object.keys(found).length} kernels, no spills`);
