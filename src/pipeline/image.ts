// Photos and pictures: files to 8-bit RGB in host memory and back, crops and the resizing that the regressor was trained
// with. Contract: `Pixels` is what files hold (u8, rows from the top, RGB); tensors of images are [h, w, 3], 0..255.
import path from 'node:path';
import sharp from 'sharp';
import { FormatError } from '../formats/error.js';
import { readBytes, writeAtomically } from '../formats/files.js';
import { tensor } from '../tensor/create.js';
import { ShapeError, showShape } from '../tensor/shape.js';
import { Tensor } from '../tensor/tensor.js';

/** An 8-bit RGB image in host memory: data[3 * (y * width + x) + channel]. */
export interface Pixels {
  data: Uint8Array;
  height: number;
  width: number;
}

/**
 * Reads a PNG, JPEG, WebP, GIF or TIFF file as 8-bit RGB: turned upright by its EXIF orientation, grey and CMYK converted,
 * 16 bits reduced to 8, transparency over white, the first frame of an animation. Throws FormatError naming the file when it
 * is missing, no image, truncated or corrupt.
 */
export function readPixels(file: string): Promise<Pixels> {
  return decodePixels(readBytes(file), file);
}

/** The same from the bytes of a file; `name` stands in messages. */
export async function decodePixels(bytes: Uint8Array, name: string): Promise<Pixels> {
  if (bytes.length === 0) throw new FormatError(name, 'image', 'the file is empty');
  try {
    const { icc } = await sharp(bytes).metadata();
    // An sRGB profile changes nothing but rounding; leaving it out gives the very bytes that other programs work on.
    const ignoreIcc = icc !== undefined && Buffer.from(icc).includes('sRGB');
    const { data, info } = await sharp(bytes, { ignoreIcc, failOn: 'truncated' })
      .rotate()
      .flatten({ background: '#ffffff' })
      .toColourspace('srgb')
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true });
    return { data: toRgb(data, info.channels), height: info.height, width: info.width };
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error);
    throw new FormatError(name, 'image', `cannot be decoded (${reason})`);
  }
}

function toRgb(data: Uint8Array, channels: number): Uint8Array {
  if (channels === 3) return new Uint8Array(data.buffer, data.byteOffset, data.length);
  const rgb = new Uint8Array((data.length / channels) * 3);
  for (let i = 0, at = 0; i < data.length; i += channels, at += 3) {
    for (let c = 0; c < 3; c++) rgb[at + c] = data[channels < 3 ? i : i + c];
  }
  return rgb;
}

/** `readPixels` as a tensor u8 [h, w, 3]. */
export async function readImage(file: string): Promise<Tensor> {
  return toTensor(await readPixels(file), 'u8');
}

/** A tensor [h, w, 3] of the pixels, 0..255. */
export function toTensor({ data, height, width }: Pixels, dtype: 'f32' | 'u8' = 'f32'): Tensor {
  const values = dtype === 'f32' ? new Float32Array(data) : data;
  return tensor(values, { shape: [height, width, 3], dtype });
}

/**
 * Host pixels of an image tensor u8 or f32 in 0..255: [h, w, 3], or [h, w] and [h, w, 1] as grey. f32 is rounded and clipped.
 * Waits for the device. Throws ShapeError.
 */
export function toPixels(image: Tensor | Pixels): Pixels {
  if (!(image instanceof Tensor)) return image;
  const [height, width, channels = 1] = image.shape;
  if (image.shape.length < 2 || image.shape.length > 3 || (channels !== 1 && channels !== 3)) {
    throw new ShapeError(`toPixels: wants an image [h, w, 3] or [h, w], got ${showShape(image.shape)}`);
  }
  const values = image.dataSync();
  const data = values instanceof Uint8Array ? values : new Uint8Array(new Uint8ClampedArray(values).buffer);
  return { data: toRgb(data, channels), height, width };
}

const ENCODERS: Record<string, (image: sharp.Sharp, quality: number) => sharp.Sharp> = {
  '.png': (image) => image.png({ compressionLevel: 3 }), // half the time of 6 for 3 % more bytes
  '.jpg': (image, quality) => image.jpeg({ quality, chromaSubsampling: '4:4:4' }),
  '.jpeg': (image, quality) => image.jpeg({ quality, chromaSubsampling: '4:4:4' }),
  '.webp': (image, quality) => image.webp({ quality }),
};

/** Names that `writeImage` knows. */
export const IMAGE_EXTENSIONS: readonly string[] = Object.keys(ENCODERS);

/** The file of an image, as `format` png, jpg or webp. */
export function encodeImage(image: Tensor | Pixels, format = 'png', quality = 95): Promise<Buffer> {
  const { data, height, width } = toPixels(image);
  const encode = ENCODERS[`.${format}`];
  if (!encode) throw new FormatError(format, 'extension', `an image is written as ${IMAGE_EXTENSIONS.join(', ')}`);
  return encode(sharp(data, { raw: { width, height, channels: 3 } }), quality).toBuffer();
}

/** Writes an image as PNG, JPEG or WebP by the file's extension; never leaves half a file. Throws FormatError. */
export async function writeImage(file: string, image: Tensor | Pixels, { quality = 95 } = {}): Promise<void> {
  const extension = path.extname(file).toLowerCase();
  if (!(extension in ENCODERS)) {
    throw new FormatError(
      file,
      'extension',
      `an image is written as ${IMAGE_EXTENSIONS.join(', ')}, got '${extension}'`,
    );
  }
  await writeAtomically(file, await encodeImage(image, extension.slice(1), quality));
}

/** The window of the image with that corner and size in whole pixels; black where it lies outside the image. */
export function crop(image: Pixels, left: number, top: number, width: number, height: number): Pixels {
  if (![left, top, width, height].every(Number.isInteger) || width < 1 || height < 1) {
    throw new ShapeError(`crop: wants whole pixels and a size >= 1, got left ${left}, top ${top}, ${width}x${height}`);
  }
  const data = new Uint8Array(3 * width * height);
  const x0 = Math.max(0, left);
  const x1 = Math.min(image.width, left + width);
  for (let y = Math.max(0, -top); y < height && top + y < image.height && x0 < x1; y++) {
    const row = 3 * (top + y) * image.width;
    data.set(image.data.subarray(row + 3 * x0, row + 3 * x1), 3 * (y * width + x0 - left));
  }
  return { data, width, height };
}

/** A whole number nearest to v, halves to even. */
const roundHalfEven = (v: number): number => {
  const low = Math.floor(v);
  if (v - low !== 0.5) return Math.round(v);
  return low % 2 === 0 ? low : low + 1;
};

/** A roi's sides (left, top, right, bottom) as `cropRoi` takes them: rounded, halves to even. */
export const roundRoi = (roi: readonly number[]): number[] => roi.map(roundHalfEven);

/** The part of the image in a roi (left, top, right, bottom), its sides rounded (halves to even), black outside. */
export function cropRoi(image: Pixels, roi: readonly number[]): Pixels {
  const [left, top, right, bottom] = roundRoi(roi);
  return crop(image, left, top, right - left, bottom - top);
}

interface Taps {
  low: Int32Array;
  high: Int32Array;
  /** Weights of the two in 1/2048. */
  weightLow: Int32Array;
  weightHigh: Int32Array;
}

/** Half-pixel centres, no antialiasing; weights as 11-bit fixed point, computed in single precision. */
function bilinearTaps(from: number, to: number): Taps {
  const taps = {
    low: new Int32Array(to),
    high: new Int32Array(to),
    weightLow: new Int32Array(to),
    weightHigh: new Int32Array(to),
  };
  const scale = from / to;
  for (let i = 0; i < to; i++) {
    const position = Math.fround((i + 0.5) * scale - 0.5);
    let low = Math.floor(position);
    let fraction = Math.fround(position - low);
    if (low < 0) [low, fraction] = [0, 0];
    if (low >= from - 1) [low, fraction] = [from - 1, 0];
    taps.low[i] = low;
    taps.high[i] = Math.min(low + 1, from - 1);
    taps.weightLow[i] = roundHalfEven(Math.fround(Math.fround(1 - fraction) * 2048));
    taps.weightHigh[i] = roundHalfEven(Math.fround(fraction * 2048));
  }
  return taps;
}

/**
 * Bilinear resizing of 8-bit images as OpenCV does it: half-pixel centres, no antialiasing, fixed point with rounded 8-bit
 * results, and the mean of four at exactly half the size. The 62-parameter regressor expects its crop made like this.
 */
export function resizeBilinear(image: Pixels, height: number, width: number): Pixels {
  if (![height, width].every((n) => Number.isInteger(n) && n >= 1) || image.height < 1 || image.width < 1) {
    throw new ShapeError(`resizeBilinear: ${image.height}x${image.width} cannot become ${height}x${width}`);
  }
  const out = new Uint8Array(3 * height * width);
  const stride = 3 * image.width;
  const { data } = image;
  if (image.height === 2 * height && image.width === 2 * width) {
    for (let y = 0, at = 0; y < height; y++)
      for (let x = 0; x < width; x++)
        for (let c = 0; c < 3; c++, at++) {
          const from = 2 * y * stride + 6 * x + c;
          out[at] = (data[from] + data[from + 3] + data[from + stride] + data[from + stride + 3] + 2) >> 2;
        }
    return { data: out, height, width };
  }
  const rows = bilinearTaps(image.height, height);
  const columns = bilinearTaps(image.width, width);
  for (let y = 0, at = 0; y < height; y++) {
    const upper = rows.low[y] * stride;
    const lower = rows.high[y] * stride;
    for (let x = 0; x < width; x++) {
      const left = 3 * columns.low[x];
      const right = 3 * columns.high[x];
      const wl = columns.weightLow[x];
      const wr = columns.weightHigh[x];
      for (let c = 0; c < 3; c++, at++) {
        const top = data[upper + left + c] * wl + data[upper + right + c] * wr; // 19 bits
        const bottom = data[lower + left + c] * wl + data[lower + right + c] * wr;
        const sum = ((rows.weightLow[y] * (top >> 4)) >> 16) + ((rows.weightHigh[y] * (bottom >> 4)) >> 16);
        out[at] = (sum + 2) >> 2;
      }
    }
  }
  return { data: out, height, width };
}
