// Packs what measures a card (bench/card.ts) for a machine that has a card and a driver, and neither node nor a network:
//   node scripts/prepare-card.mjs [--folder .card] [--build build-cuda] [--sim]
// The addon with its CUDA kernels is built here (some ten minutes, unless it is there), and must load without a driver; the benches and the cases are
// bundled; node goes along. Both binaries are stripped and compressed. --sim packs build-sim's addon instead, to prove the script. Prints the command to give there.
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, cpSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { build } from 'esbuild'; // comes with vitest

const LIMIT = 64 << 20;
const PROGRAMS = ['card', 'card-cases', 'card-gaps', 'convolutions', 'step', 'step-subject'];

const { values: given } = parseArgs({
  options: {
    folder: { type: 'string', default: '.card' },
    build: { type: 'string' },
    sim: { type: 'boolean', default: false },
  },
});
const root = dirname(dirname(fileURLToPath(import.meta.url)));
const folder = join(root, given.folder);
const built = given.build ?? (given.sim ? 'build-sim' : 'build-cuda');
const run = (command, args, options = {}) =>
  execFileSync(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8', ...options });

rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });

const cmake = join(dirname(createRequire(import.meta.url).resolve('cmake-js/package.json')), 'bin', 'cmake-js');
const kind = given.sim ? '--CDRESCUNET_SIM=ON' : '--CDRESCUNET_CUDA=ON';
run(process.execPath, [cmake, 'compile', '--out', built, kind], { stdio: 'inherit' });
const addon = join(folder, 'rescunet.node');
copyFileSync(join(root, built, 'Release', 'rescunet.node'), addon);
run('strip', ['-x', addon]);
// In a process of its own, as it will be loaded there; here it must not want a driver.
const ask = `const { devices, info } = require(${JSON.stringify(addon)}); console.log(devices().join(', '), '|', info().cuda)`;
const loaded = run(process.execPath, ['-e', ask]).trim();

await build({
  absWorkingDir: root,
  entryPoints: PROGRAMS.map((name) => `bench/${name}.ts`),
  outdir: join(folder, 'js'),
  outbase: '.',
  bundle: true,
  platform: 'node',
  format: 'esm',
  // Packages written for require() ask for it by name.
  banner: {
    js: "import { createRequire as requireOf } from 'node:module'; const require = requireOf(import.meta.url);",
  },
});
writeFileSync(join(folder, 'js', 'package.json'), '{ "type": "module" }\n');
cpSync(join(root, 'bench', 'peers'), join(folder, 'js', 'bench', 'peers'), {
  recursive: true,
  filter: (path) => !/\.ts$|__pycache__/.test(path),
});

const node = join(folder, 'node');
run('strip', ['-s', '-o', node, process.execPath]);
for (const binary of [node, addon]) run('xz', [given.sim ? '-0' : '-6', '-T2', '-f', binary]);

const commit = run('git', ['rev-parse', '--short', 'HEAD']).trim();
const script = join(folder, 'run.sh');
writeFileSync(
  script,
  `#!/bin/sh
# Measures the card of this machine; written by scripts/prepare-card.mjs. Arguments go to bench/card.ts.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
for file in node rescunet.node; do
  xz -dc "$here/$file.xz" > "$place/$file" 2>/dev/null ||
    python3 -c 'import lzma, shutil, sys; shutil.copyfileobj(lzma.open(sys.argv[1]), open(sys.argv[2], "wb"))' "$here/$file.xz" "$place/$file"
done
chmod +x "$place/node"
RESCUNET_ADDON="$place/rescunet.node" RESCUNET_COMMIT=${commit} "$place/node" "$here/js/bench/card.js" "$@"
`,
);
chmodSync(script, 0o755);

const sizeOf = (path) => {
  const entry = statSync(path);
  return entry.isDirectory() ? readdirSync(path).reduce((sum, name) => sum + sizeOf(join(path, name)), 0) : entry.size;
};
const bytes = sizeOf(folder);
console.log(`${given.folder}: ${(bytes / 2 ** 20).toFixed(1)} MiB; the addon loads here, devices: ${loaded}`);
if (bytes > LIMIT) {
  console.error(`prepare-card: ${given.folder} is larger than ${LIMIT >> 20} MiB`);
  process.exit(1);
}
console.log(`there, with the folder ${given.folder} carried along:\n  sh ${given.folder}/run.sh --out "$OUT"`);
