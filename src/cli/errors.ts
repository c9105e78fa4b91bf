// What counts as the user's to put right: such an error is one line on stderr and exit code 2; anything else is a crash, code 1.

/** A wrong option, a missing file, a photo that cannot be used. The message says which and what to do. */
export class UsageError extends Error {
  override name = 'UsageError';
}

export const EXIT_OK = 0;
export const EXIT_CRASH = 1;
export const EXIT_USAGE = 2;

/** By name, so that telling errors apart loads neither engine nor pipeline. */
const EXPECTED = new Set([
  'UsageError',
  'FormatError',
  'FaceModelError',
  'FitError',
  'NoFaceError',
  'DeviceError',
  'TrainingError',
]);

/** The operating system refused: its code says enough. */
const SYSTEM = new Set(['ENOENT', 'ENOTDIR', 'EISDIR', 'EACCES', 'EPERM', 'EROFS', 'ENOSPC', 'EMFILE', 'ENAMETOOLONG']);

export interface Explained {
  /** One line. */
  message: string;
  code: typeof EXIT_CRASH | typeof EXIT_USAGE;
}

/** The functions that found it out mean nothing to the user. */
const FUNCTION = /^(fitPhoto|fitLandmarks|synthesise): /;

const oneLine = (text: string): string => text.replace(/\s*\n\s*/g, ' ').trim();

export function explain(error: unknown): Explained {
  if (!(error instanceof Error)) return { message: `unexpected: ${oneLine(String(error))}`, code: EXIT_CRASH };
  const { code } = error as NodeJS.ErrnoException;
  const message = oneLine(error.message).replace(FUNCTION, '');
  if (EXPECTED.has(error.name) || (code && SYSTEM.has(code)) || message.startsWith('the native addon did not load')) {
    return { message, code: EXIT_USAGE };
  }
  return {
    message: `unexpected ${error.name}: ${message} (RESCUNET_DEBUG=1 prints where; please report it)`,
    code: EXIT_CRASH,
  };
}

/** The same for the one photo it happened to: the file's name comes first, and once. */
export function explainFor(file: string, error: unknown): Explained {
  const { message, code } = explain(error);
  return { message: message.startsWith(file) ? message : `${file}: ${message}`, code };
}
