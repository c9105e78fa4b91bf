// Landmarks that the user brings: 68 points in a file, for fitting without weights.
import { existsSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { UsageError } from './errors.js';

const WANTED = "68 points of x and y in pixels, from the subject's right jaw on (iBUG order)";
const ENDINGS = ['.json', '.txt', '.pts'];

/**
 * The landmarks of a photo -> [68, 2]: from a file, or from a folder that holds `<photo's stem>.json`, `.txt` or `.pts`.
 * JSON is a list of points or an object with `landmarks` or `points`; text has one point a line, further columns are left
 * out; .pts is iBUG's. Throws UsageError.
 */
export function readLandmarks(source: string, photo: string): Float32Array {
  const file = landmarkFile(source, photo);
  const text = readFileSync(file, 'utf8');
  const rows = file.toLowerCase().endsWith('.json') ? fromJson(file, text) : fromText(text);
  const points = rows.map((row) => row.slice(0, 2));
  if (points.length !== 68 || points.some((p) => p.length !== 2 || !p.every(Number.isFinite))) {
    throw new UsageError(`${file}: holds ${rows.length} points; wanted ${WANTED}`);
  }
  return Float32Array.from(points.flat());
}

function landmarkFile(source: string, photo: string): string {
  const found = statSync(source, { throwIfNoEntry: false });
  if (!found) throw new UsageError(`--landmarks ${source}: does not exist; wanted a file of ${WANTED}`);
  if (!found.isDirectory()) return source;
  const stem = path.parse(photo).name;
  const file = ENDINGS.map((ending) => path.join(source, stem + ending)).find((candidate) => existsSync(candidate));
  if (!file) throw new UsageError(`--landmarks ${source}: the folder has no ${stem}.json, ${stem}.txt or ${stem}.pts`);
  return file;
}

function fromJson(file: string, text: string): number[][] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new UsageError(`${file}: is not valid JSON; wanted ${WANTED}`);
  }
  if (value !== null && typeof value === 'object' && !Array.isArray(value)) {
    const { landmarks, points } = value as Record<string, unknown>;
    value = landmarks ?? points;
  }
  if (!Array.isArray(value)) throw new UsageError(`${file}: holds no list of points; wanted ${WANTED}`);
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
