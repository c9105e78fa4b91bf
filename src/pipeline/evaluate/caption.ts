// Text on pictures from a font that is part of the program, so that sheets look the same where no fonts are installed.

import type { Pixels } from '../image.js';
import type { Colour } from '../overlay.js';

/** 5x7 glyphs: a character for each row, its value in base 32 the row's five pixels from the left. */
const GLYPHS: Readonly<Record<string, string>> = {
  ' ': '0000000',
  '0': 'ehjlphe',
  '1': '4c4444e',
  '2': 'eh1248v',
  '3': 'v2421he',
  '4': '26aiv22',
  '5': 'vgu11he',
  '6': '68guhhe',
  '7': 'v124888',
  '8': 'ehhehhe',
  '9': 'ehhf12c',
  A: 'ehhvhhh',
  B: 'uhhuhhu',
  C: 'ehggghe',
  D: 'sihhhis',
  E: 'vgguggv',
  F: 'vgguggg',
  G: 'ehgnhhf',
  H: 'hhhvhhh',
  I: 'e44444e',
  J: '72222ic',
  K: 'hikokih',
  L: 'ggggggv',
  M: 'hrllhhh',
  N: 'hhpljhh',
  O: 'ehhhhhe',
  P: 'uhhuggg',
  Q: 'ehhhlid',
  R: 'uhhukih',
  S: 'fgge11u',
  T: 'v444444',
  U: 'hhhhhhe',
  V: 'hhhhha4',
  W: 'hhhllla',
  X: 'hha4ahh',
  Y: 'hhha444',
  Z: 'v1248gv',
  '+': '044v440',
  '-': '000v000',
  '.': '00000cc',
  ',': '0000c48',
  ':': '0cc0cc0',
  '/': '01248g0',
  '(': '2488842',
  ')': '8422248',
  '=': '00v0v00',
  '%': 'op248j3',
  '<': '248g842',
  '>': '8421248',
  _: '000000v',
};

/** Stands for what the font does not have. */
const UNKNOWN = 'vhhhhhv';

const GLYPH_HEIGHT = 7;
const ADVANCE = 6;

/** The text in capitals as a picture of width x height, cut where it is too long; `scale` pixels to a dot of the font. */
export function textLine(
  text: string,
  width: number,
  { scale = 1, colour = [235, 235, 235] as Colour, background = [24, 24, 28] as Colour } = {},
): Pixels {
  const height = (GLYPH_HEIGHT + 4) * scale;
  const data = new Uint8Array(Buffer.alloc(3 * width * height, Uint8Array.from(background)));
  const fits = Math.floor((width - scale) / (ADVANCE * scale));
  for (const [k, character] of [...text.toUpperCase()].slice(0, fits).entries()) {
    const glyph = GLYPHS[character] ?? UNKNOWN;
    for (let y = 0; y < GLYPH_HEIGHT * scale; y++) {
      const bits = Number.parseInt(glyph[Math.floor(y / scale)], 32);
      for (let x = 0; x < 5 * scale; x++) {
        if (!((bits >> (4 - Math.floor(x / scale))) & 1)) continue;
        data.set(colour, 3 * ((y + 2 * scale) * width + (1 + k * ADVANCE) * scale + x));
      }
    }
  }
  return { data, width, height };
}

/** The picture with a line of text above it. */
export function captioned({ data, height, width }: Pixels, text: string): Pixels {
  const line = textLine(text, width, { scale: Math.max(1, Math.floor(width / 128)) });
  return { data: new Uint8Array(Buffer.concat([line.data, data])), height: line.height + height, width };
}
