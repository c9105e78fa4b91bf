// What a cascade sees of a photo beside the photo itself (paper-spec 9.2): the face model as it lies now, drawn in the colours of
// its own coordinates (PNCC), and the photo laid out on the face (PAF). Contract: composed of existing ops, so it runs on every
// device; nothing is differentiated through it.
import { tensor } from '../tensor/create.js';
import { add, clip, greater, mul, neg, sub } from '../tensor/ops/elementwise.js';
import { cast, concat, detach, gather, permute, reshape, slice } from '../tensor/ops/layout.js';
import { interpolate, rasterize } from '../tensor/ops/rasterize.js';
import { persist, tidy } from '../tensor/scope.js';
import { ShapeError, showShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { FaceDecoder } from './face-decoder.js';
import type { ParameterCounts } from './face-parameters.js';
import type { MorphableModel } from './morphable.js';
import { ANCHORS, anchorPoints, type SurfacePoints } from './surface-points.js';

/** Side of the patch around an anchor. */
export const PATCH = 3;
/** Side of the map of patches: 192. */
export const PAF_SIDE = ANCHORS * PATCH;

/**
 * Depth, in parts of the crop's side, by which an anchor must lie behind what is seen at its pixel to be hidden. Our choice: a pixel
 * of a cheek that turns away spans that much.
 */
const HIDDEN = 0.03;

export interface FaceFeatureOptions extends Partial<ParameterCounts> {
  /** Side of the crops in pixels. */
  side: number;
  /** Patches of anchors that the face itself hides are halved. */
  occlusion?: boolean;
  /** Where the 64x64 anchors lie; `anchorPoints` unless given. */
  anchors?: SurfacePoints;
  device?: string;
}

/** (S - min S) / (max S - min S) per axis over the mean face: [N, 3] in [0, 1], the colours of PNCC. */
export function normalizedCoordinates(model: MorphableModel): Float32Array {
  const low = [Infinity, Infinity, Infinity];
  const high = [-Infinity, -Infinity, -Infinity];
  model.mean.forEach((v, i) => {
    low[i % 3] = Math.min(low[i % 3], v);
    high[i % 3] = Math.max(high[i % 3], v);
  });
  return model.mean.map((v, i) => (v - low[i % 3]) / (high[i % 3] - low[i % 3] || 1));
}

/** PNCC and PAF of parameter vectors. Holds tensors: `dispose` frees them. */
export class FaceFeatures {
  readonly side: number;
  readonly counts: ParameterCounts;
  private readonly occlusion: boolean;
  private readonly face: FaceDecoder;
  /** Of the anchors: made when first asked for, since a cascade without PAF does without them. */
  private anchors?: FaceDecoder;
  private readonly triangles: Tensor;
  private readonly colours: Tensor;
  /** [3, 1, 3]: steps in a crop's rows from a patch's middle to its pixels. */
  private readonly around: Tensor;
  /** By number of crops: the row at which each begins, [n, 1, 1]. */
  private readonly begins = new Map<number, Tensor>();

  /** Throws ShapeError. */
  constructor(
    private readonly model: MorphableModel,
    private readonly options: FaceFeatureOptions,
  ) {
    const { side, occlusion = true, anchors, device, ...counts } = options;
    if (!Number.isInteger(side) || side < PATCH) {
      throw new ShapeError(`FaceFeatures: side must be a whole number >= ${PATCH}, got ${side}`);
    }
    if (anchors && anchors.weights.length !== 3 * ANCHORS * ANCHORS) {
      throw new ShapeError(`FaceFeatures: wants ${ANCHORS * ANCHORS} anchors, got ${anchors.weights.length / 3}`);
    }
    this.side = side;
    this.occlusion = occlusion;
    this.face = new FaceDecoder(model, { ...counts, device });
    this.counts = this.face.counts;
    const steps = Float32Array.from({ length: PATCH * PATCH }, (_, k) => {
      const [dy, dx] = [Math.floor(k / PATCH) - 1, (k % PATCH) - 1];
      return dy * side + dx;
    });
    [this.triangles, this.colours, this.around] = persist(() => [
      tensor(model.triangles, { shape: [model.triangles.length / 3, 3], dtype: 'i32', device }),
      tensor(normalizedCoordinates(model), { shape: [model.vertexCount, 3], device }),
      tensor(steps, { shape: [PATCH, 1, PATCH], device }),
    ]);
  }

  /**
   * p [n, d] -> the faces seen from the front of the crop, in the colours of their mean coordinates: f32 [n, side, side, 3] in
   * [0, 1], black where there is none; and depth f32 [n, side, side], larger nearer, -inf there. The inside of the face is not drawn.
   */
  pncc(p: Tensor): { image: Tensor; depth: Tensor } {
    const { side, triangles, colours } = this;
    return tidy(() => {
      const placed = permute(this.inCrop(this.face, detach(p)), [0, 2, 1]); // [n, N, 3]
      const [n, count] = placed.shape;
      const drawn = Array.from({ length: n }, (_, i) => {
        const vertices = reshape(slice(placed, { start: [i, 0, 0], size: [1, count, 3] }), [count, 3]);
        const seen = rasterize(vertices, triangles, { size: [side, side], cull: true });
        const image = reshape(interpolate(colours, triangles, seen), [1, side, side, 3]);
        return { image, depth: reshape(seen.depth, [1, side, side]) };
      });
      return {
        image: concat(
          drawn.map(({ image }) => image),
          { axis: 0 },
        ),
        depth: concat(
          drawn.map(({ depth }) => depth),
          { axis: 0 },
        ),
      };
    });
  }

  /**
   * Crops f32 [n, side, side, 3] and p [n, d] -> f32 [n, 192, 192, 3]: the 3x3 pixels around each of the 64x64 anchors, whose
   * positions are rounded and held inside the crop. `depth` is that of `pncc`; without it it is drawn. Throws ShapeError.
   */
  paf(crops: Tensor, p: Tensor, depth?: Tensor): Tensor {
    const { side, occlusion } = this;
    const [n] = p.shape;
    if (crops.shape.join() !== [n, side, side, 3].join() || crops.dtype !== 'f32') {
      throw new ShapeError(
        `FaceFeatures.paf: wants crops f32 [${n}, ${side}, ${side}, 3], got ${crops.dtype} ${showShape(crops.shape)}`,
      );
    }
    if (n * side * side >= 2 ** 24)
      throw new ShapeError(`FaceFeatures.paf: ${n} crops of ${side} are too many at once`);
    return tidy(() => {
      const placed = this.inCrop(this.anchorDecoder(), detach(p)); // [n, 3, 4096]
      const coordinate = (c: number) => slice(placed, { start: [0, c, 0], size: [n, 1, ANCHORS ** 2] });
      const pixel = (c: number) => {
        const inside = clip(add(coordinate(c), 0.5), 1, side - 1.5);
        return cast(cast(inside, 'i32'), 'f32'); // [n, 1, 4096]: rounded, 1..side - 2
      };
      const centres = add(add(mul(pixel(1), side), pixel(0)), this.firstRows(n)); // [n, 1, 4096]
      const each = add(reshape(centres, [n, ANCHORS, 1, ANCHORS, 1]), this.around); // [n, 64, 3, 64, 3]
      const rows = reshape(crops, [n * side * side, 3]);
      const colours = gather(rows, reshape(cast(each, 'i32'), [n * PAF_SIDE * PAF_SIDE])); // [n 192 192, 3]
      if (!occlusion) return reshape(colours, [n, PAF_SIDE, PAF_SIDE, 3]);
      const nearest = reshape(depth ?? this.pncc(p).depth, [n * side * side]);
      const seen = gather(nearest, reshape(cast(centres, 'i32'), [n * ANCHORS ** 2]));
      const hidden = greater(sub(seen, HIDDEN * side), reshape(coordinate(2), [n * ANCHORS ** 2])); // 1 or 0
      const share = reshape(sub(1, mul(hidden, 0.5)), [n, ANCHORS, 1, ANCHORS, 1]);
      return reshape(mul(reshape(colours, [n, ANCHORS, PATCH, ANCHORS, PATCH * 3]), share), [n, PAF_SIDE, PAF_SIDE, 3]);
    });
  }

  dispose(): void {
    this.face.dispose();
    this.anchors?.dispose();
    this.triangles.dispose();
    this.colours.dispose();
    this.around.dispose();
    for (const x of this.begins.values()) x.dispose();
  }

  private anchorDecoder(): FaceDecoder {
    const { model, counts } = this;
    const make = () => {
      const { anchors: points = anchorPoints(model), device } = this.options;
      return new FaceDecoder(model, { ...counts, points, device });
    };
    this.anchors ??= this.triangles.owner.outsideCapture(make);
    return this.anchors;
  }

  /** Made once per number of crops: a captured step cannot upload it. */
  private firstRows(n: number): Tensor {
    const { owner } = this.triangles;
    const rows = Float32Array.from({ length: n }, (_, i) => i * this.side * this.side);
    const make = () => persist(() => tensor(rows, { shape: [n, 1, 1], device: owner.name }));
    const made = this.begins.get(n) ?? owner.outsideCapture(make);
    this.begins.set(n, made);
    return made;
  }

  /** Vertices in the crop: x right, y down, pixels; larger z is nearer -> [n, 3, m]. */
  private inCrop(decoder: FaceDecoder, p: Tensor): Tensor {
    const v = decoder.vertices(p);
    const [n, , m] = v.shape;
    const plane = (c: number) => slice(v, { start: [0, c, 0], size: [n, 1, m] });
    return concat([plane(0), add(neg(plane(1)), this.side - 1), plane(2)], { axis: 1 });
  }
}
