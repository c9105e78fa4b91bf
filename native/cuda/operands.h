// What a matrix product reads: at(row, k) is the address of an element, or null for a zero; origin() any address. Rows are rows of the first factor or
// columns of the second; kAlongK says whether neighbours in memory are neighbours in k (else in row).
#pragma once
#include <bit>
#include "ending.h"

namespace rescunet::cuda {

/// Division of numbers below 2^31 by one that is fixed for a launch, as a product (Granlund and Montgomery 1994, figure 4.1).
struct Divisor {
  uint32_t divisor, multiplier;
  int shift;

  Divisor() : Divisor(1) {}
  explicit Divisor(int64_t d) : divisor(uint32_t(d)), shift(int(std::bit_width(uint32_t(d) - 1))) {
    multiplier = uint32_t((uint64_t(1) << 32) * ((uint64_t(1) << shift) - divisor) / divisor + 1);
  }
  __device__ int quotient(int n) const { return int((uint32_t((uint64_t(multiplier) * uint32_t(n)) >> 32) + uint32_t(n)) >> shift); }
  /// Leaves the remainder in n.
  __device__ int split(int& n) const {
    const int q = quotient(n);
    n -= q * int(divisor);
    return q;
  }
};

/// A matrix as it lies: lines of `stride` elements.
template <bool kAlong, class T = float> struct Matrix {
  static constexpr bool kAlongK = kAlong;
  const T* data;
  int64_t stride, batch_stride;

  __device__ const T* at(int row, int k) const { return kAlong ? data + row * stride + k : data + k * stride + row; }
  __device__ const T* origin() const { return data; }
  __device__ void select(int batch) { data += batch * batch_stride; }
};

/// Evenly spaced taps along one axis: position i under tap t is i * step + first + t * tap_step.
struct TapAxis { int step, first, tap_step; };

/// Pixels under the taps of a kernel: row (n, a, b) of an [n, h, w] grid, k = (tap, channel).
template <class T> struct Pixels {
  static constexpr bool kAlongK = true;
  const T* x;
  int h, w, pixel;  // size of the source, numbers from pixel to pixel
  TapAxis y_taps, x_taps;
  Divisor columns, rows, channels, taps_across;

  __device__ const T* at(int row, int k) const {
    int b = row, c = k;
    int a = columns.split(b), across = channels.split(c);
    const int n = rows.split(a), down = taps_across.split(across);
    const int y = a * y_taps.step + y_taps.first + down * y_taps.tap_step, at_x = b * x_taps.step + x_taps.first + across * x_taps.tap_step;
    if (uint32_t(y) >= uint32_t(h) || uint32_t(at_x) >= uint32_t(w)) return nullptr;
    return x + ((int64_t(n) * h + y) * w + at_x) * pixel + c;
  }
  __device__ const T* origin() const { return x; }
  __device__ void select(int) {}
};

/// What the outputs of one parity (qy, qx) read in a 3x3 convolution with padding 1 over [x upsampled twofold to the nearest, skip]: row (n, a, b) of x's grid,
/// k = (one of 2x2 pixels, channel of x), then (tap, channel of skip).
template <class T> struct PhasePixels {
  static constexpr bool kAlongK = true;
  const T *x, *skip;
  int h, w, x_channels, skip_channels;  // size of x
  Divisor columns, rows, of_x, of_skip;
  int qy = 0, qx = 0;

  __device__ const T* at(int row, int k) const {
    const bool small = k < 4 * x_channels;
    int b = row, c = small ? k : k - 4 * x_channels;
    int a = columns.split(b);
    const int n = rows.split(a), tap = small ? of_x.split(c) : of_skip.split(c), down = small ? tap / 2 : tap / 3, across = tap - down * (small ? 2 : 3);
    const int scale = small ? 1 : 2, y = a * scale + qy + down - 1, at_x = b * scale + qx + across - 1;
    if (uint32_t(y) >= uint32_t(h * scale) || uint32_t(at_x) >= uint32_t(w * scale)) return nullptr;
    return (small ? x : skip) + ((int64_t(n) * h * scale + y) * w * scale + at_x) * (small ? x_channels : skip_channels) + c;
  }
  __device__ const T* origin() const { return x; }
  __device__ void select(int phase) { qy = phase / 2, qx = phase % 2; }
};

/// And the weights that they meet: sums [phase, oc, 2, 2, ic] of what falls on one pixel of x, and w [oc, 3, 3, ic + sc]; row = output channel.
struct PhaseWeights {
  static constexpr bool kAlongK = true;
  const float *sums, *w;
  int x_channels, channels;
  int64_t phase_stride;
  Divisor of_skip;

  __device__ const float* at(int row, int k) const {
    if (k < 4 * x_channels) return sums + (int64_t(row) * 4 * x_channels + k);
    int c = k - 4 * x_channels;
    const int tap = of_skip.split(c);
    return w + ((int64_t(row) * 9 + tap) * channels + x_channels + c);
  }
  __device__ const float* origin() const { return w; }
  __device__ void select(int phase) { sums += phase * phase_stride; }
};

/// Pixels of two maps of as many channels, side by side: row = pixel, k = (map, channel).
template <class T> struct MapsBeside {
  static constexpr bool kAlongK = true;
  const T *x, *beside;
  int channels;

  __device__ const T* at(int row, int k) const { return (k < channels ? x : beside - channels) + (int64_t(row) * channels + k); }
  __device__ const T* origin() const { return x; }
  __device__ void select(int) {}
};

/// A first factor as the second: row = (tap, channel), k = pixel.
template <class Operand> struct Columns : Operand {
  static constexpr bool kAlongK = false;
  __device__ auto at(int row, int k) const -> decltype(Operand::at(k, row)) { return Operand::at(k, row); }  // nvcc's host pass sees no bodies
};

/// Weights [oc, kh, kw, ic] for the input gradient: row = input channel, k = (tap, output channel), taps as Gathered walks them.
struct TurnedWeights {
  static constexpr bool kAlongK = false;
  const float* w;
  int64_t ic, line;  // floats from one kernel position to the next, and from one output channel
  int kw, first_y, first_x, step_y, step_x;
  Divisor channels, taps_across;

  __device__ const float* at(int row, int k) const {
    int o = k;
    int across = channels.split(o);
    const int down = taps_across.split(across);
    return w + o * line + ((first_y + down * step_y) * kw + first_x + across * step_x) * ic + row;
  }
  __device__ const float* origin() const { return w; }
  __device__ void select(int) {}
};

/// f32, or the bits of bf16.
template <class Operand> using Element = std::remove_cvref_t<decltype(*std::declval<const Operand&>().at(0, 0))>;

/// Where a product goes: lines of rows, neighbouring columns; y points at bf16 where the product's ending says so.
struct Lines {
  float* y;
  int64_t stride, batch_stride;
  __device__ float* line(int row) const { return y + row * stride; }
  __device__ void select(int batch) { y += batch * batch_stride; }
};

/// Pixels of one parity of an image: row (n, a, b) goes to pixel (a * sy + qy, b * sx + qx).
struct Scattered {
  float* y;
  int h, w, pixel, sy, sx, qy, qx;
  Divisor columns, rows;

  __device__ float* line(int row) const {
    int b = row;
    int a = columns.split(b);
    const int n = rows.split(a);
    return y + ((int64_t(n) * h + a * sy + qy) * w + b * sx + qx) * pixel;
  }
  __device__ void select(int) {}
};

/// The four parities of an image, each a batch.
struct Phases : Scattered {
  __device__ void select(int phase) { qy = phase / 2, qx = phase % 2; }
};

}  // namespace rescunet::cuda
