// Putting UV maps together without seams (paper-spec 2.5): the completion by symmetry that needs no weights, and the merge of
// several views. Both are one composition: every pixel names the map it comes from, and a Poisson solve joins them.
// Contract: maps are f32 [h, w, 3] in 0..255; masks u8 [h, w]; UV layouts are symmetric about u = 1/2.
import '../tensor/methods.js';
import { tensor } from '../tensor/create.js';
import { poisson } from '../tensor/ops/poisson.js';
import { tidy } from '../tensor/scope.js';
import { ShapeError, sameShape, showShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { erode } from './unwrap.js';

/** A map on the host and where its colours mean something. */
interface Source {
  map: Float32Array;
  valid: Uint8Array;
}

interface Composition {
  h: number;
  w: number;
  sources: Source[];
  /** Source of each pixel; UNSEEN to be filled smoothly; OUTSIDE where the map has no surface. */
  labels: Int8Array;
  /** 1 where the colour of the pixel's source is kept as it is. */
  fixed: Uint8Array;
}

const UNSEEN = -1;
const OUTSIDE = -2;

/**
 * Solves lap f = div g over the labelled pixels. g is the difference within the pixel's source; across an edge between
 * labels the mean of the differences of those of the two sources that know both pixels; 0 where neither does.
 */
function compose({ h, w, sources, labels, fixed }: Composition): Tensor {
  const size = h * w;
  const mask = new Uint8Array(size);
  const guess = new Float32Array(3 * size);
  const gx = new Float32Array(3 * size);
  const gy = new Float32Array(3 * size);
  const mean = [0, 0, 0];
  let known = 0;
  for (let p = 0; p < size; p++) {
    if (labels[p] === OUTSIDE) continue;
    mask[p] = fixed[p] ? 2 : 1;
    if (labels[p] === UNSEEN) continue;
    for (let c = 0; c < 3; c++) {
      guess[3 * p + c] = sources[labels[p]].map[3 * p + c];
      mean[c] += guess[3 * p + c];
    }
    known++;
  }
  for (let p = 0; p < size; p++) {
    if (labels[p] === UNSEEN) for (let c = 0; c < 3; c++) guess[3 * p + c] = mean[c] / Math.max(1, known);
  }
  const guide = (g: Float32Array, p: number, q: number) => {
    const lp = labels[p];
    const lq = labels[q];
    if (lp === OUTSIDE || lq === OUTSIDE) return;
    const first = lp >= 0 && sources[lp].valid[p] && sources[lp].valid[q] ? sources[lp].map : undefined;
    const second = lq >= 0 && lq !== lp && sources[lq].valid[p] && sources[lq].valid[q] ? sources[lq].map : undefined;
    const share = first && second ? 0.5 : 1;
    for (let c = 0; c < 3; c++) {
      if (first) g[3 * p + c] += share * (first[3 * q + c] - first[3 * p + c]);
      if (second) g[3 * p + c] += share * (second[3 * q + c] - second[3 * p + c]);
    }
  };
  for (let p = 0; p < size; p++) {
    if (p % w < w - 1) guide(gx, p, p + 1);
    if (p + w < size) guide(gy, p, p + w);
  }
  return tidy(() => {
    const shape = [h, w, 3];
    const solved = poisson(
      tensor(guess, { shape }),
      tensor(mask, { shape: [h, w], dtype: 'u8' }),
      tensor(gx, { shape }),
      tensor(gy, { shape }),
    );
    return solved.clip(0, 255);
  });
}

/** What the two completions are told of a view. */
export interface View {
  /** f32 [h, w, 3], 0..255 */
  texture: Tensor;
  /** u8 [h, w]: 1 where the photo saw the surface. */
  mask: Tensor;
  /** f32 [h, w]: how well, 0..1. */
  confidence: Tensor;
}

function hostView(op: string, view: View, footprint: Uint8Array) {
  const { texture, mask, confidence } = view;
  const [h, w] = texture.shape;
  const fits =
    texture.shape.length === 3 &&
    texture.shape[2] === 3 &&
    sameShape(mask.shape, [h, w]) &&
    sameShape(confidence.shape, [h, w]) &&
    footprint.length === h * w;
  if (!fits) {
    const shapes = [texture, mask, confidence].map((t) => showShape(t.shape));
    throw new ShapeError(
      `${op}: wants texture [h, w, 3], mask and confidence [h, w] and a footprint of h w, got ${shapes[0]}, ${shapes[1]}, ${shapes[2]}, ${footprint.length}`,
    );
  }
  return {
    h,
    w,
    map: texture.dataSync() as Float32Array,
    valid: mask.dataSync() as Uint8Array,
    confidence: confidence.dataSync() as Float32Array,
  };
}

/** A map [h, w, channels] reversed from left to right. */
function mirrored<T extends Float32Array | Uint8Array>(map: T, h: number, w: number, channels: number): T {
  const out = map.slice() as T;
  for (let y = 0; y < h; y++)
    for (let x = 0; x < w; x++)
      for (let c = 0; c < channels; c++) out[(y * w + x) * channels + c] = map[(y * w + w - 1 - x) * channels + c];
  return out;
}

export interface MirrorOptions {
  /**
   * Cosine to the viewer below which a seen pixel gives way to its mirror image where that was seen better, by half at
   * least: near an outline a small error of the fit brings in background. Our choice on real photos.
   */
  trust?: number;
  /** Cosine below which a seen pixel is not believed even where nothing better is known. */
  floor?: number;
}

/**
 * Completes an unwrapped face by its symmetry: pixels that the photo saw well stay as they are, pixels whose mirror image was
 * seen take its gradients and join without a seam, the rest is filled smoothly. Returns f32 [h, w, 3] in 0..255, 0 outside
 * the footprint (u8, h * w). A photo that saw nothing gives the map's mean colour. Throws ShapeError.
 */
export function completeByMirror(
  view: View,
  footprint: Uint8Array,
  { trust = 0.4, floor = 0.05 }: MirrorOptions = {},
): Tensor {
  const host = hostView('completeByMirror', view, footprint);
  const { h, w, map, confidence } = host;
  const valid = confidence.map((cosine, p) => Number(host.valid[p] !== 0 && cosine >= floor));
  const own = { map, valid: Uint8Array.from(valid) };
  const twin = { map: mirrored(map, h, w, 3), valid: mirrored(own.valid, h, w, 1) };
  const twinConfidence = mirrored(confidence, h, w, 1);
  const labels = new Int8Array(h * w);
  const fixed = new Uint8Array(h * w);
  for (let p = 0; p < h * w; p++) {
    const gives = twin.valid[p] && confidence[p] < trust && twinConfidence[p] > 1.5 * confidence[p];
    if (!footprint[p]) labels[p] = OUTSIDE;
    else if (own.valid[p] && !gives) fixed[p] = 1;
    else labels[p] = twin.valid[p] ? 1 : UNSEEN;
  }
  return compose({ h, w, sources: [own, twin], labels, fixed });
}

export interface MergeOptions {
  /** Confidence from which the first view is taken whatever the others saw; 0.5 is a slant of 60 degrees. */
  prefer?: number;
  /** Match the brightness of the other views to the first, per channel, over what both saw. */
  gain?: boolean;
}

/**
 * Merges views of one face (the frontal one first) into one map: labels by confidence, small islands removed, gradients of
 * each label's view, the first view's own region kept but for 2 pixels at its seam, unseen pixels filled smoothly
 * (paper-spec 2.5). All views must have been fitted to the same layout. Returns f32 [h, w, 3] in 0..255. Throws ShapeError.
 */
export function mergeViews(
  views: readonly View[],
  footprint: Uint8Array,
  { prefer = 0.5, gain = true }: MergeOptions = {},
): Tensor {
  if (views.length === 0) throw new ShapeError('mergeViews: no views');
  const hosts = views.map((view) => hostView('mergeViews', view, footprint));
  const { h, w } = hosts[0];
  if (gain) for (const host of hosts.slice(1)) matchGain(hosts[0], host);
  const labels = new Int8Array(h * w);
  for (let p = 0; p < h * w; p++) {
    let best = UNSEEN;
    for (let k = 0; k < hosts.length; k++) {
      if (hosts[k].valid[p] && (best < 0 || hosts[k].confidence[p] > hosts[best].confidence[p])) best = k;
    }
    if (hosts[0].valid[p] && hosts[0].confidence[p] >= prefer) best = 0;
    labels[p] = footprint[p] ? best : OUTSIDE;
  }
  removeIslands(labels, hosts, h, w);
  const own = Uint8Array.from(labels, (label) => (label === 0 || label === OUTSIDE ? 1 : 0));
  const kept = erode(erode(own, w), w).map((inside, p) => (inside && labels[p] === 0 ? 1 : 0));
  return compose({ h, w, sources: hosts, labels, fixed: kept });
}

function matchGain(first: Source, other: Source): void {
  for (let c = 0; c < 3; c++) {
    let wanted = 0;
    let found = 0;
    for (let p = 0; p < first.valid.length; p++) {
      if (!first.valid[p] || !other.valid[p]) continue;
      wanted += first.map[3 * p + c];
      found += other.map[3 * p + c];
    }
    if (!(found > 0) || !(wanted > 0)) continue;
    for (let i = c; i < other.map.length; i += 3) other.map[i] *= wanted / found;
  }
}

const ISLAND = 64;

/** Gives regions of fewer than 64 pixels to the commonest neighbouring label whose view saw them. */
function removeIslands(labels: Int8Array, sources: readonly Source[], h: number, w: number): void {
  const visited = new Uint8Array(h * w);
  for (let start = 0; start < h * w; start++) {
    if (visited[start] || labels[start] < 0) continue;
    const label = labels[start];
    const region = [start];
    const rim = new Map<number, number>();
    visited[start] = 1;
    const meet = (q: number) => {
      if (labels[q] !== label) rim.set(labels[q], (rim.get(labels[q]) ?? 0) + 1);
      else if (!visited[q]) {
        visited[q] = 1;
        region.push(q);
      }
    };
    for (const p of region) {
      if (p % w > 0) meet(p - 1);
      if (p % w < w - 1) meet(p + 1);
      if (p >= w) meet(p - w);
      if (p + w < h * w) meet(p + w);
    }
    if (region.length >= ISLAND) continue;
    const [heir] = [...rim].filter(([name]) => name >= 0).sort((a, b) => b[1] - a[1])[0] ?? [UNSEEN];
    if (heir < 0) continue;
    for (const p of region) if (sources[heir].valid[p]) labels[p] = heir;
  }
}
