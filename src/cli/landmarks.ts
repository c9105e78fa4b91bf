// Landmarks that the user brings: 68 points in a file, for fitting without weights.
import { existsSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { LANDMARK_ENDINGS, LANDMARKS_WANTED, parseLandmarks } from '../pipeline/landmark-file.js';
import { UsageError } from './errors.js';

/**
 * The landmarks of a photo -> [68, 2]: from a file, or from a folder that holds `<photo's stem>.json`, `.txt` or `.pts`.
 * JSON is a list of points or an object with `landmarks` or `points`; text has one point a line, further columns are left
 * out; .pts is iBUG's. Throws UsageError.
 */
export function readLandmarks(source: string, photo: string): Float32Array {
  const file = landmarkFile(source, photo);
  const text = readFileSync(file, 'utf8');
  const points = parseLandmarks(text, file.toLowerCase().endsWith('.json') ? 'json' : 'text');
  if (typeof points === 'string') throw new UsageError(`${file}: ${points}`);
  return points;
}

function landmarkFile(source: string, photo: string): string {
  const found = statSync(source, { throwIfNoEntry: false });
  if (!found) throw new UsageError(`--landmarks ${source}: does not exist; wanted a file of ${LANDMARKS_WANTED}`);
  if (!found.isDirectory()) return source;
  const stem = path.parse(photo).name;
  const file = LANDMARK_ENDINGS.map((ending) => path.join(source, stem + ending)).find((candidate) =>
    existsSync(candidate),
  );
  if (!file) throw new UsageError(`--landmarks ${source}: the folder has no ${stem}.json, ${stem}.txt or ${stem}.pts`);
  return file;
}
