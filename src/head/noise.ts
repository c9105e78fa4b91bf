// Smooth seeded noise in space, for skin and hair. Contract: a function of position and seed only, so that it has no seams.

/** A repeatable number in [0, 1) for a lattice point. */
function lattice(x: number, y: number, z: number, seed: number): number {
  let h = Math.imul(x, 0x27d4eb2d) ^ Math.imul(y, 0x165667b1) ^ Math.imul(z, 0x9e3779b1) ^ Math.imul(seed, 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d);
  h = Math.imul(h ^ (h >>> 12), 0x297a2d39);
  return ((h ^ (h >>> 15)) >>> 0) / 4294967296;
}

/** Value noise in [-1, 1] with a lattice of unit spacing. */
export function noise(x: number, y: number, z: number, seed: number): number {
  const ix = Math.floor(x);
  const iy = Math.floor(y);
  const iz = Math.floor(z);
  const u = ease(x - ix);
  const v = ease(y - iy);
  const w = ease(z - iz);
  const row = (dy: number, dz: number) => {
    const a = lattice(ix, iy + dy, iz + dz, seed);
    return a + u * (lattice(ix + 1, iy + dy, iz + dz, seed) - a);
  };
  const near = row(0, 0) + v * (row(1, 0) - row(0, 0));
  const far = row(0, 1) + v * (row(1, 1) - row(0, 1));
  return 2 * (near + w * (far - near)) - 1;
}

const ease = (t: number) => t * t * (3 - 2 * t);

/** Noise of several octaves in about [-1, 1]; `wavelength` is that of the coarsest, in the units of the position. */
export function fractal(x: number, y: number, z: number, wavelength: number, octaves: number, seed: number): number {
  let sum = 0;
  let total = 0;
  let amplitude = 1;
  let scale = 1 / wavelength;
  for (let o = 0; o < octaves; o++) {
    sum += amplitude * noise(x * scale, y * scale, z * scale, seed + o);
    total += amplitude;
    amplitude *= 0.55;
    scale *= 2.03;
  }
  return (1.6 * sum) / total;
}
