// The work behind fit, unwrap, complete and synth: options checked and networks loaded once, then photo by photo.
// Contract: everything that can be refused is refused before the first photo is read.
import path from 'node:path';
import { FormatError } from '../formats/error.js';
import type { CompleteOptions } from '../pipeline/complete.js';
import type { ConvertOptions } from '../pipeline/face_model.js';
import { fitPhoto } from '../pipeline/fit.js';
import { type Fit, fitRecord } from '../pipeline/fit-face.js';
import { type Pixels, readPixels } from '../pipeline/image.js';
import { type FaceResults, writeFace } from '../pipeline/results.js';
import { completeFit, synthesiseFit, uvTableOf } from '../pipeline/synthesise.js';
import { unwrap } from '../pipeline/unwrap.js';
import { type Outcome, runBatch } from './batch.js';
import { UsageError } from './errors.js';
import { checkTable, writeTable } from './face-table.js';
import { findPhotos, type Input } from './inputs.js';
import { readLandmarks } from './landmarks.js';
import { type Fitting, loadCompletion, loadFitting } from './networks.js';
import { beginFolder, describeRun, finishedRun, prepareOut, readMarker } from './output.js';
import type { Stage } from './photo-command.js';
import type { PhotoOptions } from './photo-options.js';
import { PhotoWorkers } from './photo-workers.js';
import type { Progress, Reporter } from './reporter.js';

export async function runPhotos(
  stage: Stage,
  inputs: readonly string[],
  options: PhotoOptions,
  reporter: Reporter,
): Promise<number> {
  const found = await findPhotos(inputs);
  prepareOut(options.out);
  if (options.csv !== undefined) checkTable(options.csv);
  const workers = Math.min(options.workers ?? 1, found.photos.length);
  const finish = (photos: readonly Record<string, unknown>[]): Record<string, unknown> => {
    if (options.csv === undefined) return {};
    writeTable(options.csv, photos);
    reporter.line(`table of the faces -> ${options.csv}`);
    return { csv: options.csv };
  };
  const taker = await FaceTaker.load(stage, options, found.photos.length);
  if (workers <= 1) {
    const take = (photo: Input, progress: Progress) => taker.take(photo, (what) => progress.show(what));
    return runBatch(stage, found, reporter, take, { finish });
  }
  const crew = new PhotoWorkers(workers, { stage, options, photos: found.photos.length });
  try {
    const take = (photo: Input, progress: Progress) => crew.take(photo, (what) => progress.show(what));
    return await runBatch(stage, found, reporter, take, { lanes: workers, finish });
  } finally {
    crew.close();
  }
}

/** A photo's pixels. Throws UsageError for a file that is no image or a damaged one. */
export async function readPhoto(file: string): Promise<Pixels> {
  try {
    return await readPixels(file);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw new UsageError(`${error.message}; replace it by an intact photo`);
  }
}

/** Takes photos as far as a command goes, each into its folder. */
export class FaceTaker {
  private constructor(
    private readonly stage: Stage,
    private readonly options: PhotoOptions,
    private readonly fitting: Fitting,
    private readonly completion: CompleteOptions,
    private readonly uv: ConvertOptions['uv'],
  ) {}

  /** Throws UsageError or FormatError where options, weights or models are no use. */
  static async load(stage: Stage, options: PhotoOptions, photos: number): Promise<FaceTaker> {
    if (options.box && photos > 1)
      throw new UsageError('--box is for one photo; leave it out to find the faces of many');
    const completes = stage === 'complete' || stage === 'synth';
    const { complete, shipped } = completes ? await loadCompletion(options) : { complete: {}, shipped: false };
    const uv = shipped ? 'package' : 'own';
    return new FaceTaker(stage, options, loadFitting(options, photos, uv), complete, uv);
  }

  async take(photo: Input, show: (what: string) => void): Promise<Outcome> {
    const { out, force } = this.options;
    const folder = path.join(out, photo.name);
    const run = describeRun(this.stage, this.settings(), photo.file);
    const earlier = force ? undefined : finishedRun(folder, run);
    if (earlier) {
      const faces = facesOf(folder, earlier);
      return {
        skipped: true,
        summary: `already finished in ${folder}`,
        record: { folder, files: earlier.files, faces },
      };
    }
    show(`${photo.file}: fit`);
    const pixels = await readPhoto(photo.file);
    const fits = await this.fit(pixels, photo.file);
    beginFolder(folder);
    const names = fits.map((_, i) => (i === 0 ? '' : `face-${i + 1}`));
    const files: string[] = [];
    // The largest face last: its fit.json is the marker of the whole folder.
    for (let i = fits.length - 1; i >= 0; i--) {
      show(`${photo.file}: ${this.stage}${fits.length > 1 ? ` face ${i + 1} of ${fits.length}` : ''}`);
      const record = i === 0 ? { run, faces: fits.length } : { photo: run.photo.file, face: i + 1 };
      const written = await this.write(path.join(folder, names[i]), pixels, fits[i], record);
      files.push(...written.map((name) => path.posix.join(names[i], name)));
    }
    return {
      summary: `${describe(fits)} -> ${folder}`,
      record: { folder, files, faces: fits.map(brief) },
    };
  }

  private async fit(pixels: Pixels, file: string): Promise<Fit[]> {
    const { files: _, ...networks } = this.fitting;
    const { landmarks, box, faces } = this.options;
    if (landmarks) return fitPhoto(pixels, { ...networks, landmarks: readLandmarks(landmarks, file) });
    const fits = await fitPhoto(pixels, { ...networks, box, faces });
    if (fits.length === 0) {
      throw new UsageError(
        `${file}: no face found; name its place with --box left,top,right,bottom or try another --detector`,
      );
    }
    return fits;
  }

  private async write(folder: string, photo: Pixels, fit: Fit, record: Record<string, unknown>): Promise<string[]> {
    const { model } = this.fitting;
    const { size = 256, yaw, pitch, roll, viewSize } = this.options;
    const results: FaceResults = { photo, fit, units: model.units, record };
    const settings = { model, size, ...this.completion, yaw, pitch, roll, viewSize };
    switch (this.stage) {
      case 'fit':
        return writeFace(folder, results);
      case 'unwrap': {
        const { texture, mask, confidence } = unwrap(photo, fit.vertices, uvTableOf(model, size));
        const files = await writeFace(folder, { ...results, incomplete: texture, mask });
        for (const t of [texture, mask, confidence]) t.dispose();
        return files;
      }
      case 'complete': {
        const { unwrapped, completed, mesh } = completeFit(photo, fit, model, settings);
        const { texture, mask, confidence } = unwrapped;
        const files = await writeFace(folder, { ...results, incomplete: texture, mask, completed, mesh });
        for (const t of [texture, mask, confidence, completed]) t.dispose();
        return files;
      }
      case 'synth': {
        const synthesis = synthesiseFit(photo, fit, settings);
        const files = await writeFace(folder, { ...results, ...synthesis });
        synthesis.dispose();
        return files;
      }
    }
  }

  /** What the results depend on, for the marker. */
  private settings(): Record<string, unknown> {
    const { out: _, force: __, json: ___, quiet: ____, workers: _____, csv: ______, ...rest } = this.options;
    return { ...rest, ...this.fitting.files, uv: this.uv };
  }
}

/** A fit in a line. */
function describe(fits: readonly Fit[]): string {
  const { yaw, pitch, roll, rmse } = fits[0];
  const faces = fits.length === 1 ? '1 face' : `${fits.length} faces`;
  const error = rmse === undefined ? '' : `, landmarks within ${rmse.toFixed(2)} px rms`;
  return `${faces}, yaw ${yaw.toFixed(1)} pitch ${pitch.toFixed(1)} roll ${roll.toFixed(1)}${error}`;
}

/** A fit for --json: everything of fit.json that says where the face is, how it is turned and what it looks like. */
const brief = (fit: Fit): Record<string, unknown> => pick(fitRecord(fit) as Record<string, unknown>);

/** What the report of a run keeps of a fit. */
const BRIEF = 'method box score roi yaw pitch roll scale rmse landmarks alpha beta parameters'.split(' ');

const pick = (record: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(BRIEF.map((name) => [name, record[name]]));

/** The faces of a folder that an earlier run finished. */
function facesOf(folder: string, marker: Record<string, unknown>): Record<string, unknown>[] {
  const count = typeof marker.faces === 'number' ? marker.faces : 1;
  const more = Array.from({ length: count - 1 }, (_, i) => readMarker(path.join(folder, `face-${i + 2}`)) ?? {});
  return [marker, ...more].map(pick);
}
