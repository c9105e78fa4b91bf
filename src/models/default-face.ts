// The face model that ships with the package, made here from the parametric head: no scan of a person went into it.
// Contract: the file in assets/ is what this builds, to the rounding of its modes (f16); change the head and it has to be rebuilt.
import { Random } from '../head/random.js';
import { drawExpression, drawIdentity, ParametricHead } from '../head/scans.js';
import { cylindricalUnwrap } from './cylindrical.js';
import { MorphableModel } from './morphable.js';
import { principalComponents } from './pca.js';

export interface BuildOptions {
  seed?: number;
  /** People scanned in neutral expression. */
  people?: number;
  /** Of them, how many are also scanned with expressions, and how many expressions each. */
  expressivePeople?: number;
  expressionsEach?: number;
  identityModes?: number;
  expressionModes?: number;
}

export interface BuiltFaceModel {
  model: MorphableModel;
  /** Share of the variance of the scans that the modes kept explain. */
  explained: { identity: number; expression: number };
}

/**
 * Two-stage PCA of equations 1-2 on synthetic scans of the parametric head. Identity modes are orthonormal over the 3N
 * coordinates, so coefficients are in millimetres (root of the summed squared displacements) with `identityStd` their
 * standard deviation; the same for expressions, measured about the neutral face. UV: cylindrical unwrap of the mean.
 */
export function buildDefaultFaceModel({
  seed = 2020,
  people = 300,
  expressivePeople = 110,
  expressionsEach = 4,
  identityModes = 40,
  expressionModes = 20,
}: BuildOptions = {}): BuiltFaceModel {
  const head = new ParametricHead();
  const random = new Random(seed);
  const neutral: Float32Array[] = [];
  const moved: Float32Array[] = [];
  for (let i = 0; i < people; i++) {
    const scan = head.neutral(drawIdentity(random));
    neutral.push(scan);
    if (i >= expressivePeople) continue;
    for (let k = 0; k < expressionsEach; k++) {
      const face = head.expressive(scan, drawExpression(random));
      moved.push(face.map((x, c) => x - scan[c]));
    }
  }
  const identity = principalComponents(neutral, identityModes);
  const expression = principalComponents(moved, expressionModes, { centre: false });
  const mean = Float32Array.from(identity.mean);
  const model = new MorphableModel({
    mean,
    identity: identity.modes,
    identityStd: Float32Array.from(identity.std),
    expression: expression.modes,
    expressionStd: Float32Array.from(expression.std),
    triangles: head.template.triangles,
    landmarks: head.landmarks,
    uv: cylindricalUnwrap(mean),
    name: 'rescunet parametric head',
    licence: 'MIT',
    units: 'mm',
  });
  const share = (explained: Float64Array) => explained.reduce((a, b) => a + b, 0);
  return { model, explained: { identity: share(identity.explained), expression: share(expression.explained) } };
}
