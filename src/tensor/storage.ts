// Who owns device memory: a counted reference to a slot. Tensors of different shapes may share one (reshape).

import type { Device } from './device.js';
import type { DType } from './dtype.js';

export class Storage {
  readonly slot: number;
  /** Made while a step was being captured: the plan owns the memory, nothing is freed here. */
  readonly captured: boolean;
  private references = 1;

  constructor(
    readonly device: Device,
    readonly dtype: DType,
    size: number,
  ) {
    this.captured = device.capturing;
    this.slot = device.allocate(dtype, size);
  }

  retain(): this {
    this.references++;
    return this;
  }

  release(): void {
    if (--this.references === 0 && !this.captured) this.device.free(this.slot);
  }
}
