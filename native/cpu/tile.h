// The register tile that every matrix product and convolution is made of: kRows x kWidth sums in registers, fed by rows of A
// (as they lie, by pointer) and a panel of B packed as [k][kWidth]. Sums of a few hundred terms are added up in memory, which
// halves the rounding of one long sum.
#pragma once
#include <utility>
#include "ending.h"

namespace rescunet::cpu::RESCUNET_ISA {

inline constexpr int kRows = kLanes == 16 ? 8 : 6, kVectors = 2, kWidth = kVectors * kLanes;
static_assert(kVectors == 2);
inline constexpr int64_t kDepth = 512;  // terms per pass: a panel of B then stays in L1 or just beyond

static inline int64_t panels_of(int64_t n) { return (n + kWidth - 1) / kWidth; }

// Where a tile's sums go: one pointer per row; columns [0, columns) are real. `first` starts from the bias, else adds. The last pass over a sum
// may add a residual, by row as well, and apply an activation.
struct Target {
  float* const* rows;
  int64_t columns;
  bool first;
  const float* bias;  // of this panel, or null
  const float* const* residual = nullptr;
  int64_t activation = kNone;
  float slope = 0;
  const float* slopes = nullptr;  // of this panel, or null
};

// The lines that a tile's sums go to are on their way while it is summed up.
template <int kR = kRows, int kV = kVectors> static inline __attribute__((always_inline)) void announce(const Target& t) {
#pragma GCC unroll 16
  for (int i = 0; i < kR; i++)
    for (int j = 0; j < kV * kLanes; j += 16) __builtin_prefetch(t.rows[i] + j, 1);
  if (t.residual)
    for (int i = 0; i < kR; i++)
      for (int j = 0; j < kV * kLanes; j += 16) __builtin_prefetch(t.residual[i] + j);
}

// Ends rows of kV vectors of sums of which t.columns are real. Apart from the tiles: with this in them the compiler keeps their factors in memory.
template <int kV> static __attribute__((noinline)) void finish_ragged(const float* sums, int rows, const Target& t) {
  for (int i = 0; i < rows; i++, sums += kV * kLanes) {
    float* y = t.rows[i];
    const float *before = t.first ? t.bias : y, *residual = t.residual ? t.residual[i] : nullptr;
    for (int64_t j = 0; j < t.columns; j += kLanes) {
      Vec s = load(sums + j);
      if (before) s += load(before + j, t.columns - j);
      if (residual) s += load(residual + j, t.columns - j);
      store(y + j, activated(s, t.activation, t.slopes ? load(t.slopes + j, t.columns - j) : splat(t.slope)), t.columns - j);
    }
  }
}

// Writes kR x kV sums.
template <int kR = kRows, int kV = kVectors> static inline __attribute__((always_inline)) void finish(Vec (&sums)[kR][kV], const Target& t) {
  if (t.columns < kV * kLanes) {
    float spilled[kR * kV * kLanes];
#pragma GCC unroll 16
    for (int i = 0; i < kR; i++)
#pragma GCC unroll 2
      for (int j = 0; j < kV; j++) store(spilled + (i * kV + j) * kLanes, sums[i][j]);
    return finish_ragged<kV>(spilled, kR, t);
  }
  const auto each = [&](auto change) __attribute__((always_inline)) {
#pragma GCC unroll 16
    for (int i = 0; i < kR; i++)
#pragma GCC unroll 2
      for (int j = 0; j < kV; j++) change(sums[i][j], i, j * kLanes);
  };
  if (!t.first) each([&](Vec& s, int i, int j) { s += load(t.rows[i] + j); });
  else if (t.bias) each([&](Vec& s, int, int j) { s += load(t.bias + j); });
  if (t.residual) each([&](Vec& s, int i, int j) { s += load(t.residual[i] + j); });
  if (t.activation == kRelu) each([&](Vec& s, int, int) { s = activated<kRelu>(s, Vec{}); });
  else if (t.activation == kLeaky) each([&](Vec& s, int, int j) { s = activated<kLeaky>(s, t.slopes ? load(t.slopes + j) : splat(t.slope)); });
  each([&](Vec& s, int i, int j) { store(t.rows[i] + j, s); });
}

// A as `groups` of kRows row pointers with `depth` neighbouring elements each; kV vectors of every row of a panel.
template <int kV> static __attribute__((noinline)) void tile_rows_of(const float* const* a, int64_t groups, int64_t depth, const float* b, const Target& t) {
  Vec sums[kRows][kV] = {};
  announce<kRows, kV>(t);
  for (int64_t g = 0; g < groups; g++, a += kRows) {
    const float* row[kRows];
#pragma GCC unroll 8
    for (int i = 0; i < kRows; i++) row[i] = a[i];
    for (int64_t k = 0; k < depth; k++, b += kWidth) {
      const Vec v0 = load(b), v1 = kV == 2 ? load(b + kLanes) : Vec{};
#pragma GCC unroll 8
      for (int i = 0; i < kRows; i++) {
        const Vec s = splat(row[i][k]);
        sums[i][0] += s * v0;
        if constexpr (kV == 2) sums[i][1] += s * v1;
      }
    }
  }
  finish<kRows, kV>(sums, t);
}

// Of a panel whose second vector holds no column only the first is summed.
static inline void tile_rows(const float* const* a, int64_t groups, int64_t depth, const float* b, const Target& t) {
  if (t.columns <= kLanes) tile_rows_of<1>(a, groups, depth, b, t);
  else tile_rows_of<kVectors>(a, groups, depth, b, t);
}

// The columns beyond whole vectors where they are few: a vector of them would leave most lanes idle, so the lanes run along the terms.
inline constexpr int64_t kFew = 4;
static inline int64_t few_columns(int64_t columns) { return columns % kLanes <= kFew ? columns % kLanes : 0; }
// Where that pays for adding up the lanes, and for writing each sum alone, which takes as long as 16 products.
static inline int64_t few_columns(int64_t terms, int64_t columns) {
  const int64_t few = few_columns(columns);
  return few * (terms / kLanes + 16) < terms ? few : 0;
}

// Of them b lies as [column][groups][depth], columns `stride` floats apart. Several rows at a time, since a sum waits for the one before.
template <int kColumns> static __attribute__((noinline)) void tile_few_of(const float* const* a, int64_t groups, int64_t depth, const float* b, int64_t stride, const Target& t) {
  constexpr int kR = kColumns == 1 ? kRows : kColumns == 2 ? kRows / 2 : kRows == 8 ? 4 : 2;
  for (int r = 0; r < kRows; r += kR) {
    Vec sums[kR][kColumns] = {};
    for (int64_t g = 0; g < groups; g++) {
      const float *const* row = a + g * kRows + r, *const w = b + g * depth;
      const auto add = [&](int64_t k, auto... left) __attribute__((always_inline)) {
        Vec s[kR];
#pragma GCC unroll 8
        for (int i = 0; i < kR; i++) s[i] = load(row[i] + k, left...);
#pragma GCC unroll 4
        for (int j = 0; j < kColumns; j++) {
          const Vec v = load(w + j * stride + k, left...);
#pragma GCC unroll 8
          for (int i = 0; i < kR; i++) sums[i][j] += s[i] * v;
        }
      };
      int64_t k = 0;
      for (; k + kLanes <= depth; k += kLanes) add(k);
      if (k < depth) add(k, depth - k);
    }
    float found[kR][kColumns];
#pragma GCC unroll 8
    for (int i = 0; i < kR; i++)
#pragma GCC unroll 4
      for (int j = 0; j < kColumns; j++) found[i][j] = total(sums[i][j]);
    for (int i = 0; i < kR; i++)
      for (int j = 0; j < kColumns; j++) {
        float& y = t.rows[r + i][j];
        const float z = found[i][j] + (!t.first ? y : t.bias ? t.bias[j] : 0.f) + (t.residual ? t.residual[r + i][j] : 0.f);
        y = activated(z, t.activation, t.slopes ? t.slopes[j] : t.slope);
      }
  }
}

static inline void tile_few(const float* const* a, int64_t groups, int64_t depth, const float* b, int64_t stride, const Target& t) {
  static constexpr decltype(&tile_few_of<1>) tiles[kFew] = {tile_few_of<1>, tile_few_of<2>, tile_few_of<3>, tile_few_of<4>};
  tiles[t.columns - 1](a, groups, depth, b, stride, t);
}

// The same over pixels: a lies as [pixel][kRows], b at base + offsets[s] for `count` stretches of `length` pixels, `step` floats apart.
template <int kR, int kV> static __attribute__((noinline)) void tile_pixels(const float* a, const float* base, const int64_t* offsets, int64_t count, int64_t length,
                                                             int64_t step, const Target& t) {
  Vec sums[kR][kV] = {};
  for (int64_t s = 0; s < count; s++) {
    const float* b = base + offsets[s];
    for (int64_t x = 0; x < length; x++, a += kRows, b += step) {
      Vec v[kV];
#pragma GCC unroll 2
      for (int j = 0; j < kV; j++) v[j] = load(b + j * kLanes);
#pragma GCC unroll 8
      for (int i = 0; i < kR; i++) {
        const Vec k = splat(a[i]);
#pragma GCC unroll 2
        for (int j = 0; j < kV; j++) sums[i][j] += k * v[j];
      }
    }
  }
  finish<kR, kV>(sums, t);
}

using TilePixels = void (*)(const float*, const float*, const int64_t*, int64_t, int64_t, int64_t, const Target&);
template <int kV, int... kR> static inline TilePixels tile_pixels_of(int64_t rows, std::integer_sequence<int, kR...>) {
  static constexpr TilePixels tiles[] = {tile_pixels<kR + 1, kV>...};
  return tiles[rows - 1];
}
// For so many real rows, 1 to kRows, and columns.
static inline TilePixels tile_pixels_of(int64_t rows, int64_t columns) {
  constexpr auto counts = std::make_integer_sequence<int, kRows>();
  return columns <= kLanes ? tile_pixels_of<1>(rows, counts) : tile_pixels_of<kVectors>(rows, counts);
}

// The same of few columns: the lanes run along b, `columns` of it real, as it lies `pixel` floats apart; a lies by pointer, `step` floats apart.
template <int kR, int kV> static __attribute__((noinline)) void tile_few_pixels(const float* const* a, const int64_t* offsets, int64_t count, int64_t length, int64_t step,
                                                                                const float* b, int64_t columns, int64_t pixel, const Target& t) {
  Vec sums[kR][kV] = {};
  for (int64_t s = 0; s < count; s++) {
    const float* row[kR];
#pragma GCC unroll 8
    for (int i = 0; i < kR; i++) row[i] = a[i] + offsets[s];
    for (int64_t x = 0; x < length; x++, b += pixel) {
      Vec v[kV];
#pragma GCC unroll 2
      for (int j = 0; j < kV; j++) v[j] = load(b + j * kLanes, columns - j * kLanes);
#pragma GCC unroll 8
      for (int i = 0; i < kR; i++) {
        const Vec k = splat(row[i][x * step]);
#pragma GCC unroll 2
        for (int j = 0; j < kV; j++) sums[i][j] += k * v[j];
      }
    }
  }
  finish<kR, kV>(sums, t);
}

using TileFewPixels = decltype(&tile_few_pixels<1, 1>);
template <int kV, int... kR> static inline TileFewPixels tile_few_pixels_of(int64_t rows, std::integer_sequence<int, kR...>) {
  static constexpr TileFewPixels tiles[] = {tile_few_pixels<kR + 1, kV>...};
  return tiles[rows - 1];
}
static inline TileFewPixels tile_few_pixels_of(int64_t rows, int64_t columns) {
  constexpr auto counts = std::make_integer_sequence<int, kRows>();
  return columns <= kLanes ? tile_few_pixels_of<1>(rows, counts) : tile_few_pixels_of<kVectors>(rows, counts);
}

// Numbers of a where bit kBit of their place is 0, of b kBit before them elsewhere; and the other way round.
template <int kBit, int... kPlace> static inline void exchange(Vec& a, Vec& b, std::integer_sequence<int, kPlace...>) {
#ifdef __clang__
  const Vec low = __builtin_shufflevector(a, b, (kPlace & kBit ? kLanes + kPlace - kBit : kPlace)...);
  b = __builtin_shufflevector(a, b, (kPlace & kBit ? kLanes + kPlace : kPlace + kBit)...);
#else
  typedef int Places __attribute__((vector_size(kLanes * 4)));
  const Vec low = __builtin_shuffle(a, b, Places{(kPlace & kBit ? kLanes + kPlace - kBit : kPlace)...});
  b = __builtin_shuffle(a, b, Places{(kPlace & kBit ? kLanes + kPlace : kPlace + kBit)...});
#endif
  a = low;
}

// v[i][j] and v[j][i] change places: bit by bit of their numbers.
template <int kBit = 1> static inline __attribute__((always_inline)) void transpose(Vec (&v)[kLanes]) {
  if constexpr (kBit < kLanes) {
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; i++)
      if (!(i & kBit)) exchange<kBit>(v[i], v[i + kBit], std::make_integer_sequence<int, kLanes>());
    transpose<2 * kBit>(v);
  }
}

// to [depth][kWidth] from `columns` rows of w, zero beyond.
static inline void pack_panel(const float* w, int64_t stride, int64_t columns, int64_t depth, float* to) {
  for (int64_t j0 = 0; j0 < kWidth; j0 += kLanes) {
    int64_t k = 0;
    for (; j0 + kLanes <= columns && k + kLanes <= depth; k += kLanes) {
      Vec v[kLanes];
      for (int i = 0; i < kLanes; i++) v[i] = load(w + (j0 + i) * stride + k);
      transpose(v);
      for (int i = 0; i < kLanes; i++) store(to + (k + i) * kWidth + j0, v[i]);
    }
    for (int64_t j = j0; j < j0 + kLanes; j++)
      for (int64_t i = k; i < depth; i++) to[i * kWidth + j] = j < columns ? w[j * stride + i] : 0.f;
  }
}

// Rows past the end of a matrix read zeros and write where nobody looks.
struct Spare {
  alignas(64) float written[kWidth];
  static const float* zeros() {
    alignas(64) static const float row[kDepth] = {};
    return row;
  }
};

}  // namespace rescunet::cpu::RESCUNET_ISA
