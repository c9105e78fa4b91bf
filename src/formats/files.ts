// Files on disk: reading ranges with clear errors, and writing so that nobody ever sees half a file.
// Readers ask for ranges that they have checked against `size`; nothing here allocates more than a file holds.
import fs from 'node:fs';
import path from 'node:path';
import { FormatError } from './error.js';

const REASONS: Record<string, string> = {
  ENOENT: 'does not exist',
  ENOTDIR: 'does not exist',
  EISDIR: 'is a directory',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EROFS: 'the disk is read-only',
  ENOSPC: 'the disk is full',
  ENAMETOOLONG: 'the name is too long',
};

/** An error of the operating system as a FormatError; a FormatError passes through. */
function explain(file: string, field: string, error: unknown): FormatError {
  if (error instanceof FormatError) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  return new FormatError(String(file), field, (code && REASONS[code]) ?? message ?? String(error));
}

/** An open file. `read` returns a fresh buffer whose first byte is aligned for every element type. */
export class InputFile {
  private constructor(
    readonly path: string,
    readonly size: number,
    private readonly descriptor: number,
  ) {}

  /**
   * Opens, hands to `use`, closes. Throws FormatError for a missing file, a folder, a pipe, or a lack of permission.
   */
  static with<T>(file: string, use: (input: InputFile) => T): T {
    let descriptor: number | undefined;
    try {
      // Looked at before it is opened: opening a pipe would wait for its other end.
      const stat = fs.statSync(file);
      if (stat.isDirectory()) throw new FormatError(file, 'file', 'is a directory');
      if (!stat.isFile()) throw new FormatError(file, 'file', 'is not a regular file');
      descriptor = fs.openSync(file, 'r');
      return use(new InputFile(file, stat.size, descriptor));
    } catch (error) {
      if (isSystemError(error)) throw explain(file, 'file', error);
      throw error;
    } finally {
      if (descriptor !== undefined) fs.closeSync(descriptor);
    }
  }

  /** `length` bytes from `offset`; FormatError naming `field` when the file ends before. */
  read(offset: number, length: number, field: string): Uint8Array {
    if (offset < 0 || length < 0 || offset + length > this.size) {
      const problem = `wants bytes ${offset} to ${offset + length}, the file has ${this.size}`;
      throw new FormatError(this.path, field, problem);
    }
    const bytes = new Uint8Array(allocate(this.path, field, length));
    for (let done = 0; done < length; ) {
      const count = fs.readSync(this.descriptor, bytes, done, Math.min(length - done, 1 << 30), offset + done);
      if (count === 0) throw new FormatError(this.path, field, 'the file became shorter while it was read');
      done += count;
    }
    return bytes;
  }
}

const isSystemError = (error: unknown): boolean =>
  error instanceof Error && typeof (error as NodeJS.ErrnoException).code === 'string';

/** A zeroed buffer, or FormatError where the memory is not to be had. */
export function allocate(file: string, field: string, bytes: number): ArrayBuffer {
  try {
    return new ArrayBuffer(bytes);
  } catch {
    throw new FormatError(file, field, `${bytes} bytes are more than this machine can hold`);
  }
}

/** The whole file. Throws FormatError as `InputFile.with`. */
export const readBytes = (file: string): Uint8Array =>
  InputFile.with(file, (input) => input.read(0, input.size, 'file'));

let serial = 0;

/** A name beside `file`, with its extension (encoders choose by it), that nobody else uses. */
function temporaryName(file: string): string {
  const { dir, name, ext } = path.parse(file);
  return path.join(dir, `.${name.slice(0, 100)}.${process.pid}-${serial++}.tmp${ext}`);
}

/**
 * Writes `file` so that it is either the old one or the complete new one: under a temporary name in the same folder,
 * then renamed. `content` is the bytes, or a function that writes the file at the path it is given. The folder must
 * exist. On failure the temporary file is removed and the error thrown: FormatError where the system refused, else what
 * `content` threw.
 */
export async function writeAtomically(
  file: string,
  content: Uint8Array | readonly Uint8Array[] | ((temporary: string) => Promise<unknown>),
): Promise<void> {
  if (typeof content !== 'function') return writeAtomicallySync(file, content);
  const temporary = temporaryName(checkedTarget(file));
  try {
    await content(temporary);
    await fs.promises.rename(temporary, file);
  } catch (error) {
    await fs.promises.rm(temporary, { force: true });
    throw isSystemError(error) ? explain(file, 'file', error) : error;
  }
}

/** The same, synchronous. Several pieces are written one after the other, so no whole copy is needed. */
export function writeAtomicallySync(
  file: string,
  content: Uint8Array | readonly Uint8Array[] | ((temporary: string) => void),
): void {
  const temporary = temporaryName(checkedTarget(file));
  try {
    if (typeof content === 'function') content(temporary);
    else writePieces(temporary, content instanceof Uint8Array ? [content] : content);
    fs.renameSync(temporary, file);
  } catch (error) {
    fs.rmSync(temporary, { force: true });
    throw isSystemError(error) ? explain(file, 'file', error) : error;
  }
}

function writePieces(temporary: string, pieces: readonly Uint8Array[]): void {
  const descriptor = fs.openSync(temporary, 'wx');
  try {
    for (const piece of pieces) {
      for (let done = 0; done < piece.length; ) {
        done += fs.writeSync(descriptor, piece, done, Math.min(piece.length - done, 1 << 30));
      }
    }
  } finally {
    fs.closeSync(descriptor);
  }
}

/** Refuses, before any work, what the rename would refuse at the end. */
function checkedTarget(file: string): string {
  if (typeof file !== 'string' || file === '') throw new FormatError(String(file), 'file', 'a path is wanted');
  const folder = fs.statSync(path.dirname(file), { throwIfNoEntry: false });
  if (!folder?.isDirectory()) throw new FormatError(file, 'file', `there is no folder ${path.dirname(file)}`);
  if (fs.statSync(file, { throwIfNoEntry: false })?.isDirectory())
    throw new FormatError(file, 'file', 'is a directory');
  return file;
}
