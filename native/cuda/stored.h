// Maps as they lie in memory, f32 or bf16 (STORED of kernels.def), and the f32 that kernels compute with: one number, or the numbers of 16 bytes.
#pragma once
#include "kernels.h"

namespace rescunet::cuda {

struct Bf16 { uint16_t bits; };

__device__ inline float number(float v) { return v; }
__device__ inline float number(Bf16 v) { return __uint_as_float(uint32_t(v.bits) << 16); }
__device__ inline void put(float& y, float v) { y = v; }
__device__ inline void put(Bf16& y, float v) { y.bits = uint16_t(to_bf16x2(v, v)); }  // to nearest even; NaN stays

/// A field of an argument struct as what it points to.
template <class T> __host__ __device__ const T* as(const float* map) { return reinterpret_cast<const T*>(map); }
template <class T> __host__ __device__ T* as(float* map) { return reinterpret_cast<T*>(map); }

/// Numbers of 16 bytes.
template <class T> constexpr int kPack = 16 / int(sizeof(T));

/// Neighbours from a place that is a multiple of 16 bytes.
template <int kCount> __device__ void read(const float* p, float (&v)[kCount]) {
#pragma unroll
  for (int k = 0; k < kCount; k += 4) {
    const float4 four = *reinterpret_cast<const float4*>(p + k);
    v[k] = four.x, v[k + 1] = four.y, v[k + 2] = four.z, v[k + 3] = four.w;
  }
}
__device__ inline void read(const Bf16* p, float (&v)[8]) {
  const uint4 eight = *reinterpret_cast<const uint4*>(p);
  const uint32_t pairs[] = {eight.x, eight.y, eight.z, eight.w};
#pragma unroll
  for (int k = 0; k < 4; k++) v[2 * k] = __uint_as_float(pairs[k] << 16), v[2 * k + 1] = __uint_as_float(pairs[k] & 0xffff0000u);
}
template <int kCount> __device__ void write(float* p, const float (&v)[kCount]) {
#pragma unroll
  for (int k = 0; k < kCount; k += 4) *reinterpret_cast<float4*>(p + k) = {v[k], v[k + 1], v[k + 2], v[k + 3]};
}
__device__ inline void write(Bf16* p, const float (&v)[8]) {
  *reinterpret_cast<uint4*>(p) = {to_bf16x2(v[0], v[1]), to_bf16x2(v[2], v[3]), to_bf16x2(v[4], v[5]), to_bf16x2(v[6], v[7])};
}

/// What an op over maps of type T takes beside them: a map, or f32 whatever T is.
template <class T> struct Operand {
  const void* data;
  bool wide;

  /// Buffer `bit` of a line with STORED.
  Operand(const float* p, int64_t stored, int bit) : data(p), wide((stored >> bit & 1) == 0) {}
  __device__ bool is_wide() const { return std::is_same_v<T, float> || wide; }
  __device__ float operator[](int64_t i) const { return is_wide() ? static_cast<const float*>(data)[i] : number(static_cast<const T*>(data)[i]); }
  __device__ void read(int64_t i, float (&v)[kPack<T>]) const {
    if (is_wide()) cuda::read(static_cast<const float*>(data) + i, v);
    else cuda::read(static_cast<const T*>(data) + i, v);
  }
};

/// f with a number of the maps' type: kernels are made for both.
template <class F> void of_stored_type(int64_t stored, const F& f) {
  if (stored) f(Bf16{});
  else f(0.f);
}

}  // namespace rescunet::cuda
