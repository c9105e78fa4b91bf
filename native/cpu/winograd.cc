// 3x3 convolution of stride 1 by Winograd's F(4x4, 3x3) (Lavin and Gray 2016): 36 products for 16 outputs instead of 144.
// Points 0, +-3/4, +-3/2 and infinity keep the transforms' numbers near 1; with partial sums of kDepth channels the error stays
// at 1e-5 of the output's magnitude. The input gradient is the same problem with turned weights.
#include "ending.h"
#include "tile.h"

namespace rescunet::cpu::RESCUNET_ISA {
namespace {

constexpr float kA = 0.75f, kB = 1.5f, kA2 = kA * kA, kB2 = kB * kB;
constexpr int kPlanes = 36, kTiles = 4 * kRows, kColumns = 64;
constexpr int64_t kChannels = 64;  // per pass, so that a block's transformed input stays in L2

static_assert(kColumns % kWidth == 0);

// Transformed input and products of one block of tiles. Per thread, of fixed size.
struct Block {
  alignas(64) float input[kPlanes * kTiles * kChannels];  // [plane][tile][channel]
  alignas(64) float sums[kPlanes * kTiles * kColumns];    // [plane][tile][column]
};

template <class T> inline void input_transform(const T* d, int64_t step, T* v, int64_t out) {
  const T d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step], d4 = d[4 * step], d5 = d[5 * step];
  const T even = d4 - kB2 * d2, odd = kA * (d3 - kB2 * d1), even2 = d4 - kA2 * d2, odd2 = kB * (d3 - kA2 * d1);
  v[0] = kA2 * kB2 * d0 - (kA2 + kB2) * d2 + d4;
  v[out] = even + odd, v[2 * out] = even - odd, v[3 * out] = even2 + odd2, v[4 * out] = even2 - odd2;
  v[5 * out] = kA2 * kB2 * d1 - (kA2 + kB2) * d3 + d5;
}

template <class T> inline void weight_transform(const T* g, int64_t step, T* u, int64_t out) {
  constexpr float n0 = 1 / (kA2 * kB2), na = 1 / (2 * kA2 * (kA2 - kB2)), nb = 1 / (2 * kB2 * (kB2 - kA2));
  const T g0 = g[0], g1 = g[step], g2 = g[2 * step];
  const T evena = na * (g0 + kA2 * g2), odda = na * kA * g1, evenb = nb * (g0 + kB2 * g2), oddb = nb * kB * g1;
  u[0] = n0 * g0;
  u[out] = evena + odda, u[2 * out] = evena - odda, u[3 * out] = evenb + oddb, u[4 * out] = evenb - oddb;
  u[5 * out] = g2;
}

template <class T> inline void output_transform(const T* m, int64_t step, T* y, int64_t out) {
  const T m0 = m[0], m1 = m[step], m2 = m[2 * step], m3 = m[3 * step], m4 = m[4 * step], m5 = m[5 * step];
  const T s1 = m1 + m2, d1 = m1 - m2, s2 = m3 + m4, d2 = m3 - m4;
  y[0] = m0 + s1 + s2;
  y[out] = kA * d1 + kB * d2;
  y[2 * out] = kA2 * s1 + kB2 * s2;
  y[3 * out] = kA * kA2 * d1 + kB * kB2 * d2 + m5;
}

inline void read(const float* p, Vec& v) { v = load(p); }
inline void read(const float* p, float& v) { v = *p; }
inline void write(float* p, Vec v) { store(p, v); }
inline void write(float* p, float v) { *p = v; }

struct Problem {
  const winograd_args& p;
  int64_t rows, columns;  // tiles down and across

  Ending ending;

  explicit Problem(const winograd_args& a) : p(a), rows((a.oh + 3) / 4), columns((a.ow + 3) / 4), ending{a.y, a.residual, a.activation, a.slope} {}
  int64_t tiles() const { return p.n * rows * columns; }
};

// Weights to [plane][panel][ic][kWidth]. Turned: outputs are w's inputs and the kernel is rotated by half a turn.
void transform_weights(const winograd_args& p, Pool& pool) {
  const int64_t panels = panels_of(p.oc), plane = panels * p.ic * kWidth;
  pool.run(panels, [&](int64_t panel) {
    for (int64_t c = 0; c < p.ic; c++) {
      alignas(64) float g[9][kWidth] = {};
      for (int64_t j = 0; j < kWidth && panel * kWidth + j < p.oc; j++) {
        const int64_t o = panel * kWidth + j;
        for (int64_t t = 0; t < 9; t++) g[t][j] = p.turned ? p.w[(c * 9 + 8 - t) * p.oc + o] : p.w[(o * 9 + t) * p.ic + c];
      }
      for (int v = 0; v < kVectors; v++) {
        Vec k[9], half[18], u[36];
        for (int t = 0; t < 9; t++) k[t] = load(g[t] + v * kLanes);
        for (int x = 0; x < 3; x++) weight_transform(k + x, 3, half + x, 3);        // [6][3]
        for (int y = 0; y < 6; y++) weight_transform(half + 3 * y, 1, u + 6 * y, 1);  // [6][6]
        for (int q = 0; q < kPlanes; q++) store(p.scratch + q * plane + (panel * p.ic + c) * kWidth + v * kLanes, u[q]);
      }
    }
  });
}

// Channels [c, c + width of T) of the 6x6 patch under a tile; pixels outside the image are zero.
template <class T> void transform_patch(const Problem& q, const float* image, int64_t y0, int64_t x0, int64_t c, float* to) {
  T d[36], half[36], v[36];
  for (int y = 0; y < 6; y++)
    for (int x = 0; x < 6; x++) {
      const int64_t iy = y0 + y, ix = x0 + x;
      if (iy < 0 || iy >= q.p.ih || ix < 0 || ix >= q.p.iw) d[6 * y + x] = T{};
      else read(image + (iy * q.p.iw + ix) * q.p.ic + c, d[6 * y + x]);
    }
  for (int x = 0; x < 6; x++) input_transform(d + x, 6, half + x, 6);
  for (int y = 0; y < 6; y++) input_transform(half + 6 * y, 1, v + 6 * y, 1);
  for (int k = 0; k < kPlanes; k++) write(to + k * kTiles * kChannels, v[k]);
}

void transform_input(const Problem& q, int64_t tile0, int64_t count, int64_t c0, int64_t channels, float* input) {
  for (int64_t t = 0; t < count; t++) {
    const int64_t tile = tile0 + t, x0 = tile % q.columns * 4 - q.p.pw, y0 = tile / q.columns % q.rows * 4 - q.p.ph;
    const float* image = q.p.x + tile / q.columns / q.rows * q.p.ih * q.p.iw * q.p.ic;
    float* to = input + t * kChannels;
    int64_t c = 0;
    for (; c + kLanes <= channels; c += kLanes) transform_patch<Vec>(q, image, y0, x0, c0 + c, to + c);
    for (; c < channels; c++) transform_patch<float>(q, image, y0, x0, c0 + c, to + c);
  }
}

// Columns [j, j + width of T) of the 4x4 outputs of a tile, with the bias and what follows.
template <class T> void transform_sums(const Problem& q, const float* sums, float* to, const float* bias, int64_t height, int64_t width) {
  T m[36], half[24], y[16], b{};
  for (int k = 0; k < kPlanes; k++) read(sums + k * kTiles * kColumns, m[k]);
  for (int x = 0; x < 6; x++) output_transform(m + x, 6, half + x, 6);        // [4][6]
  for (int r = 0; r < 4; r++) output_transform(half + 6 * r, 1, y + 4 * r, 1);  // [4][4]
  if (bias) read(bias, b);
  for (int64_t r = 0; r < height; r++)
    for (int64_t x = 0; x < width; x++) {
      float* at = to + (r * q.p.ow + x) * q.p.oc;
      write(at, q.ending(at, y[4 * r + x] + b));
    }
}

void write_outputs(const Problem& q, int64_t tile0, int64_t count, int64_t j0, int64_t columns, const float* sums) {
  for (int64_t t = 0; t < count; t++) {
    const int64_t tile = tile0 + t, x0 = tile % q.columns * 4, y0 = tile / q.columns % q.rows * 4;
    float* to = q.p.y + ((tile / q.columns / q.rows * q.p.oh + y0) * q.p.ow + x0) * q.p.oc + j0;
    const int64_t height = std::min<int64_t>(4, q.p.oh - y0), width = std::min<int64_t>(4, q.p.ow - x0);
    const float* bias = q.p.bias ? q.p.bias + j0 : nullptr;
    int64_t j = 0;
    for (; j + kLanes <= columns; j += kLanes) transform_sums<Vec>(q, sums + t * kColumns + j, to + j, bias ? bias + j : nullptr, height, width);
    for (; j < columns; j++) transform_sums<float>(q, sums + t * kColumns + j, to + j, bias ? bias + j : nullptr, height, width);
  }
}

// sums [plane][tile][column] (+)= input [plane][tile][channel] weights [plane][channel][column]
void multiply(const Problem& q, Block& block, int64_t tiles, int64_t panel0, int64_t panels, int64_t c0, int64_t channels) {
  const int64_t plane = panels_of(q.p.oc) * q.p.ic * kWidth;
  for (int64_t k = 0; k < kPlanes; k++)
    for (int64_t p = 0; p < panels; p++) {
      const float* weights = q.p.scratch + k * plane + ((panel0 + p) * q.p.ic + c0) * kWidth;
      for (int64_t t = 0; t < tiles; t += kRows) {
        const float* rows[kRows];
        float* out[kRows];
        for (int i = 0; i < kRows; i++) {
          rows[i] = block.input + (k * kTiles + t + i) * kChannels;
          out[i] = block.sums + (k * kTiles + t + i) * kColumns + p * kWidth;
        }
        tile_rows(rows, 1, channels, weights, {out, kWidth, c0 == 0, nullptr});
      }
    }
}

}  // namespace

void winograd(const winograd_args& p, Pool& pool) {
  if (!p.packed) transform_weights(p, pool);
  const Problem q(p);
  const int64_t blocks = (q.tiles() + kTiles - 1) / kTiles, groups = (p.oc + kColumns - 1) / kColumns;
  pool.run(blocks * groups, [&](int64_t chunk) {
    static thread_local Block block;
    const int64_t tile0 = chunk / groups * kTiles, count = std::min<int64_t>(kTiles, q.tiles() - tile0);
    const int64_t j0 = chunk % groups * kColumns, columns = std::min<int64_t>(kColumns, p.oc - j0);
    for (int64_t c0 = 0; c0 < p.ic; c0 += kChannels) {
      const int64_t channels = std::min(kChannels, p.ic - c0);
      transform_input(q, tile0, count, c0, channels, block.input);
      multiply(q, block, count, j0 / kWidth, panels_of(columns), c0, channels);
    }
    write_outputs(q, tile0, count, j0, columns, block.sums);
  });
}

}  // namespace rescunet::cpu::RESCUNET_ISA
