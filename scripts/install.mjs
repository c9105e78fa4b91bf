// Compiles the native addon into build/Release/rescunet.node: with CMake where it exists, else with node-gyp.
// RESCUNET_BUILD=cmake|gyp picks one. RESCUNET_CUDA=AUTO|ON builds the CUDA kernels too (CMake only), which takes minutes.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const require = createRequire(import.meta.url);

const succeeds = (command, args) => spawnSync(command, args, { stdio: 'ignore' }).status === 0;

function fail(sentence) {
  console.error(`@rescunet/core: ${sentence}`);
  process.exit(1);
}

// A compiler that says yes to -std=c++20 but lacks the library headers is no use either: compile something.
function hasCompiler() {
  const folder = mkdtempSync(join(tmpdir(), 'rescunet-'));
  const source = join(folder, 'probe.cc');
  writeFileSync(
    source,
    '#include <concepts>\n#include <thread>\ntemplate <std::integral T> T f(T x) { return x; }\nint main() { return f(0); }\n',
  );
  const candidates = [process.env.CXX, 'c++', 'g++', 'clang++'].filter(Boolean);
  const found = candidates.some((cxx) => succeeds(cxx, ['-std=c++20', '-fsyntax-only', source]));
  rmSync(folder, { recursive: true, force: true });
  return found;
}

function run(script, args) {
  const result = spawnSync(process.execPath, [script, ...args], { cwd: root, stdio: 'inherit' });
  if (result.status !== 0) fail('the native addon did not compile; the compiler output above says why.');
}

if (!hasCompiler()) {
  fail(
    'a C++20 compiler is needed to build the native kernels (g++ 10 or clang 12 and later; on Debian or Ubuntu: apt-get install g++ make cmake).',
  );
}
const jobs = String(Math.max(1, availableParallelism()));
const builder = process.env.RESCUNET_BUILD ?? (succeeds('cmake', ['--version']) ? 'cmake' : 'gyp');
if (builder === 'cmake') {
  const cuda = process.env.RESCUNET_CUDA ?? 'OFF';
  if (!['AUTO', 'ON', 'OFF'].includes(cuda)) fail(`RESCUNET_CUDA: AUTO, ON or OFF, got '${cuda}'`);
  run(join(dirname(require.resolve('cmake-js/package.json')), 'bin', 'cmake-js'), [
    'compile',
    '--parallel',
    jobs,
    `--CDRESCUNET_CUDA=${cuda}`,
  ]);
} else {
  // Node's own headers, where its installation has them, save node-gyp a download.
  const prefix = dirname(dirname(process.execPath));
  const local = existsSync(join(prefix, 'include', 'node', 'node_api.h')) ? [`--nodedir=${prefix}`] : [];
  run(join(dirname(require.resolve('node-gyp/package.json')), 'bin', 'node-gyp.js'), [
    'rebuild',
    '--jobs',
    jobs,
    ...local,
  ]);
}
if (!existsSync(join(root, 'build', 'Release', 'rescunet.node')))
  fail('the build ended without build/Release/rescunet.node.');
