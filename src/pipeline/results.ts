// The files that a face leaves in a folder. Contract: `fit.json` is written last and names the others, so that a folder without it is unfinished.
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { writeAtomicallySync } from '../formats/files.js';
import { saveGlb } from '../formats/glb.js';
import { saveObj } from '../formats/obj.js';
import { vertexNormals } from '../models/normals.js';
import { tensor } from '../tensor/create.js';
import type { Tensor } from '../tensor/tensor.js';
import { type Fit, fitRecord } from './fit-face.js';
import { encodeImage, type Pixels, toPixels, writeImage } from './image.js';
import { contactSheet, drawLandmarks } from './overlay.js';
import type { TexturedMesh } from './render.js';
import type { FaceView } from './synthesise.js';

export interface FaceResults {
  photo: Pixels | Tensor;
  fit: Fit;
  incomplete?: Tensor;
  mask?: Tensor;
  completed?: Tensor;
  /** The map that the completed one should be, where it is known. */
  truth?: Tensor;
  /** Model-space mesh with its texture. */
  mesh?: TexturedMesh;
  /** Unit of the mesh, as in `MorphableModel.units`. */
  units?: string;
  views?: readonly FaceView[];
  /** More for fit.json, before everything else. */
  record?: Record<string, unknown>;
}

const METRES: Readonly<Record<string, number>> = { um: 1e-6, mm: 1e-3, cm: 1e-2, m: 1 };

/**
 * Writes what is given of: `photo.png` (with landmarks), `incomplete.png`, `mask.png`, `completed.png`, `truth.png`, `face.obj` with `face.mtl` and `face.png`,
 * `face.glb`, `views/yaw+20.png`, `sheet.png`, and `fit.json`. Makes the folder. Returns the names. Throws FormatError.
 */
export async function writeFace(folder: string, results: FaceResults): Promise<string[]> {
  const { photo, fit, incomplete, mask, completed, truth, mesh, units = 'mm', views = [], record } = results;
  mkdirSync(folder, { recursive: true });
  const files: string[] = [];
  const writes: Promise<void>[] = [];
  const write = (name: string, image: Pixels | Tensor) => {
    const writing = writeImage(path.join(folder, name), image);
    writing.catch(() => undefined); // reported where it is awaited
    writes.push(writing);
    files.push(name);
  };
  write('photo.png', drawLandmarks(photo, fit.landmarks));
  if (incomplete) write('incomplete.png', incomplete);
  if (mask) write('mask.png', maskPixels(mask));
  if (completed) write('completed.png', completed);
  if (truth) write('truth.png', truth);
  // The mesh is written while other threads encode these and draw the views.
  if (mesh) {
    const { vertices, triangles, uv } = mesh;
    const texture = await encodeImage(mesh.texture);
    const normals = vertexNormals(vertices, triangles);
    saveObj(path.join(folder, 'face.obj'), { vertices, triangles, uv, texture });
    saveGlb(
      path.join(folder, 'face.glb'),
      { vertices, triangles, uv, normals, texture },
      { scale: METRES[units] ?? 1 },
    );
    files.push('face.obj', 'face.mtl', 'face.png', 'face.glb');
  }
  if (views.length > 0) {
    mkdirSync(path.join(folder, 'views'), { recursive: true });
    const drawn = views.map((view) => ({ ...view, image: toPixels(view.image) }));
    write('sheet.png', viewSheet(drawn));
    for (const view of drawn) write(path.posix.join('views', viewName(view)), view.image);
  }
  await Promise.all(writes);
  const json = JSON.stringify({ ...record, ...fitRecord(fit), files }, null, 1);
  writeAtomicallySync(path.join(folder, 'fit.json'), Buffer.from(`${json}\n`));
  return [...files, 'fit.json'];
}

/** `yaw+20.png`; with `_pitch-10` and `_roll+05` behind it where they are not 0. */
export function viewName({ yaw, pitch, roll }: Pick<FaceView, 'yaw' | 'pitch' | 'roll'>): string {
  const signed = (angle: number) => {
    const [whole, ...rest] = String(Math.abs(angle)).split('.');
    return `${angle < 0 ? '-' : '+'}${[whole.padStart(2, '0'), ...rest].join('.')}`;
  };
  const tilted = (name: string, angle: number) => (angle === 0 ? '' : `_${name}${signed(angle)}`);
  return `yaw${signed(yaw)}${tilted('pitch', pitch)}${tilted('roll', roll)}.png`;
}

/** All views in one picture, one row per pitch and roll, rows of nine at most. */
export function viewSheet(views: readonly { yaw: number; image: Tensor | Pixels }[]): Pixels {
  const yaws = new Set(views.map(({ yaw }) => yaw)).size;
  return contactSheet(
    views.map(({ image }) => image),
    { columns: Math.min(9, yaws) },
  );
}

/** A mask of 0 and 1 as black and white. */
function maskPixels(mask: Tensor): Pixels {
  const white = (mask.dataSync() as Uint8Array).map((seen) => (seen ? 255 : 0));
  const image = tensor(white, { shape: mask.shape, dtype: 'u8' });
  const pixels = toPixels(image);
  image.dispose();
  return pixels;
}
