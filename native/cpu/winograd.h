// What Winograd's forms of 3x3 convolution (Lavin and Gray 2016) and their adjoints share: tiles of outputs over patches of inputs, and the
// transforms. Each transform is one dimension of [values] `step` apart; two of them, down and across, transform a patch.
#pragma once
#include "bf16.h"

namespace rescunet::cpu::RESCUNET_ISA {

namespace winograd_form {

// F(4x4, 3x3): 36 products for 16 outputs instead of 144. Points 0, +-3/4, +-3/2 and infinity keep the transforms' numbers near 1; with partial
// sums the error stays at 1e-5 of the output's magnitude.
struct F4 {
  static constexpr int kOut = 4, kWritten = kOut, kIn = 6, kStep = 4, kPlanes = kIn * kIn;
  static constexpr float kA = 0.75f, kB = 1.5f, kA2 = kA * kA, kB2 = kB * kB;
  static constexpr float kN0 = 1 / (kA2 * kB2), kNA = 1 / (2 * kA2 * (kA2 - kB2)), kNB = 1 / (2 * kB2 * (kB2 - kA2));

  // d [6] -> B^T d [6]
  template <class T> static inline void input(const T* d, int64_t step, T* v, int64_t out) {
    const T d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step], d4 = d[4 * step], d5 = d[5 * step];
    const T even = d4 - kB2 * d2, odd = kA * (d3 - kB2 * d1), even2 = d4 - kA2 * d2, odd2 = kB * (d3 - kA2 * d1);
    v[0] = kA2 * kB2 * d0 - (kA2 + kB2) * d2 + d4;
    v[out] = even + odd, v[2 * out] = even - odd, v[3 * out] = even2 + odd2, v[4 * out] = even2 - odd2;
    v[5 * out] = kA2 * kB2 * d1 - (kA2 + kB2) * d3 + d5;
  }

  // g [3] -> G g [6]
  template <class T> static inline void weight(const T* g, int64_t step, T* u, int64_t out) {
    const T g0 = g[0], g1 = g[step], g2 = g[2 * step];
    const T evena = kNA * (g0 + kA2 * g2), odda = kNA * kA * g1, evenb = kNB * (g0 + kB2 * g2), oddb = kNB * kB * g1;
    u[0] = kN0 * g0;
    u[out] = evena + odda, u[2 * out] = evena - odda, u[3 * out] = evenb + oddb, u[4 * out] = evenb - oddb;
    u[5 * out] = g2;
  }

  // m [6] -> A^T m [4]
  template <class T> static inline void output(const T* m, int64_t step, T* y, int64_t out) {
    const T m0 = m[0], m1 = m[step], m2 = m[2 * step], m3 = m[3 * step], m4 = m[4 * step], m5 = m[5 * step];
    const T s1 = m1 + m2, d1 = m1 - m2, s2 = m3 + m4, d2 = m3 - m4;
    y[0] = m0 + s1 + s2;
    y[out] = kA * d1 + kB * d2;
    y[2 * out] = kA2 * s1 + kB2 * s2;
    y[3 * out] = kA * kA2 * d1 + kB * kB2 * d2 + m5;
  }

  // m [6] -> G^T m [3], the adjoint of `weight`
  template <class T> static inline void weight_adjoint(const T* m, int64_t step, T* g, int64_t out) {
    const T m0 = m[0], m1 = m[step], m2 = m[2 * step], m3 = m[3 * step], m4 = m[4 * step], m5 = m[5 * step];
    const T sa = kNA * (m1 + m2), da = kNA * (m1 - m2), sb = kNB * (m3 + m4), db = kNB * (m3 - m4);
    g[0] = kN0 * m0 + sa + sb;
    g[out] = kA * da + kB * db;
    g[2 * out] = kA2 * sa + kB2 * sb + m5;
  }

  // y [4] -> A y [6], the adjoint of `output`
  template <class T> static inline void output_adjoint(const T* y, int64_t step, T* m, int64_t out) {
    const T y0 = y[0], y1 = y[step], y2 = y[2 * step], y3 = y[3 * step];
    const T evena = y0 + kA2 * y2, odda = kA * (y1 + kA2 * y3), evenb = y0 + kB2 * y2, oddb = kB * (y1 + kB2 * y3);
    m[0] = y0;
    m[out] = evena + odda, m[2 * out] = evena - odda, m[3 * out] = evenb + oddb, m[4 * out] = evenb - oddb;
    m[5 * out] = y3;
  }
};

// F(2x2, 3x3): 16 products for 4 outputs instead of 36, for maps that F4 would cut into too few tiles. Points 0, +-1 and infinity.
struct F2 {
  static constexpr int kOut = 2, kWritten = kOut, kIn = 4, kStep = 2, kPlanes = kIn * kIn;

  template <class T> static inline void input(const T* d, int64_t step, T* v, int64_t out) {
    const T d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step];
    v[0] = d0 - d2, v[out] = d1 + d2, v[2 * out] = d2 - d1, v[3 * out] = d3 - d1;
  }

  template <class T> static inline void weight(const T* g, int64_t step, T* u, int64_t out) {
    const T g0 = g[0], g1 = g[step], g2 = g[2 * step], even = 0.5f * (g0 + g2), odd = 0.5f * g1;
    u[0] = g0, u[out] = even + odd, u[2 * out] = even - odd, u[3 * out] = g2;
  }

  template <class T> static inline void output(const T* m, int64_t step, T* y, int64_t out) {
    const T m1 = m[step], m2 = m[2 * step];
    y[0] = m[0] + m1 + m2, y[out] = m1 - m2 + m[3 * step];
  }
};

// 3x3 over a map upsampled twofold to the nearest, read at its own size: 9 products for 4 outputs instead of 36, with no constants to lose
// accuracy by. In one dimension y[2i] = S d[i] + g0 (d[i-1] - d[i]) and y[2i+1] = S d[i] + g2 (d[i+1] - d[i]), S = g0 + g1 + g2.
struct Up {
  static constexpr int kOut = 2, kWritten = kOut, kIn = 3, kStep = 1, kPlanes = kIn * kIn;

  template <class T> static inline void input(const T* d, int64_t step, T* v, int64_t out) {
    const T d1 = d[step];
    v[0] = d[0] - d1, v[out] = d1, v[2 * out] = d[2 * step] - d1;
  }

  template <class T> static inline void weight(const T* g, int64_t step, T* u, int64_t out) {
    u[0] = g[0], u[out] = g[0] + g[step] + g[2 * step], u[2 * out] = g[2 * step];
  }

  template <class T> static inline void output(const T* m, int64_t step, T* y, int64_t out) {
    y[0] = m[0] + m[step], y[out] = m[step] + m[2 * step];
  }
};

// The outputs of a form in sums of 2x2: the adjoint of upsampling behind the input gradient, at the small map's size.
template <class Form> struct Halved : Form {
  static constexpr int kWritten = Form::kOut / 2;

  template <class T> static inline void output(const T* m, int64_t step, T* y, int64_t out) {
    T full[Form::kOut];
    Form::output(m, step, full, 1);
    for (int i = 0; i < kWritten; i++) y[i * out] = full[2 * i] + full[2 * i + 1];
  }
};

// in [kFrom][kFrom] -> out [kTo][kTo] by `one` dimension's transform, down and then across.
template <int kFrom, int kTo, class T, class F> static inline __attribute__((always_inline)) void both(const T* in, T* out, F one) {
  T half[kTo * kFrom];
#pragma GCC unroll 8
  for (int u = 0; u < kFrom; u++) one(in + u, kFrom, half + u, kFrom);
#pragma GCC unroll 8
  for (int r = 0; r < kTo; r++) one(half + kFrom * r, 1, out + kTo * r, 1);
}
#define RESCUNET_BOTH(Form, from, to, transform, in, out) \
  both<from, to>(in, out, [](const auto* a, int64_t s, auto* b, int64_t t) __attribute__((always_inline)) { Form::transform(a, s, b, t); })

// An image cut into tiles of kOut x kOut outputs, which lie kStep inputs apart.
template <class Form> struct Tiling {
  const float* x;  // the inputs
  int64_t n, ih, iw, ic, oh, ow, ph, pw;
  int up = 0;  // 1: read as if upsampled twofold to the nearest
  int64_t down = (oh + Form::kOut - 1) / Form::kOut, across = (ow + Form::kOut - 1) / Form::kOut;

  int64_t tiles() const { return n * down * across; }

  struct Tile { int64_t image, y, x; };  // of its first output
  Tile tile(int64_t index) const { return {index / across / down, index / across % down * Form::kOut, index % across * Form::kOut}; }

  // The pixels under a tile from channel c on, up to kDepth of them; zeros outside the image.
  struct Patch { const float* at[Form::kPlanes]; };
  Patch patch(const Tile& t, int64_t c) const {
    Patch p;
    const float* from = x + t.image * ih * iw * ic + c;
    for (int r = 0; r < Form::kIn; r++)
      for (int u = 0; u < Form::kIn; u++) {
        const int64_t iy = t.y / Form::kOut * Form::kStep - ph + r, ix = t.x / Form::kOut * Form::kStep - pw + u;
        p.at[Form::kIn * r + u] = uint64_t(iy) < uint64_t(ih << up) && uint64_t(ix) < uint64_t(iw << up) ? from + ((iy >> up) * iw + (ix >> up)) * ic : Spare::zeros();
      }
    return p;
  }

  // B^T d B of channels [c, c + count) of a patch, `stride` numbers from plane to plane.
  template <class T> static inline __attribute__((always_inline)) void transform(const Patch& p, int64_t c, int64_t count, T* to, int64_t stride) {
    Vec d[Form::kPlanes], v[Form::kPlanes];
#pragma GCC unroll 36
    for (int k = 0; k < Form::kPlanes; k++) d[k] = load(p.at[k] + c, count);
    RESCUNET_BOTH(Form, Form::kIn, Form::kIn, input, d, v);
#pragma GCC unroll 36
    for (int k = 0; k < Form::kPlanes; k++) store(to + k * stride, v[k]);
  }
};

}  // namespace winograd_form

}  // namespace rescunet::cpu::RESCUNET_ISA
