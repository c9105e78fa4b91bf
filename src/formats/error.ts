// FormatError: what every reader and writer of files throws.

/** A file that cannot be read or written. The message is one line: `FILE: FIELD: what is wrong`. */
export class FormatError extends Error {
  constructor(
    readonly file: string,
    readonly field: string,
    problem: string,
  ) {
    super(`${file}: ${field}: ${problem}`);
    this.name = 'FormatError';
  }
}
