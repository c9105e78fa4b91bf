// Element-wise kernels: the functions of scalar.h over contiguous (unary) or broadcast (binary) operands, four neighbours a thread.
#include "kernels.h"

namespace rescunet::cuda {
namespace {

constexpr int kBlock = 256;

using Unary = float (*)(float, float, float);
using Binary = float (*)(float, float, float, float);

template <Unary kFunction> __global__ void map(const float* x, float* y, int64_t size, float a, float b) {
  for (int64_t i = thread_number(); i < size; i += grid_threads()) y[i] = kFunction(x[i], a, b);
}

template <Unary kFunction> __global__ void map4(const float4* x, float4* y, int64_t size, float a, float b) {
  for (int64_t i = thread_number(); i < size; i += grid_threads()) {
    const float4 v = x[i];
    y[i] = {kFunction(v.x, a, b), kFunction(v.y, a, b), kFunction(v.z, a, b), kFunction(v.w, a, b)};
  }
}

template <Unary kFunction, class Args> void unary(const Args& p, Queue& queue) {
  if (p.size % 4 == 0 && aligned16(p.x, p.y))
    return launch<map4<kFunction>>(queue, {grid_for(p.size / 4, kBlock), kBlock}, reinterpret_cast<const float4*>(p.x), reinterpret_cast<float4*>(p.y),
                                   p.size / 4, p.a, p.b);
  launch<map<kFunction>>(queue, {grid_for(p.size, kBlock), kBlock}, p.x, p.y, p.size, p.a, p.b);
}

// The axes of a broadcast, fewest possible: neighbours that both operands walk through evenly are one.
struct Axes {
  int count = 0;
  int64_t shape[6], xs[6], ys[6];

  Axes(const Ints& sizes, const Ints& x, const Ints& y) {
    for (int d = 0; d < 6; d++) {
      if (sizes[d] == 1) continue;
      if (count && xs[count - 1] == x[d] * sizes[d] && ys[count - 1] == y[d] * sizes[d]) {
        shape[count - 1] *= sizes[d], xs[count - 1] = x[d], ys[count - 1] = y[d];
        continue;
      }
      shape[count] = sizes[d], xs[count] = x[d], ys[count] = y[d], count++;
    }
    if (count == 0) shape[0] = 1, xs[0] = ys[0] = 0, count = 1;
  }

  int64_t size() const {
    int64_t product = 1;
    for (int d = 0; d < count; d++) product *= shape[d];
    return product;
  }

  // Whether runs of four along the last axis are neighbours, or one number repeated, in both operands and aligned in all.
  bool fours(const float* x, const float* y, const float* z) const {
    const int last = count - 1;
    if (shape[last] % 4 || !aligned16(z)) return false;
    const auto fits = [&](const float* p, const int64_t* strides) {
      if (strides[last] == 0) return true;
      bool even = strides[last] == 1 && aligned16(p);
      for (int d = 0; d < last; d++) even = even && strides[d] % 4 == 0;
      return even;
    };
    return fits(x, xs) && fits(y, ys);
  }

  __device__ void locate(int64_t i, int64_t& x, int64_t& y) const {
    x = y = 0;
    for (int d = count - 1; d > 0; d--) {
      const int64_t rest = i / shape[d], at = i - rest * shape[d];
      x += at * xs[d], y += at * ys[d], i = rest;
    }
    x += i * xs[0], y += i * ys[0];
  }
};

template <Binary kFunction> __global__ void combine(const float* x, const float* y, float* z, Axes axes, int64_t size, float a, float b) {
  for (int64_t i = thread_number(); i < size; i += grid_threads()) {
    int64_t at_x, at_y;
    axes.locate(i, at_x, at_y);
    z[i] = kFunction(x[at_x], y[at_y], a, b);
  }
}

__device__ inline float4 four(const float* p, bool repeated) {
  if (!repeated) return *reinterpret_cast<const float4*>(p);
  return {*p, *p, *p, *p};
}

template <Binary kFunction> __global__ void combine4(const float* x, const float* y, float4* z, Axes axes, int64_t size, float a, float b) {
  const bool x_repeats = axes.xs[axes.count - 1] == 0, y_repeats = axes.ys[axes.count - 1] == 0;
  for (int64_t i = thread_number(); i < size; i += grid_threads()) {
    int64_t at_x, at_y;
    axes.locate(4 * i, at_x, at_y);
    const float4 u = four(x + at_x, x_repeats), v = four(y + at_y, y_repeats);
    z[i] = {kFunction(u.x, v.x, a, b), kFunction(u.y, v.y, a, b), kFunction(u.z, v.z, a, b), kFunction(u.w, v.w, a, b)};
  }
}

template <Binary kFunction, class Args> void binary(const Args& p, Queue& queue) {
  const Axes axes(p.shape, p.xs, p.ys);
  const int64_t size = axes.size();
  if (axes.fours(p.x, p.y, p.z))
    return launch<combine4<kFunction>>(queue, {grid_for(size / 4, kBlock), kBlock}, p.x, p.y, reinterpret_cast<float4*>(p.z), axes, size / 4, p.a, p.b);
  launch<combine<kFunction>>(queue, {grid_for(size, kBlock), kBlock}, p.x, p.y, p.z, axes, size, p.a, p.b);
}

__global__ void choose(select_args p) {
  for (int64_t i = thread_number(); i < p.size; i += grid_threads()) p.z[i] = p.condition[i] != 0 ? p.x[i] : p.y[i];
}

}  // namespace

#define UNARY(name, expression) \
  void name(const name##_args& p, Queue& queue) { unary<scalar::name>(p, queue); }
UNARY_FUNCTIONS(UNARY)
#undef UNARY

#define BINARY(name, expression) \
  void name(const name##_args& p, Queue& queue) { binary<scalar::name>(p, queue); }
BINARY_FUNCTIONS(BINARY)
#undef BINARY

void select(const select_args& p, Queue& queue) { launch<choose>(queue, {grid_for(p.size, kBlock), kBlock}, p); }

// ---- types -------------------------------------------------------------------------------------------------------------

namespace {

__device__ inline float from_bf16(uint16_t bits) { return __uint_as_float(uint32_t(bits) << 16); }

// To nearest even; a NaN keeps a set mantissa bit.
__device__ inline uint16_t to_bf16(float f) {
  const uint32_t bits = __float_as_uint(f);
  return f != f ? uint16_t(bits >> 16 | 64) : uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// Integers are reached by truncation, u8 saturates and NaN becomes 0: what a typed array does, but for the saturation.
// Doubles, because a float does not hold every i32.
__device__ inline double element(const void* x, int64_t i, DType type) {
  switch (type) {
    case DType::f32: return static_cast<const float*>(x)[i];
    case DType::i32: return static_cast<const int32_t*>(x)[i];
    case DType::u8: return static_cast<const uint8_t*>(x)[i];
    default: return from_bf16(static_cast<const uint16_t*>(x)[i]);
  }
}

__device__ inline void put(void* y, int64_t i, DType type, double v) {
  switch (type) {
    case DType::f32: static_cast<float*>(y)[i] = float(v); break;
    case DType::i32: static_cast<int32_t*>(y)[i] = v != v ? 0 : v <= -2147483648.0 ? INT32_MIN : v >= 2147483647.0 ? INT32_MAX : int32_t(v); break;
    case DType::u8: static_cast<uint8_t*>(y)[i] = v != v || v <= 0 ? 0 : v >= 255 ? 255 : uint8_t(v); break;
    default: static_cast<uint16_t*>(y)[i] = to_bf16(float(v));
  }
}

__global__ void fill_all(fill_args p) {
  for (int64_t i = thread_number(); i < p.size; i += grid_threads()) put(p.y, i, DType(p.dtype), p.value);
}

__global__ void cast_all(cast_args p) {
  for (int64_t i = thread_number(); i < p.size; i += grid_threads()) put(p.y, i, DType(p.to), element(p.x, i, DType(p.from)));
}

}  // namespace

void fill(const fill_args& p, Queue& queue) { launch<fill_all>(queue, {grid_for(p.size, kBlock), kBlock}, p); }
void cast(const cast_args& p, Queue& queue) { launch<cast_all>(queue, {grid_for(p.size, kBlock), kBlock}, p); }

}  // namespace rescunet::cuda
