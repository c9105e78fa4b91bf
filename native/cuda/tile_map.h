// Tiles of sm_90a as both compilers see them: rows of 128 bytes, swizzled, and where the elements of one come from.
#pragma once
#include "ending.h"

namespace rescunet::cuda {

/// Elements in a row of a tile.
template <class T> inline constexpr int kLineElements = 128 / int(sizeof(T));

/// Matrices of rows of neighbours, strides in elements.
struct MatrixLayers { int64_t columns, rows, layers, row_stride, layer_stride; };

/// One axis of a walk over an image: `positions` of them from `first` on, every `stride`-th; taps lie behind the position.
struct WalkAxis {
  int64_t size;
  int stride, first, positions;
  /// How far the last position lies from the end.
  int upper() const { return int(first + (positions - 1) * stride + 1 - size); }
};

/// Rows lie 128 bytes apart, groups of eight of them 1024, and what is read across (rows of the factor along a line) goes on at `leading` bytes after 64.
__device__ inline uint64_t tile_descriptor(uint32_t address, uint32_t leading = 16) {
  return uint64_t((address & 0x3ffff) >> 4) | uint64_t(leading >> 4) << 16 | uint64_t(1024 >> 4) << 32 | uint64_t(1) << 62;
}

}  // namespace rescunet::cuda
