// Text made of many numbers, written as bytes: a mesh of 38,000 vertices is a million numbers, and a string for each costs
// more than the face itself. Contract: a number written by `float` reads back as the same f32.

const ZERO = 48;
const MINUS = 45;
const POINT = 46;
const POWERS = Array.from({ length: 16 }, (_, k) => 10 ** k);
/** 10^-5 first. */
const MAGNITUDES = Array.from({ length: 15 }, (_, k) => Number(`1e${k - 5}`));
const LONGEST = 32;

export class TextWriter {
  private bytes = new Uint8Array(1 << 16);
  private length = 0;

  /** What was written so far. */
  finish(): Uint8Array {
    return this.bytes.subarray(0, this.length);
  }

  text(text: string): this {
    const encoded = Buffer.from(text);
    this.reserve(encoded.length);
    this.bytes.set(encoded, this.length);
    this.length += encoded.length;
    return this;
  }

  /** A character below 128. */
  character(code: number): void {
    this.reserve(1);
    this.bytes[this.length++] = code;
  }

  /** A whole number from 0 to 2^31. */
  whole(value: number): void {
    this.scaled(value, 0);
  }

  /** An f32 with as few digits as bring it back. */
  float(value: number): void {
    const size = Math.abs(value);
    if (size === 0) this.whole(0);
    else if (!(size >= 1e-5 && size < 1e9)) this.text(shortest(value));
    else {
      let exponent = -5;
      while (size >= MAGNITUDES[exponent + 6]) exponent++;
      for (let digits = 6; digits <= 9; digits++) {
        const decimals = Math.max(0, digits - 1 - exponent);
        const whole = Math.round(size * POWERS[decimals]);
        // Both sides are exact, so the quotient is what a reader of the text gets.
        if (digits < 9 && Math.fround(whole / POWERS[decimals]) !== size) continue;
        if (value < 0) this.character(MINUS);
        this.scaled(whole, decimals);
        return;
      }
    }
  }

  /** whole / 10^decimals without trailing zeros; whole < 2^31. */
  private scaled(whole: number, decimals: number): void {
    let rest = whole | 0;
    let places = decimals;
    while (places > 0 && rest % 10 === 0) {
      rest = (rest / 10) | 0;
      places--;
    }
    let count = places + 1;
    while (count < POWERS.length && rest >= POWERS[count]) count++;
    this.reserve(LONGEST);
    const { bytes } = this;
    let at = this.length + count + (places > 0 ? 1 : 0);
    this.length = at;
    for (let i = 0; i < count; i++) {
      if (i === places && i > 0) bytes[--at] = POINT;
      const next = (rest / 10) | 0;
      bytes[--at] = ZERO + rest - 10 * next;
      rest = next;
    }
  }

  private reserve(count: number): void {
    if (this.length + count <= this.bytes.length) return;
    const larger = new Uint8Array(Math.max(2 * this.bytes.length, this.length + count));
    larger.set(this.bytes);
    this.bytes = larger;
  }
}

/** The shortest decimal that reads back as the same f32, for numbers of unusual size. */
function shortest(value: number): string {
  for (let digits = 6; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return String(short);
  }
  return String(Number(value.toPrecision(9)));
}
