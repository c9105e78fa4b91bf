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

/// How many numbers 16 bytes hold.
template <class T> constexpr int kPack = 16 / int(sizeof(T));

/// One number, or neighbours from a place that is a multiple of 16 bytes.
template <int kCount, class T> __device__ void read(const T* p, float (&v)[kCount]) {
  if constexpr (kCount == 1) v[0] = number(*p);
  else if constexpr (std::is_same_v<T, float>) {
#pragma unroll
    for (int k = 0; k < kCount; k += 4) {
      const float4 four = *reinterpret_cast<const float4*>(p + k);
      v[k] = four.x, v[k + 1] = four.y, v[k + 2] = four.z, v[k + 3] = four.w;
    }
  } else {
    static_assert(kCount == 8);
    const uint4 eight = *reinterpret_cast<const uint4*>(p);
    const uint32_t pairs[] = {eight.x, eight.y, eight.z, eight.w};
#pragma unroll
    for (int k = 0; k < 4; k++) v[2 * k] = __uint_as_float(pairs[k] << 16), v[2 * k + 1] = __uint_as_float(pairs[k] & 0xffff0000u);
  }
}
template <int kCount, class T> __device__ void write(T* p, const float (&v)[kCount]) {
  if constexpr (kCount == 1) put(*p, v[0]);
  else if constexpr (std::is_same_v<T, float>) {
#pragma unroll
    for (int k = 0; k < kCount; k += 4) *reinterpret_cast<float4*>(p + k) = {v[k], v[k + 1], v[k + 2], v[k + 3]};
  } else {
    static_assert(kCount == 8);
    *reinterpret_cast<uint4*>(p) = {to_bf16x2(v[0], v[1]), to_bf16x2(v[2], v[3]), to_bf16x2(v[4], v[5]), to_bf16x2(v[6], v[7])};
  }
}

/// What an op over maps of type T takes beside them: a map, or f32 whatever T is.
template <class T> struct Operand {
  const void* data;
  bool wide;

  /// Buffer `bit` of a line with STORED.
  Operand(const float* p, int64_t stored, int bit) : data(p), wide((stored >> bit & 1) == 0) {}
  __device__ bool is_wide() const { return std::is_same_v<T, float> || wide; }
  __device__ float operator[](int64_t i) const { return is_wide() ? static_cast<const float*>(data)[i] : number(static_cast<const T*>(data)[i]); }
  template <int kCount> __device__ void read(int64_t i, float (&v)[kCount]) const {
    if (is_wide()) cuda::read(static_cast<const float*>(data) + i, v);
    else cuda::read(static_cast<const T*>(data) + i, v);
  }
};

/// f with a number of the maps' type: kernels are made for both.
template <class F> void of_stored_type(int64_t stored, const F& f) {
  if (stored) f(Bf16{});
  else f(0.f);
}

/// The same with how many neighbours a thread takes, as a type: those of 16 bytes where they are whole in a run of `run` numbers and maps lie so, else one.
template <class F, class... P> void by_packs(int64_t stored, int64_t run, const F& f, const P*... maps) {
  of_stored_type(stored, [&](auto type) {
    constexpr int kCount = kPack<decltype(type)>;
    if (run % kCount == 0 && aligned16(maps...)) f(type, std::integral_constant<int, kCount>{});
    else f(type, std::integral_constant<int, 1>{});
  });
}

}  // namespace rescunet::cuda
