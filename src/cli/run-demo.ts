// The work behind demo.
import path from 'node:path';
import { runDemo as drawAndComplete, writeDemo } from '../pipeline/demo.js';
import type { DemoOptions } from './demo.js';
import { EXIT_OK } from './errors.js';
import { beginFolder, prepareOut } from './output.js';
import type { Reporter } from './reporter.js';

export async function runDemo(
  { seed, out, yaw, completion, fit: from }: DemoOptions,
  reporter: Reporter,
): Promise<number> {
  prepareOut(out);
  const begin = performance.now();
  const progress = await reporter.start(2, 'steps');
  let files: string[];
  let demo: Awaited<ReturnType<typeof drawAndComplete>>;
  try {
    progress.show('draw a person, photograph it, fit, unwrap, complete, render');
    const method = completion === 'mirror' ? ({ method: 'mirror' } as const) : undefined;
    demo = await drawAndComplete({ seed, yaw, fit: from, completion: method });
    progress.advance();
    progress.show('write files');
    beginFolder(out);
    files = await writeDemo(out, demo);
    progress.advance();
  } finally {
    progress.stop();
  }
  const seconds = Number(((performance.now() - begin) / 1000).toFixed(2));
  const { fit, face, hidden, before, poseError, landmarkError } = demo;
  const quality = ({ psnr, ssim }: typeof face) => `PSNR ${psnr.toFixed(2)} dB, SSIM ${ssim.toFixed(4)}`;
  reporter.line(`person ${seed}, drawn by the package's own face model, photographed at yaw 45`);
  const source =
    from === 'pixels' ? 'by the cascade that ships, given the box around the face' : 'to the true landmarks';
  reporter.line(`fitted ${source}:`);
  reporter.line(
    `  yaw ${fit.yaw.toFixed(1)} pitch ${fit.pitch.toFixed(1)} roll ${fit.roll.toFixed(1)}, ${poseError.toFixed(2)} degrees off,` +
      ` landmarks ${landmarkError.toFixed(2)} % off`,
  );
  reporter.line(`texture against the known truth (hidden parts by ${completion}):`);
  reporter.line(`  before completion  ${quality(before)}`);
  reporter.line(`  completed          ${quality(face)}`);
  reporter.line(`  hidden part only   ${quality(hidden)}`);
  reporter.line(`files in ${path.resolve(out)} (${seconds} s):`);
  for (const name of FIRST) if (files.includes(name)) reporter.line(`  ${name.padEnd(15)} ${ABOUT[name]}`);
  const views = files.filter((name) => name.startsWith('views/')).length;
  reporter.line(`  ${'views/'.padEnd(15)} the ${views} views one by one`);
  reporter.document({
    command: 'demo',
    seed,
    fit: from,
    landmarkError,
    completion,
    pose: { yaw: fit.yaw, pitch: fit.pitch, roll: fit.roll, error: poseError },
    rmse: fit.rmse,
    before,
    face,
    hidden,
    folder: path.resolve(out),
    files,
    seconds,
  });
  demo.dispose();
  return EXIT_OK;
}

const ABOUT: Record<string, string> = {
  'photo.png': 'the photo with its landmarks',
  'incomplete.png': 'what it shows of the texture',
  'mask.png': 'which part of that is seen',
  'completed.png': 'the completed texture',
  'truth.png': 'the true one',
  'sheet.png': 'the turntable',
  'face.obj': 'the face with its texture (face.mtl, face.png)',
  'face.glb': 'the same in one file',
  'fit.json': 'pose, shape, expression, landmarks',
};
const FIRST = Object.keys(ABOUT);
