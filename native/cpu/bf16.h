// Products of bf16 with sums in f32, on processors that have them (AVX512-BF16): two for every f32 one. Elsewhere `kHasBf16` is false, and nobody asks.
#pragma once
#include "tile.h"
#if defined(__AVX512F__) && !defined(RESCUNET_LANES)
#include <immintrin.h>
#define RESCUNET_BF16 __attribute__((target("avx512bf16")))
#endif

namespace rescunet::cpu::RESCUNET_ISA {

#ifdef RESCUNET_BF16

inline bool has_bf16() {
  static const bool has = __builtin_cpu_supports("avx512bf16");
  return has;
}

// `count` numbers, rounded to the nearest; an odd one more is 0.
RESCUNET_BF16 static inline void to_bf16(const float* from, int64_t count, uint16_t* to) {
  for (int64_t i = 0; i < count; i += 16) {
    const __mmask16 mask = count - i >= 16 ? 0xffff : __mmask16((1u << (count - i)) - 1), even = count - i >= 16 ? 0xffff : __mmask16((1u << ((count - i + 1) & ~1)) - 1);
    const __m256bh half = _mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(mask, from + i));
    _mm256_mask_storeu_epi16(to + i, even, (__m256i)half);
  }
}

// A vector of numbers, rounded.
RESCUNET_BF16 static inline void store(uint16_t* to, Vec v) { _mm256_storeu_si256((__m256i*)to, (__m256i)_mm512_cvtneps_pbh((__m512)v)); }

// As tile_rows_of, of numbers in pairs: `pairs` neighbouring ones of each row, b as [pair][kWidth][2].
template <int kV>
RESCUNET_BF16 static __attribute__((noinline)) void tile_pairs_of(const uint16_t* const* a, int64_t groups, int64_t pairs, const uint16_t* b, const Target& t) {
  Vec sums[kRows][kV] = {};
  announce<kRows, kV>(t);
  for (int64_t g = 0; g < groups; g++, a += kRows) {
    const uint16_t* row[kRows];
#pragma GCC unroll 8
    for (int i = 0; i < kRows; i++) row[i] = a[i];
    for (int64_t k = 0; k < pairs; k++, b += 2 * kWidth) {
      __m512bh v[kV];
#pragma GCC unroll 2
      for (int j = 0; j < kV; j++) v[j] = (__m512bh)_mm512_loadu_si512(b + j * 2 * kLanes);
#pragma GCC unroll 8
      for (int i = 0; i < kRows; i++) {
        int pair;
        std::memcpy(&pair, row[i] + 2 * k, sizeof pair);
        const __m512bh s = (__m512bh)_mm512_set1_epi32(pair);
#pragma GCC unroll 2
        for (int j = 0; j < kV; j++) sums[i][j] = (Vec)_mm512_dpbf16_ps((__m512)sums[i][j], s, v[j]);
      }
    }
  }
  finish<kRows, kV>(sums, t);
}

#else

#define RESCUNET_BF16

inline bool has_bf16() { return false; }
static inline void to_bf16(const float*, int64_t, uint16_t*) {}
static inline void store(uint16_t*, Vec) {}
template <int kV> static inline void tile_pairs_of(const uint16_t* const*, int64_t, int64_t, const uint16_t*, const Target&) {}

#endif

// [kLanes][2] of two vectors.
static inline void store_pairs(uint16_t* to, Vec first, Vec second) {
  uint16_t halves[2][kLanes];
  store(halves[0], first), store(halves[1], second);
  for (int i = 0; i < kLanes; i++)
    for (int half = 0; half < 2; half++) to[2 * i + half] = halves[half][i];
}

// As tile_rows.
static inline void tile_pairs(const uint16_t* const* a, int64_t groups, int64_t pairs, const uint16_t* b, const Target& t) {
  if (t.columns <= kLanes) tile_pairs_of<1>(a, groups, pairs, b, t);
  else tile_pairs_of<kVectors>(a, groups, pairs, b, t);
}

// to [pair][kWidth][2] from `columns` rows of w, zero beyond.
static inline void pack_pairs(const float* w, int64_t stride, int64_t columns, int64_t depth, uint16_t* to) {
  uint16_t row[2 * kDepth];
  for (int64_t j = 0; j < kWidth; j++)
    for (int64_t k0 = 0; k0 < depth; k0 += 2 * kDepth) {
      const int64_t count = std::min(2 * kDepth, depth - k0);
      if (j < columns) to_bf16(w + j * stride + k0, count, row);
      for (int64_t k = 0; k < count; k += 2)
        for (int64_t half = 0; half < 2; half++) to[((k0 + k) / 2 * kWidth + j) * 2 + half] = j < columns ? row[k + half] : 0;
    }
}

}  // namespace rescunet::cpu::RESCUNET_ISA
