// Faces as a recogniser likes them from photos at any pose: the completed texture on the fitted mesh seen from the front, or the
// middle of the completed UV map itself (paper-spec 10, 11.4). Contract: crops lie on the recogniser's own template.
import type { MorphableModel } from '../../models/morphable.js';
import type { EulerAngles } from '../../models/pose.js';
import { ShapeError } from '../../tensor/shape.js';
import type { Tensor } from '../../tensor/tensor.js';
import { type Pixels, toPixels } from '../image.js';
import type { Colour } from '../overlay.js';
import { drawMesh, posed, type TexturedMesh } from '../render.js';
import { ARCFACE_CROP, alignFace, CASIA_CROP, type CropLayout, fivePoints, similarityTransform } from './align.js';

const SAMPLES = 3;

/**
 * The mesh (model space) at a pose, its eyes, nose and mouth brought to the layout's points as those of a photo are. Drawn at the
 * size of the crop, 3 x 3 samples a pixel, over a colour or a picture f32 [height, width, 3]. Throws ShapeError.
 */
export function poseCrop(
  mesh: TexturedMesh,
  model: MorphableModel,
  pose: Partial<EulerAngles>,
  layout: CropLayout = ARCFACE_CROP,
  background: Colour | Tensor = [0, 0, 0],
): Pixels {
  const { height, width } = layout;
  const vertices = posed(mesh.vertices, pose, Math.max(height, width));
  const m = similarityTransform(fivePoints(model.landmarksOf(vertices)), layout.points);
  const scale = Math.hypot(m[0], m[3]);
  for (let i = 0; i < vertices.length; i += 3) {
    const [x, y] = [vertices[i], vertices[i + 1]];
    vertices[i] = m[0] * x + m[1] * y + m[2];
    vertices[i + 1] = m[3] * x + m[4] * y + m[5];
    vertices[i + 2] *= scale;
  }
  const { image, coverage } = drawMesh(
    { ...mesh, vertices },
    { size: [height, width], supersampling: SAMPLES, background },
  );
  const pixels = toPixels(image);
  for (const t of [image, coverage]) t.dispose();
  return pixels;
}

/** The mesh from the front, black around it. Throws ShapeError. */
export const frontalCrop = (mesh: TexturedMesh, model: MorphableModel, layout: CropLayout = CASIA_CROP): Pixels =>
  poseCrop(mesh, model, {}, layout);

/** Eyes, nose and mouth in a model's UV map of that side, in pixels: ten numbers. */
export function uvPoints(model: MorphableModel, size: number): Float64Array {
  const landmarks = new Float64Array(2 * model.landmarks.length);
  model.landmarks.forEach((vertex, i) => {
    landmarks[2 * i] = model.uv[2 * vertex] * (size - 1);
    landmarks[2 * i + 1] = (1 - model.uv[2 * vertex + 1]) * (size - 1);
  });
  return fivePoints(landmarks);
}

/** The middle of a completed UV map f32 [size, size, 3], 0..255, aligned like a face. Throws ShapeError. */
export function uvCrop(map: Tensor, model: MorphableModel, layout: CropLayout = CASIA_CROP): Pixels {
  const [h, w] = map.shape;
  if (map.shape.length !== 3 || h !== w) throw new ShapeError(`uvCrop: wants a map [size, size, 3], got ${map.shape}`);
  return alignFace(toPixels(map), uvPoints(model, h), layout);
}
