// Pairs from photos: every view is fitted and unwrapped, the target blended from the views nearest to yaw 0, -30 and 30 (paper-spec 2.5) or, for single
// photos, taken from a near-frontal one whose mesh is then seen from another pose. Contract: a photo that is no use costs only itself and is named
// with the reason; without a near-frontal view there is no target and the whole group is left out.
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { FormatError } from '../../formats/error.js';
import { Random } from '../../head/random.js';
import { growRim, uvMap } from '../../head/uv-map.js';
import { FitError } from '../../models/fitter.js';
import type { MorphableModel } from '../../models/morphable.js';
import { tensor } from '../../tensor/create.js';
import { tidy } from '../../tensor/scope.js';
import { completeByMirror, mergeViews } from '../blend.js';
import { type DetectorSource, loadDetector, loadRegressor } from '../detect.js';
import { loadFaceModel } from '../face_model.js';
import { type FitPhotoOptions, fitPhoto } from '../fit.js';
import type { Fit } from '../fit-face.js';
import { type Pixels, readPixels } from '../image.js';
import { LANDMARK_ENDINGS, parseLandmarks } from '../landmark-file.js';
import { surfaceOf, uvTableOf } from '../synthesise.js';
import { type UvTable, unwrap } from '../unwrap.js';
import type { ItemSource, Portion } from './items.js';
import { observe, type Pair, type PairMeta, sceneOf, seedOf, target } from './pairs.js';
import { type Groups, multiPieGroups, type PhotoGroup, singlePhotos, subjectFolders } from './photo-groups.js';
import type { Dropped } from './shard-file.js';
import { isAboutItem } from './shards.js';

/** What finds and fits the faces: a regressor with a detector, or landmarks. */
export interface FittingFiles {
  /** The face model; the package's own where left out. */
  model?: string;
  regressor?: string;
  detector?: DetectorSource;
  /** Folder of `<photo's path below the root without its ending>.json`, `.txt` or `.pts` with 68 points. */
  landmarks?: string;
}

export interface FolderOptions {
  root: string;
  fitting: FittingFiles;
  /** Side of the maps in pixels. */
  size?: number;
  /** Greatest yaw of the view that a target is built on, in degrees. */
  frontal?: number;
}

export type MultiPieOptions = FolderOptions;

export interface PhotosOptions extends FolderOptions {
  /** Poses per photo. */
  views?: number;
  seed?: number;
  fitError?: number;
}

/** A fitted and unwrapped photo, on the host. */
interface Seen {
  name: string;
  fit: Fit;
  nominalYaw?: number;
  texture: Float32Array;
  mask: Uint8Array;
  confidence: Float32Array;
}

const FRONTAL = 20;

/** `ROOT/SUBJECT/*.jpg`: a person's photos share one target, so they should share the light too. Throws FormatError. */
export const folderItems = (options: FolderOptions): ItemSource =>
  blended('folder', subjectFolders(options.root), options);

/** Multi-PIE: one target per subject, session, recording and illumination. Throws FormatError. */
export const multiPieItems = (options: MultiPieOptions): ItemSource =>
  blended('multipie', multiPieGroups(options.root), options);

function blended(kind: string, { groups, digest }: Groups, options: FolderOptions): ItemSource {
  const { size = 256, frontal = FRONTAL } = options;
  const studio = new Studio(options, size);
  return {
    size,
    footprint: studio.table.footprint,
    config: { kind, photos: digest, size, frontal, ...studio.about },
    items: groups.length,
    async item(index): Promise<Portion> {
      const group = groups[index];
      const { seen, dropped } = await studio.viewAll(group, index);
      const complete = blendTarget(seen, studio.table, frontal);
      if (typeof complete === 'string') {
        const rest = seen.map(({ name }) => ({ item: index, name, reason: `${group.name}: ${complete}` }));
        return { pairs: [], dropped: [...dropped, ...(rest.length > 0 ? rest : [{ item: index, reason: complete }])] };
      }
      const pairs = seen.map(
        ({ texture, mask, fit }): Pair => ({
          incomplete: target(texture, studio.table.footprint),
          complete,
          mask,
          meta: metaOf(group, fit, 0),
        }),
      );
      return { pairs, dropped };
    },
  };
}

const metaOf = (
  { subject, illumination, expression }: PhotoGroup,
  { yaw, pitch }: { yaw: number; pitch: number },
  seed: number,
): PairMeta => ({
  subject,
  yaw,
  pitch,
  illumination,
  expression,
  seed,
});

/** Degrees by which a view may miss -30 or 30 and still be blended in. */
const SIDE_TOLERANCE = 15;

/**
 * The target of a group, or why there is none. Camera places decide which views are blended where they are known, else the fitted yaw; what no view saw comes
 * from the mirror image.
 */
function blendTarget(seen: readonly Seen[], { footprint, size }: UvTable, frontal: number): Uint8Array | string {
  const yawOf = ({ nominalYaw, fit }: Seen) => nominalYaw ?? fit.yaw;
  const nearest = (wanted: number, within: number) => {
    const near = seen.filter((view) => Math.abs(yawOf(view) - wanted) <= within);
    return near.sort((a, b) => Math.abs(yawOf(a) - wanted) - Math.abs(yawOf(b) - wanted))[0];
  };
  const front = nearest(0, frontal);
  if (!front) return `no usable photo within ${frontal} degrees of the front`;
  const sides = [-30, 30].map((wanted) => nearest(wanted, SIDE_TOLERANCE)).filter((view) => view && view !== front);
  return tidy(() => {
    const views = [front, ...sides];
    const onDevice = ({ texture, mask, confidence }: Pick<Seen, 'texture' | 'mask' | 'confidence'>) => ({
      texture: tensor(texture, { shape: [size, size, 3] }),
      mask: tensor(mask, { shape: [size, size], dtype: 'u8' }),
      confidence: tensor(confidence, { shape: [size, size] }),
    });
    const merged = mergeViews(views.map(onDevice), footprint).dataSync() as Float32Array;
    const mask = front.mask.map((own, p) => (own || views.some((view) => view.mask[p]) ? 1 : 0));
    const confidence = front.confidence.map((_, p) => Math.max(...views.map((view) => view.confidence[p])));
    const whole = completeByMirror(onDevice({ texture: merged, mask, confidence }), footprint);
    return target(whole.dataSync() as Float32Array, footprint);
  });
}

/** Single photos: the near-frontal ones give targets and are seen again from `views` random poses each. Throws FormatError. */
export function photoItems(options: PhotosOptions): ItemSource {
  const { size = 256, frontal = FRONTAL, views = 4, seed = 1, fitError = 1 } = options;
  const { groups, digest } = singlePhotos(options.root);
  const studio = new Studio(options, size);
  const { table, model } = studio;
  const { footprint } = table;
  const rim = uvMap(model.uv, surfaceOf(model), size);
  return {
    size,
    footprint,
    config: { kind: 'photos', photos: digest, size, frontal, views, seed, fitError, ...studio.about },
    items: groups.length,
    async item(index): Promise<Portion> {
      const group = groups[index];
      const { seen, dropped } = await studio.viewAll(group, index);
      if (seen.length === 0) return { pairs: [], dropped };
      const [{ name, fit, ...view }] = seen;
      if (Math.abs(fit.yaw) > frontal) {
        const reason = `yaw ${fit.yaw.toFixed(0)} is more than ${frontal} degrees from the front`;
        return { pairs: [], dropped: [...dropped, { item: index, name, reason }] };
      }
      const texture = tidy(() => {
        const host = {
          texture: tensor(view.texture, { shape: [size, size, 3] }),
          mask: tensor(view.mask, { shape: [size, size], dtype: 'u8' }),
          confidence: tensor(view.confidence, { shape: [size, size] }),
        };
        return Float32Array.from(completeByMirror(host, footprint).dataSync());
      });
      const complete = target(texture, footprint);
      growRim(texture, rim, 3, 3);
      const face = { alpha: Float32Array.from(fit.alpha), beta: Float32Array.from(fit.beta), texture, size };
      const scene = sceneOf(model, face);
      const pairs = Array.from({ length: views }, (_, v): Pair => {
        const own = seedOf(seed, index, v);
        const random = new Random(seedOf(own, 77));
        const turn = random.uniform(frontal, 90);
        const pose = {
          yaw: random.chance(0.5) ? turn : -turn,
          pitch: random.uniform(-15, 20),
          roll: random.uniform(-8, 8),
        };
        return { ...observe(scene, pose, own, { fitError }), complete, meta: metaOf(group, pose, own) };
      });
      return { pairs, dropped };
    },
  };
}

/** A fit further than this from where the camera stands has missed the face, in degrees. */
const YAW_TOLERANCE = 30;

/** Fits and unwraps photos. */
class Studio {
  readonly model: MorphableModel;
  readonly table: UvTable;
  /** What of it the pairs depend on. */
  readonly about: Record<string, string>;
  private readonly fitting: FitPhotoOptions;
  private readonly root: string;
  private readonly landmarks: string | undefined;

  /** Throws FormatError or FaceModelError. */
  constructor({ root, fitting }: FolderOptions, size: number) {
    const { model, regressor, detector, landmarks } = fitting;
    this.model = loadFaceModel(model);
    this.table = uvTableOf(this.model, size);
    this.root = root;
    this.landmarks = landmarks;
    this.about = { model: this.model.name };
    this.fitting = { model: this.model, faces: 'largest' };
    if (landmarks !== undefined) {
      if (!existsSync(landmarks)) throw new FormatError(landmarks, 'folder', 'does not exist');
      this.about.fit = 'landmarks';
      return;
    }
    if (!regressor || !detector) throw new FitError('photos: wanted a regressor and a detector, or landmarks');
    this.fitting = { ...this.fitting, regressor: loadRegressor(regressor), detector: loadDetector(detector) };
    this.about.fit = `${path.basename(regressor)}, ${detector.kind}`;
  }

  /** What can be seen of a group's photos, and what cannot be used. */
  async viewAll({ photos }: PhotoGroup, item: number): Promise<{ seen: Seen[]; dropped: Dropped[] }> {
    const seen: Seen[] = [];
    const dropped: Dropped[] = [];
    for (const { name, file, nominalYaw } of photos) {
      try {
        const view = await this.view(name, file);
        const yaw = Math.abs(view.fit.yaw);
        if (nominalYaw !== undefined && Math.abs(yaw - Math.abs(nominalYaw)) > YAW_TOLERANCE) {
          throw new FitError(`fitted at yaw ${view.fit.yaw.toFixed(0)}, the camera stands at ${nominalYaw}`);
        }
        seen.push({ ...view, nominalYaw });
      } catch (error) {
        if (!isAboutItem(error)) throw error;
        dropped.push({ item, name, reason: error.message });
      }
    }
    return { seen, dropped };
  }

  private async view(name: string, file: string): Promise<Seen> {
    const photo = await readPixels(file);
    const [fit] = await fitPhoto(photo, { ...this.fitting, landmarks: this.landmarksOf(name) });
    if (!fit) throw new FitError('no face found');
    return { name, fit, ...onHost(photo, fit, this.table) };
  }

  private landmarksOf(name: string): Float32Array | undefined {
    if (this.landmarks === undefined) return undefined;
    const stem = path.join(this.landmarks, name.slice(0, -path.extname(name).length));
    const file = LANDMARK_ENDINGS.map((ending) => stem + ending).find((candidate) => existsSync(candidate));
    if (!file) throw new FitError(`no landmarks (${path.relative(this.root, stem)}${LANDMARK_ENDINGS.join(', ')})`);
    const points = parseLandmarks(readFileSync(file, 'utf8'), file.endsWith('.json') ? 'json' : 'text');
    if (typeof points === 'string') throw new FormatError(file, 'landmarks', points);
    return points;
  }
}

function onHost(photo: Pixels, fit: Fit, table: UvTable): Pick<Seen, 'texture' | 'mask' | 'confidence'> {
  return tidy(() => {
    const { texture, mask, confidence } = unwrap(photo, fit.vertices, table);
    return {
      texture: texture.dataSync() as Float32Array,
      mask: mask.dataSync() as Uint8Array,
      confidence: confidence.dataSync() as Float32Array,
    };
  });
}
