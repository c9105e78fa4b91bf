// Element-wise kernels: the functions of scalar.h over contiguous (unary) or broadcast (binary) operands.
#include <stdexcept>
#include <type_traits>
#include "rows.h"

namespace rescunet::cpu::RESCUNET_ISA {

static constexpr int64_t kGrain = 1 << 14;

#define UNARY(name, expression)                                                                         \
  void name(const name##_args& p, Pool& pool) {                                                         \
    pool.split(p.size, kGrain, [&](int64_t begin, int64_t end) {                                        \
      const float* __restrict xs = p.x;                                                                 \
      float* __restrict ys = p.y;                                                                       \
      const float a = p.a, b = p.b;                                                                     \
      for (int64_t i = begin; i < end; i++) ys[i] = scalar::name(xs[i], a, b);                          \
    });                                                                                                 \
  }
UNARY_FUNCTIONS(UNARY)
#undef UNARY

// Calls f(x, y, z, count, xstride, ystride) for every run of the last axis, in parallel.
template <class Args, class F> static void broadcast(const Args& p, Pool& pool, const F& f) {
  int64_t rows = 1, n = p.shape[5];
  for (int d = 0; d < 5; d++) rows *= p.shape[d];
  if (rows == 1)
    return pool.split(n, kGrain, [&](int64_t begin, int64_t end) {
      f(p.x + begin * p.xs[5], p.y + begin * p.ys[5], p.z + begin, end - begin, p.xs[5], p.ys[5]);
    });
  int64_t grain = n >= kGrain ? 1 : kGrain / (n ? n : 1);
  pool.split(rows, grain, [&](int64_t begin, int64_t end) {
    const Ints* const strides[] = {&p.xs, &p.ys};
    Rows<2> walk(p.shape, strides, begin);
    for (int64_t row = begin; row < end; row++, walk.next()) {
      f(p.x + walk.at[0], p.y + walk.at[1], p.z + row * n, n, p.xs[5], p.ys[5]);
    }
  });
}

// The three strides that matter get loops the compiler turns into vectors.
#define BINARY(name, expression)                                                                        \
  void name(const name##_args& p, Pool& pool) {                                                         \
    const float a = p.a, b = p.b;                                                                       \
    broadcast(p, pool, [=](const float* x, const float* y, float* __restrict z, int64_t n, int64_t xs, int64_t ys) { \
      if (xs == 1 && ys == 1)                                                                           \
        for (int64_t i = 0; i < n; i++) z[i] = scalar::name(x[i], y[i], a, b);                          \
      else if (xs == 1 && ys == 0)                                                                      \
        for (int64_t i = 0; i < n; i++) z[i] = scalar::name(x[i], y[0], a, b);                          \
      else                                                                                              \
        for (int64_t i = 0; i < n; i++) z[i] = scalar::name(x[i * xs], y[i * ys], a, b);                \
    });                                                                                                 \
  }
BINARY_FUNCTIONS(BINARY)
#undef BINARY

void select(const select_args& p, Pool& pool) {
  pool.split(p.size, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) p.z[i] = p.condition[i] != 0 ? p.x[i] : p.y[i];
  });
}

// ---- types -------------------------------------------------------------------------------------------------------------

static float from_bf16(uint16_t bits) {
  uint32_t wide = uint32_t(bits) << 16;
  float f;
  std::memcpy(&f, &wide, 4);
  return f;
}

// Round to nearest even; a NaN keeps a set mantissa bit.
static uint16_t to_bf16(float f) {
  uint32_t bits;
  std::memcpy(&bits, &f, 4);
  if (f != f) return uint16_t(bits >> 16 | 64);
  return uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// Integers are reached by truncation, u8 saturates and NaN becomes 0: what a typed array does, but for the saturation.
static int32_t to_i32(double v) { return v != v ? 0 : v <= -2147483648.0 ? INT32_MIN : v >= 2147483647.0 ? INT32_MAX : int32_t(v); }
static uint8_t to_u8(double v) { return v != v || v <= 0 ? 0 : v >= 255 ? 255 : uint8_t(v); }

struct Bf16 { uint16_t bits; };

inline float number(float v) { return v; }
inline int32_t number(int32_t v) { return v; }
inline int32_t number(uint8_t v) { return v; }
inline float number(Bf16 v) { return from_bf16(v.bits); }

template <class T> inline void put(float& y, T v) { y = float(v); }
template <class T> inline void put(int32_t& y, T v) { y = to_i32(double(v)); }
template <class T> inline void put(uint8_t& y, T v) { y = to_u8(double(v)); }
template <class T> inline void put(Bf16& y, T v) { y.bits = to_bf16(float(v)); }

// Calls f with p as a pointer to numbers of the type, so that its loop is made for it.
template <class F> void typed(const void* p, DType type, const F& f) {
  switch (type) {
    case DType::f32: return f(static_cast<const float*>(p));
    case DType::i32: return f(static_cast<const int32_t*>(p));
    case DType::u8: return f(static_cast<const uint8_t*>(p));
    case DType::bf16: return f(static_cast<const Bf16*>(p));
  }
}
template <class F> void typed(void* p, DType type, const F& f) {
  typed(static_cast<const void*>(p), type, [&](auto* q) { f(const_cast<std::remove_const_t<std::remove_pointer_t<decltype(q)>>*>(q)); });
}

void fill(const fill_args& p, Pool& pool) {
  pool.split(p.size, kGrain, [&](int64_t begin, int64_t end) {
    typed(p.y, DType(p.dtype), [&](auto* y) {
      for (int64_t i = begin; i < end; i++) put(y[i], p.value);
    });
  });
}

void cast(const cast_args& p, Pool& pool) {
  pool.split(p.size, kGrain, [&](int64_t begin, int64_t end) {
    typed(p.x, DType(p.from), [&](auto* x) {
      typed(p.y, DType(p.to), [&](auto* y) {
        for (int64_t i = begin; i < end; i++) put(y[i], number(x[i]));
      });
    });
  });
}

}  // namespace rescunet::cpu::RESCUNET_ISA
