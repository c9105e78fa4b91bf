// Files of 68 landmarks: JSON, text, iBUG's .pts. Contract: x and y in pixels; what is wrong with a text is said, not thrown, since callers name the file
// in their own way.
export const LANDMARK_ENDINGS = ['.json', '.txt', '.pts'];

export const LANDMARKS_WANTED = "68 points of x and y in pixels, from the subject's right jaw on (iBUG order)";

/** The landmarks of a file's text -> [68, 2], or what is wrong with it. */
export function parseLandmarks(text: string, kind: 'json' | 'text'): Float32Array | string {
  const rows = kind === 'json' ? fromJson(text) : fromText(text);
  if (typeof rows === 'string') return rows;
  const points = rows.map((row) => row.slice(0, 2));
  if (points.length !== 68 || points.some((p) => p.length !== 2 || !p.every(Number.isFinite))) {
    return `holds ${rows.length} points; wanted ${LANDMARKS_WANTED}`;
  }
  return Float32Array.from(points.flat());
}

function fromJson(text: string): number[][] | string {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return `is not valid JSON; wanted ${LANDMARKS_WANTED}`;
  }
  if (value !== null && typeof value === 'object' && !Array.isArray(value)) {
    const { landmarks, points } = value as Record<string, unknown>;
    value = landmarks ?? points;
  }
  if (!Array.isArray(value)) return `holds no list of points; wanted ${LANDMARKS_WANTED}`;
  return value.map((point: unknown) => (Array.isArray(point) ? point.map(Number) : []));
}

function fromText(text: string): number[][] {
  // iBUG's .pts: a header, then the points in braces.
  const body = /\{([^}]*)\}/.exec(text)?.[1] ?? text;
  return body
    .split(/\r?\n/)
    .map((line) => line.replace(/#.*/, '').trim())
    .filter((line) => line !== '')
    .map((line) => line.split(/[\s,;]+/).map(Number));
}
