// What Winograd's F(4x4, 3x3) (Lavin and Gray 2016) and its adjoint share: tiles of 4x4 outputs over 6x6 inputs, and the transforms.
// Points 0, +-3/4, +-3/2 and infinity keep the transforms' numbers near 1; with partial sums the error stays at 1e-5 of the output's
// magnitude. Each transform is one dimension of [values] `step` apart; two of them, down and across, transform a patch.
#pragma once
#include "tile.h"

namespace rescunet::cpu::RESCUNET_ISA {

namespace winograd_form {

constexpr float kA = 0.75f, kB = 1.5f, kA2 = kA * kA, kB2 = kB * kB;
constexpr int kPlanes = 36;

// d [6] -> B^T d [6]
template <class T> inline void input_transform(const T* d, int64_t step, T* v, int64_t out) {
  const T d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step], d4 = d[4 * step], d5 = d[5 * step];
  const T even = d4 - kB2 * d2, odd = kA * (d3 - kB2 * d1), even2 = d4 - kA2 * d2, odd2 = kB * (d3 - kA2 * d1);
  v[0] = kA2 * kB2 * d0 - (kA2 + kB2) * d2 + d4;
  v[out] = even + odd, v[2 * out] = even - odd, v[3 * out] = even2 + odd2, v[4 * out] = even2 - odd2;
  v[5 * out] = kA2 * kB2 * d1 - (kA2 + kB2) * d3 + d5;
}

constexpr float kN0 = 1 / (kA2 * kB2), kNA = 1 / (2 * kA2 * (kA2 - kB2)), kNB = 1 / (2 * kB2 * (kB2 - kA2));

// g [3] -> G g [6]
template <class T> inline void weight_transform(const T* g, int64_t step, T* u, int64_t out) {
  const T g0 = g[0], g1 = g[step], g2 = g[2 * step];
  const T evena = kNA * (g0 + kA2 * g2), odda = kNA * kA * g1, evenb = kNB * (g0 + kB2 * g2), oddb = kNB * kB * g1;
  u[0] = kN0 * g0;
  u[out] = evena + odda, u[2 * out] = evena - odda, u[3 * out] = evenb + oddb, u[4 * out] = evenb - oddb;
  u[5 * out] = g2;
}

// m [6] -> G^T m [3], its adjoint
template <class T> inline void weight_adjoint(const T* m, int64_t step, T* g, int64_t out) {
  const T m0 = m[0], m1 = m[step], m2 = m[2 * step], m3 = m[3 * step], m4 = m[4 * step], m5 = m[5 * step];
  const T sa = kNA * (m1 + m2), da = kNA * (m1 - m2), sb = kNB * (m3 + m4), db = kNB * (m3 - m4);
  g[0] = kN0 * m0 + sa + sb;
  g[out] = kA * da + kB * db;
  g[2 * out] = kA2 * sa + kB2 * sb + m5;
}

// m [6] -> A^T m [4]
template <class T> inline void output_transform(const T* m, int64_t step, T* y, int64_t out) {
  const T m0 = m[0], m1 = m[step], m2 = m[2 * step], m3 = m[3 * step], m4 = m[4 * step], m5 = m[5 * step];
  const T s1 = m1 + m2, d1 = m1 - m2, s2 = m3 + m4, d2 = m3 - m4;
  y[0] = m0 + s1 + s2;
  y[out] = kA * d1 + kB * d2;
  y[2 * out] = kA2 * s1 + kB2 * s2;
  y[3 * out] = kA * kA2 * d1 + kB * kB2 * d2 + m5;
}

// y [4] -> A y [6], its adjoint
template <class T> inline void output_adjoint(const T* y, int64_t step, T* m, int64_t out) {
  const T y0 = y[0], y1 = y[step], y2 = y[2 * step], y3 = y[3 * step];
  const T evena = y0 + kA2 * y2, odda = kA * (y1 + kA2 * y3), evenb = y0 + kB2 * y2, oddb = kB * (y1 + kB2 * y3);
  m[0] = y0;
  m[out] = evena + odda, m[2 * out] = evena - odda, m[3 * out] = evenb + oddb, m[4 * out] = evenb - oddb;
  m[5 * out] = y3;
}

// A vector of channels of which `count` are real, the others zero; or one channel.
inline void read(const float* p, int64_t count, Vec& v) {
  if (count >= kLanes) v = load(p);
  else
    for (int j = 0; j < kLanes; j++) v[j] = j < count ? p[j] : 0.f;
}
inline void read(const float* p, int64_t, float& v) { v = *p; }
inline void write(float* p, Vec v) { store(p, v); }
inline void write(float* p, float v) { *p = v; }

// An image cut into tiles of 4x4 outputs.
struct Tiling {
  const float* x;  // the inputs
  int64_t n, ih, iw, ic, oh, ow, ph, pw;
  int64_t down = (oh + 3) / 4, across = (ow + 3) / 4;

  int64_t tiles() const { return n * down * across; }

  struct Tile { int64_t image, y, x; };  // of its first output
  Tile tile(int64_t index) const { return {index / across / down, index / across % down * 4, index % across * 4}; }

  // B^T d B of channels [c, c + count) of the 6x6 patch under a tile, `stride` floats from plane to plane; zero outside the image.
  template <class T> void transform(const Tile& t, int64_t c, int64_t count, float* to, int64_t stride) const {
    T d[36], half[36], v[36];
    const float* from = x + t.image * ih * iw * ic + c;
    for (int r = 0; r < 6; r++)
      for (int u = 0; u < 6; u++) {
        const int64_t iy = t.y - ph + r, ix = t.x - pw + u;
        if (iy < 0 || iy >= ih || ix < 0 || ix >= iw) d[6 * r + u] = T{};
        else read(from + (iy * iw + ix) * ic, count, d[6 * r + u]);
      }
    for (int u = 0; u < 6; u++) input_transform(d + u, 6, half + u, 6);
    for (int y = 0; y < 6; y++) input_transform(half + 6 * y, 1, v + 6 * y, 1);
    for (int k = 0; k < kPlanes; k++) write(to + k * stride, v[k]);
  }
};

}  // namespace winograd_form

}  // namespace rescunet::cpu::RESCUNET_ISA
