// Element-wise kernels: the functions of scalar.h over contiguous (unary) or broadcast (binary) operands, neighbours of 16 bytes a thread.
#include "stored.h"

namespace rescunet::cuda {
namespace {

constexpr int kBlock = 256;

using Unary = float (*)(float, float, float);
using Binary = float (*)(float, float, float, float);

template <Unary kFunction, class T> __global__ void map(const T* x, T* y, int64_t size, float a, float b) {
  for (int64_t i = thread_number(); i < size; i += grid_threads()) put(y[i], kFunction(number(x[i]), a, b));
}

template <Unary kFunction, class T> __global__ void map_packs(const T* x, T* y, int64_t packs, float a, float b) {
  for (int64_t i = thread_number(); i < packs; i += grid_threads()) {
    float v[kPack<T>];
    read(x + i * kPack<T>, v);
#pragma unroll
    for (float& one : v) one = kFunction(one, a, b);
    write(y + i * kPack<T>, v);
  }
}

template <Unary kFunction, class Args> void unary(const Args& p, Queue& queue) {
  of_stored_type(p.stored, [&](auto type) {
    using T = decltype(type);
    const auto* x = reinterpret_cast<const T*>(p.x);
    auto* y = reinterpret_cast<T*>(p.y);
    const int64_t packs = p.size / kPack<T>;
    if (p.size % kPack<T> == 0 && aligned16(x, y)) launch<map_packs<kFunction, T>>(queue, {grid_for(packs, kBlock), kBlock}, x, y, packs, p.a, p.b);
    else launch<map<kFunction, T>>(queue, {grid_for(p.size, kBlock), kBlock}, x, y, p.size, p.a, p.b);
  });
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

  // Whether runs of `length` along the last axis are neighbours, or one number repeated, in both operands and aligned in all.
  bool packs(int length, const float* x, const float* y, const float* z) const {
    const int last = count - 1;
    if (shape[last] % length || !aligned16(z)) return false;
    const auto fits = [&](const float* p, const int64_t* strides) {
      if (strides[last] == 0) return true;
      bool even = strides[last] == 1 && aligned16(p);
      for (int d = 0; d < last; d++) even = even && strides[d] % length == 0;
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

template <Binary kFunction, class T> __global__ void combine(Operand<T> x, Operand<T> y, T* z, Axes axes, int64_t size, float a, float b) {
  for (int64_t i = thread_number(); i < size; i += grid_threads()) {
    int64_t at_x, at_y;
    axes.locate(i, at_x, at_y);
    put(z[i], kFunction(x[at_x], y[at_y], a, b));
  }
}

template <class T> __device__ void read_or_repeat(const Operand<T>& p, int64_t i, bool repeated, float (&v)[kPack<T>]) {
  if (!repeated) return p.read(i, v);
  const float same = p[i];
#pragma unroll
  for (float& one : v) one = same;
}

template <Binary kFunction, class T> __global__ void combine_packs(Operand<T> x, Operand<T> y, T* z, Axes axes, int64_t packs, float a, float b) {
  const bool x_repeats = axes.xs[axes.count - 1] == 0, y_repeats = axes.ys[axes.count - 1] == 0;
  for (int64_t i = thread_number(); i < packs; i += grid_threads()) {
    int64_t at_x, at_y;
    axes.locate(kPack<T> * i, at_x, at_y);
    float u[kPack<T>], v[kPack<T>];
    read_or_repeat(x, at_x, x_repeats, u), read_or_repeat(y, at_y, y_repeats, v);
#pragma unroll
    for (int k = 0; k < kPack<T>; k++) u[k] = kFunction(u[k], v[k], a, b);
    write(z + kPack<T> * i, u);
  }
}

template <Binary kFunction, class Args> void binary(const Args& p, Queue& queue) {
  const Axes axes(p.shape, p.xs, p.ys);
  const int64_t size = axes.size();
  of_stored_type(p.stored, [&](auto type) {
    using T = decltype(type);
    const Operand<T> x(p.x, p.stored, 0), y(p.y, p.stored, 1);
    auto* z = reinterpret_cast<T*>(p.z);
    const int64_t packs = size / kPack<T>;
    if (axes.packs(kPack<T>, p.x, p.y, p.z)) launch<combine_packs<kFunction, T>>(queue, {grid_for(packs, kBlock), kBlock}, x, y, z, axes, packs, p.a, p.b);
    else launch<combine<kFunction, T>>(queue, {grid_for(size, kBlock), kBlock}, x, y, z, axes, size, p.a, p.b);
  });
}

template <class T> __global__ void choose(Operand<T> condition, Operand<T> x, Operand<T> y, T* z, int64_t size) {
  for (int64_t i = thread_number(); i < size; i += grid_threads()) put(z[i], condition[i] != 0 ? x[i] : y[i]);
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

void select(const select_args& p, Queue& queue) {
  of_stored_type(p.stored, [&](auto type) {
    using T = decltype(type);
    const Operand<T> condition(p.condition, p.stored, 0), x(p.x, p.stored, 1), y(p.y, p.stored, 2);
    launch<choose<T>>(queue, {grid_for(p.size, kBlock), kBlock}, condition, x, y, reinterpret_cast<T*>(p.z), p.size);
  });
}

// ---- types -------------------------------------------------------------------------------------------------------------

namespace {

// Integers are reached by truncation, u8 saturates and NaN becomes 0: what a typed array does, but for the saturation.
// Doubles, because a float does not hold every i32.
__device__ inline double element(const void* x, int64_t i, DType type) {
  switch (type) {
    case DType::f32: return static_cast<const float*>(x)[i];
    case DType::i32: return static_cast<const int32_t*>(x)[i];
    case DType::u8: return static_cast<const uint8_t*>(x)[i];
    default: return number(static_cast<const Bf16*>(x)[i]);
  }
}

__device__ inline void put_element(void* y, int64_t i, DType type, double v) {
  switch (type) {
    case DType::f32: static_cast<float*>(y)[i] = float(v); break;
    case DType::i32: static_cast<int32_t*>(y)[i] = v != v ? 0 : v <= -2147483648.0 ? INT32_MIN : v >= 2147483647.0 ? INT32_MAX : int32_t(v); break;
    case DType::u8: static_cast<uint8_t*>(y)[i] = v != v || v <= 0 ? 0 : v >= 255 ? 255 : uint8_t(v); break;
    default: put(static_cast<Bf16*>(y)[i], float(v));
  }
}

__global__ void fill_all(fill_args p) {
  for (int64_t i = thread_number(); i < p.size; i += grid_threads()) put_element(p.y, i, DType(p.dtype), p.value);
}

__global__ void cast_all(cast_args p) {
  for (int64_t i = thread_number(); i < p.size; i += grid_threads()) put_element(p.y, i, DType(p.to), element(p.x, i, DType(p.from)));
}

template <class From, class To> __global__ void between_floats(const From* x, To* y, int64_t size) {
  constexpr int kCount = kPack<Bf16>;
  for (int64_t i = kCount * thread_number(); i < size; i += kCount * grid_threads()) {
    float v[kCount];
    read(x + i, v);
    write(y + i, v);
  }
}

}  // namespace

void fill(const fill_args& p, Queue& queue) { launch<fill_all>(queue, {grid_for(p.size, kBlock), kBlock}, p); }
void cast(const cast_args& p, Queue& queue) {
  const bool packs = p.size % kPack<Bf16> == 0 && aligned16(p.x, p.y);
  const Launch launch_packs{grid_for(p.size / kPack<Bf16>, kBlock), kBlock};
  const DType from = DType(p.from), to = DType(p.to);
  if (packs && from == DType::f32 && to == DType::bf16)
    launch<between_floats<float, Bf16>>(queue, launch_packs, static_cast<const float*>(p.x), static_cast<Bf16*>(p.y), p.size);
  else if (packs && from == DType::bf16 && to == DType::f32)
    launch<between_floats<Bf16, float>>(queue, launch_packs, static_cast<const Bf16*>(p.x), static_cast<float*>(p.y), p.size);
  else launch<cast_all>(queue, {grid_for(p.size, kBlock), kBlock}, p);
}

}  // namespace rescunet::cuda
