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
using Gathered = Pixels<float>;

/// Pixels under a 3x3 kernel with padding 1 over [x upsampled twofold to the nearest, skip]: row (n, a, b) of the upsampled grid, k = (tap, channel of x or skip).
struct Joined {
  static constexpr bool kAlongK = true;
  const float *x, *skip;
  int h, w, x_channels, skip_channels;  // size of the upsampled grid
  Divisor columns, rows, channels;

  __device__ const float* at(int row, int k) const {
    int b = row, c = k;
    int a = columns.split(b), across = channels.split(c);
    const int n = rows.split(a), down = across / 3, y = a + down - 1, at_x = b + across - 3 * down - 1;
    if (uint32_t(y) >= uint32_t(h) || uint32_t(at_x) >= uint32_t(w)) return nullptr;
    if (c < x_channels) return x + ((int64_t(n) * (h / 2) + y / 2) * (w / 2) + at_x / 2) * x_channels + c;
    return skip + ((int64_t(n) * h + y) * w + at_x) * skip_channels + c - x_channels;
  }
  __device__ const float* origin() const { return x; }
  __device__ void select(int) {}
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
using SideBySide = MapsBeside<float>;

/// What 2x2 pixels of a 3x3 convolution sum up to: row (n, a, b) of the grid of such squares, k = (pixel of the square, tap, channel).
struct Squares {
  static constexpr bool kAlongK = true;
  const float* x;
  int h, w, pixel, first_y, first_x;
  Divisor columns, rows, channels;

  __device__ const float* at(int row, int k) const {
    int b = row, c = k;
    int a = columns.split(b);
    const int t = channels.split(c), n = rows.split(a), square = t / 9, tap = t % 9;
    const int y = 2 * a + square / 2 + first_y + tap / 3, at_x = 2 * b + square % 2 + first_x + tap % 3;
    if (uint32_t(y) >= uint32_t(h) || uint32_t(at_x) >= uint32_t(w)) return nullptr;
    return x + ((int64_t(n) * h + y) * w + at_x) * pixel + c;
  }
  __device__ const float* origin() const { return x; }
  __device__ void select(int) {}
};

/// A first factor as the second: row = (tap, channel), k = pixel.
template <class Operand> struct Columns : Operand {
  static constexpr bool kAlongK = false;
  __device__ auto at(int row, int k) const { return Operand::at(k, row); }
};
using GatheredColumns = Columns<Gathered>;

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

/// The same over and over along k, `period` long.
template <class Operand> struct Repeated : Operand {
  Divisor period;
  __device__ auto at(int row, int k) const {
    int rest = k;
    period.split(rest);
    return Operand::at(row, rest);
  }
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

}  // namespace rescunet::cuda
