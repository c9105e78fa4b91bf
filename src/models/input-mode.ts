// What a generator may see of an incomplete map (paper-spec 2.4).

import { ShapeError } from '../tensor/shape.js';

/** raw: hidden pixels as sampled, 3 channels; masked: noise instead; mirror: raw and its mirror image, 6; mask4: raw and the mask, 4. */
export type InputMode = 'raw' | 'masked' | 'mirror' | 'mask4';

/** Channels of each mode. */
export const INPUT_CHANNELS: Readonly<Record<InputMode, number>> = { raw: 3, masked: 3, mirror: 6, mask4: 4 };

/** The mode that a generator of so many channels is for, unless it says otherwise; undefined where there is none. */
export const inputModeFor = (channels: number): InputMode | undefined =>
  (['raw', 'mask4', 'mirror'] as const).find((mode) => INPUT_CHANNELS[mode] === channels);

/** Throws ShapeError unless a generator of so many channels can take the mode. */
export function checkInputMode(op: string, input: InputMode, channels: number): void {
  if (INPUT_CHANNELS[input] === channels) return;
  throw new ShapeError(
    input in INPUT_CHANNELS
      ? `${op}: input ${input} has ${INPUT_CHANNELS[input]} channels, got channels ${channels}`
      : `${op}: input is raw, masked, mirror or mask4, got '${input}'`,
  );
}
