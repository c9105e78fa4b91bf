// The table of a batch's faces as CSV (RFC 4180): one row per face, a header that says what the columns are.
// Contract: columns depend on the face model and the method only; what a face has not (a score without a detector) is empty.
import { statSync } from 'node:fs';
import path from 'node:path';
import { writeAtomicallySync } from '../formats/files.js';
import { UsageError } from './errors.js';

/** Refuses, before any work, a table that could not be written. */
export function checkTable(file: string): void {
  if (path.extname(file).toLowerCase() !== '.csv') throw new UsageError(`--csv ${file}: give a name that ends in .csv`);
  if (statSync(file, { throwIfNoEntry: false })?.isDirectory()) throw new UsageError(`--csv ${file}: is a folder`);
  if (!statSync(path.dirname(file), { throwIfNoEntry: false })?.isDirectory()) {
    throw new UsageError(`--csv ${file}: there is no folder ${path.dirname(file)}; make it first`);
  }
}

const ONES = ['score', 'yaw', 'pitch', 'roll', 'scale', 'rmse'];
const MANY = ['alpha', 'beta', 'parameters'];

/** Writes the faces of photos as --json tells them. Failed photos have no rows. */
export function writeTable(file: string, photos: readonly Record<string, unknown>[]): void {
  const faces = photos.flatMap(({ file: photo, faces }) =>
    (Array.isArray(faces) ? faces : []).map((face: Record<string, unknown>, i) => ({ photo, number: i + 1, face })),
  );
  const length = (name: string) => Math.max(0, ...faces.map(({ face }) => numbers(face[name]).length));
  const counts = MANY.map((name) => ({ name, count: length(name) }));
  const header = ['file', 'face', 'method', 'left', 'top', 'right', 'bottom', ...ONES];
  for (let i = 1; i <= 68; i++) header.push(`x${i}`, `y${i}`, `z${i}`);
  for (const { name, count } of counts) for (let i = 1; i <= count; i++) header.push(`${name.replace(/s$/, '')}${i}`);
  const rows = faces.map(({ photo, number, face }) => [
    quoted(String(photo)),
    number,
    face.method,
    ...padded(face.box, 4),
    ...ONES.map((name) => cell(face[name])),
    ...padded(Array.isArray(face.landmarks) ? face.landmarks.flatMap((point) => numbers(point)) : [], 3 * 68),
    ...counts.flatMap(({ name, count }) => padded(face[name], count)),
  ]);
  const text = [header, ...rows].map((row) => `${row.join(',')}\r\n`).join('');
  writeAtomicallySync(file, Buffer.from(text));
}

const numbers = (value: unknown): number[] => (Array.isArray(value) ? value.map(Number) : []);

/** Single precision has seven digits. */
const cell = (value: unknown): string => (typeof value === 'number' ? String(Number(value.toPrecision(7))) : '');

function padded(value: unknown, count: number): string[] {
  const found = numbers(value);
  return Array.from({ length: count }, (_, i) => cell(found[i]));
}

const quoted = (text: string): string => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
