// Convolution and its input gradient as one problem: a product of gathered rows with packed weights, without im2col. A row of
// the product is an output position; its A row is the list of source pixels under the kernel's taps, read where they lie.
// The input gradient of a strided convolution falls into one dense problem per parity of the position.
#include "bf16.h"
#include "depthwise.h"
#include "ending.h"
#include "tile.h"

namespace rescunet::cpu::RESCUNET_ISA {

static constexpr int64_t kTiles = 8, kTaps = 32, kMaxTaps = 1024, kThin = 256;
static constexpr int64_t kShort = 8;  // fewer floats side by side are better copied together

// rows (n, a, b), a < h, b < w:
// y[n, a ysy + yoy, b ysx + yox, :] = bias + sum over taps t of x[n, a xsy + ty[t], b xsx + tx[t], :] weights[t]
struct Gathered {
  const float *x, *beside;              // the last tap's source, where there are two
  int64_t xh, xw, xpixel, c;  // source size, floats from pixel to pixel, channels of the sum
  float* y;
  int64_t yh, yw, ypixel, columns, few;  // columns in panels, and few more beyond
  int64_t n, h, w, xsy, xsx, ysy, ysx, yoy, yox;
  int64_t taps;
  int32_t ty[kMaxTaps], tx[kMaxTaps];
  const float *weights, *few_weights;  // [panel][tap][c][kWidth], [column][tap][c]
  const float* bias;
  Ending ending;
  const uint16_t* pairs = nullptr;  // weights in bf16, [panel][tap][c / 2][kWidth][2]; then sources are rounded to it too

  int64_t rows() const { return n * h * w; }
  static int64_t few_of(int64_t taps, int64_t c, int64_t columns) { return c < kLanes || c > kDepth ? 0 : columns <= kFew ? columns : few_columns(taps * c, columns); }

  // Row number `row` of the product: its image and the source pixel of tap (0, 0), unclipped, and where the sums go.
  struct Row { int64_t image, y, x; float* out; };
  Row row(int64_t i, int64_t a, int64_t b) const { return {i * xh * xw * xpixel, a * xsy, b * xsx, y + ((i * yh + a * ysy + yoy) * yw + b * ysx + yox) * ypixel}; }
  Row row(int64_t index) const { return row(index / w / h, index / w % h, index % w); }

  // The source pixel under a tap, null outside the image.
  const float* source(const Row& r, int64_t tap) const {
    const int64_t iy = r.y + ty[tap], ix = r.x + tx[tap];
    if (uint64_t(iy) >= uint64_t(xh) || uint64_t(ix) >= uint64_t(xw)) return nullptr;
    return (beside && tap == taps - 1 ? beside : x) + r.image + (iy * xw + ix) * xpixel;
  }
};

// Rows [m0, m0 + count) of the product for panels [p0, p1), and behind the last of them the few columns.
static void block_of_rows(const Gathered& g, int64_t m0, int64_t count, int64_t p0, int64_t p1) {
  Spare spare;
  const int64_t tiles = (count + kRows - 1) / kRows;
  Gathered::Row row[kTiles * kRows];
  for (int64_t m = 0, i = m0 / g.w / g.h, a = m0 / g.w % g.h, b = m0 % g.w; m < count; m++) {  // divisions once, not for every row
    row[m] = g.row(i, a, b);
    if (++b < g.w) continue;
    b = 0;
    if (++a == g.h) a = 0, i++;
  }

  // Calls sum(tile, target) for every tile of columns [j0, j0 + columns).
  const auto each_tile = [&](int64_t j0, int64_t columns, bool first, bool last, auto sum) __attribute__((always_inline)) {
    alignas(64) float bias[kWidth] = {};
    if (g.bias) std::memcpy(bias, g.bias + j0, columns * sizeof(float));
    for (int64_t t = 0; t < tiles; t++) {
      float* to[kRows];
      const float* residual[kRows];
      for (int i = 0; i < kRows; i++) {
        const bool real = t * kRows + i < count;
        to[i] = real ? row[t * kRows + i].out + j0 : spare.written;
        residual[i] = real && g.ending.residual ? g.ending.residual + (to[i] - g.ending.y) : Spare::zeros();
      }
      Target target{to, columns, first, g.bias ? bias : nullptr};
      if (last) target.residual = g.ending.residual ? residual : nullptr, target.activation = g.ending.activation, target.slope = g.ending.slope, target.slopes = g.ending.slopes ? g.ending.slopes + j0 : nullptr;
      sum(t, target);
    }
  };

  static thread_local uint16_t halves[kTiles * kRows * kDepth];
  const uint16_t* half_rows[kTiles * kTaps * kRows];
  const auto run = [&](const float* const* rows, int64_t groups, int64_t depth, int64_t tap, int64_t c0, bool first, bool last) {
    if (g.pairs)
      for (int64_t i = 0; i < tiles * groups * kRows; i++) half_rows[i] = halves + i * depth, to_bf16(rows[i], depth, halves + i * depth);
    for (int64_t p = p0; p < p1; p++)
      each_tile(p * kWidth, std::min<int64_t>(kWidth, g.columns - p * kWidth), first, last, [&](int64_t t, const Target& target) {
        const int64_t at = t * groups * kRows, panel = ((p * g.taps + tap) * g.c + c0) * kWidth;
        if (g.pairs) tile_pairs(half_rows + at, groups, depth / 2, g.pairs + panel, target);
        else tile_rows(rows + at, groups, depth, g.weights + panel, target);
      });
    if (g.few && p1 == panels_of(g.columns))
      each_tile(g.columns, g.few, first, last, [&](int64_t t, const Target& target) {
        tile_few(rows + t * groups * kRows, groups, depth, g.few_weights + tap * g.c, g.taps * g.c, target);
      });
  };

  if (g.c < kShort && g.taps > 1 && g.taps * g.c <= kThin) {  // thin source: a few floats per tap, so copy the rows together
    const int64_t depth = g.taps * g.c;
    alignas(64) float copied[kTiles * kRows * kThin];
    const float* rows[kTiles * kRows];
    int64_t together[kThin];  // taps from this one on whose pixels lie side by side
    for (int64_t t = g.taps; t-- > 0;) together[t] = t + 1 < g.taps && g.xpixel == g.c && g.ty[t + 1] == g.ty[t] && g.tx[t + 1] == g.tx[t] + 1 ? together[t + 1] + 1 : 1;
    for (int64_t i = 0; i < tiles * kRows; i++) {
      float* to = copied + i * depth;
      rows[i] = to;
      for (int64_t t = 0, taps; t < g.taps; t += taps, to += taps * g.c) {
        const float* from = i < count ? g.source(row[i], t) : nullptr;
        taps = from && g.source(row[i], t + together[t] - 1) ? together[t] : 1;
        if (from) std::memcpy(to, from, taps * g.c * sizeof(float));
        else std::memset(to, 0, g.c * sizeof(float));
      }
    }
    return run(rows, 1, depth, 0, 0, true, true);
  }

  const float* rows[kTiles * kTaps * kRows];
  const int64_t together = std::clamp<int64_t>(kDepth / g.c, 1, kTaps);  // taps in one pass
  for (int64_t tap = 0; tap < g.taps; tap += together) {
    const int64_t groups = std::min(together, g.taps - tap);
    for (int64_t c0 = 0; c0 < g.c; c0 += kDepth) {
      for (int64_t t = 0; t < tiles; t++)
        for (int64_t q = 0; q < groups; q++)
          for (int64_t i = 0; i < kRows; i++) {
            const int64_t m = t * kRows + i;
            const float* from = m < count ? g.source(row[m], tap + q) : nullptr;
            rows[(t * groups + q) * kRows + i] = from ? from + c0 : Spare::zeros();
          }
      run(rows, groups, std::min(kDepth, g.c - c0), tap, c0, tap == 0 && c0 == 0, tap + groups == g.taps && c0 + kDepth >= g.c);
    }
  }
}

// Few columns alone: the lanes run along the channels, two rows at a time.
template <int kColumns> static void narrow_rows(const Gathered& g, int64_t begin, int64_t end) {
  const int64_t stride = g.taps * g.c;
  for (int64_t m = begin; m < end; m += 2) {
    const Gathered::Row row[2] = {g.row(m), g.row(std::min(m + 1, end - 1))};
    Vec sums[2][kColumns] = {};
    float rest[2][kColumns] = {};
    for (int64_t t = 0; t < g.taps; t++) {
      const float *x0 = g.source(row[0], t), *x1 = g.source(row[1], t), *w = g.few_weights + t * g.c;
      if (!x0 && !x1) continue;
      if (!x0) x0 = Spare::zeros();
      if (!x1) x1 = Spare::zeros();
      int64_t c = 0;
      for (; c + kLanes <= g.c; c += kLanes) {
        const Vec a = load(x0 + c), b = load(x1 + c);
#pragma GCC unroll 4
        for (int j = 0; j < kColumns; j++) {
          const Vec k = load(w + j * stride + c);
          sums[0][j] += a * k, sums[1][j] += b * k;
        }
      }
      for (; c < g.c; c++)
        for (int j = 0; j < kColumns; j++) rest[0][j] += x0[c] * w[j * stride + c], rest[1][j] += x1[c] * w[j * stride + c];
    }
    for (int i = 0; i < 2; i++)
      for (int j = 0; j < kColumns; j++) {
        row[i].out[j] = total(sums[i][j]) + rest[i][j] + (g.bias ? g.bias[j] : 0.f);
      }
  }
}

static void narrow_product(const Gathered& g, Pool& pool) {
  static constexpr void (*kernels[kFew])(const Gathered&, int64_t, int64_t) = {narrow_rows<1>, narrow_rows<2>, narrow_rows<3>, narrow_rows<4>};
  pool.split(g.rows(), 128, [&](int64_t begin, int64_t end) {
    kernels[g.few - 1](g, begin, end);
    for (int64_t m = begin; m < end && !g.ending.empty(); m++) g.ending.row(g.row(m).out, g.few);
  });
}

static void gathered_product(const Gathered& g, Pool& pool) {
  const int64_t block = kTiles * kRows, blocks = (g.rows() + block - 1) / block, panels = panels_of(g.columns);
  const int64_t chunks = g.pairs ? 8 : 16;  // enough for many threads; every one rounds its rows anew
  const int64_t groups = std::min(panels, std::max<int64_t>(1, (chunks - 1 + blocks) / std::max<int64_t>(blocks, 1)));
  if (g.taps == 0)  // positions that no tap reaches
    return pool.split(g.rows(), 1024, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; row++)
        for (int64_t j = 0; j < g.columns + g.few; j++) g.row(row).out[j] = g.bias ? g.bias[j] : 0.f;
    });
  if (g.columns == 0) return narrow_product(g, pool);
  pool.run(blocks * groups, [&](int64_t chunk) {
    const int64_t m0 = chunk / groups * block, count = std::min(block, g.rows() - m0);
    const int64_t p0 = chunk % groups * panels / groups, p1 = (chunk % groups + 1) * panels / groups;
    block_of_rows(g, m0, count, p0, p1);
  });
}

void conv2d(const conv2d_args& p, Pool& pool) {
  const int64_t icg = p.ic / p.groups, ocg = p.oc / p.groups;
  if (icg == 1 && ocg == 1) return depthwise(p, pool);
  // Where no window reaches over the left or right edge, its taps in a row lie as one.
  const bool whole = p.pw == 0 && p.dw == 1 && p.groups == 1;
  const int64_t across = whole ? p.kw : 1, kw = p.kw / across, taps = p.beside ? 2 : p.kh * kw, c = icg * across;  // a second map is a second tap
  for (int64_t group = 0; group < p.groups; group++) {
    const float* w = p.w + group * ocg * taps * c;
    int64_t few = Gathered::few_of(taps, c, ocg);  // their weights are in order as they lie
    const bool paired = p.bf16 && has_bf16() && p.groups == 1 && few < ocg && c >= 2 * kLanes && c % 2 == 0;
    if (paired) few = 0;
    const int64_t columns = ocg - few;
    uint16_t* pairs = paired ? reinterpret_cast<uint16_t*>(p.scratch) : nullptr;
    pool.run(p.packed ? 0 : panels_of(columns), [&](int64_t panel) {  // w [oc][tap c] -> [panel][tap c][kWidth]
      const int64_t depth = taps * c, first = panel * kWidth * depth, real = std::min<int64_t>(kWidth, columns - panel * kWidth);
      if (!paired) return pack_panel(w + first, depth, real, depth, p.scratch + first);
      for (int64_t t = 0; t < taps; t++) pack_pairs(w + first + t * c, depth, real, c, pairs + first + t * c * kWidth);
    });
    Gathered g{p.x + group * icg, p.beside, p.ih, p.iw, p.ic, c, p.y + group * ocg, p.oh, p.ow, p.oc, columns, few, p.n, p.oh, p.ow,
               p.sh, p.sw, 1, 1, 0, 0, taps, {}, {}, p.scratch, w + columns * taps * c, p.bias ? p.bias + group * ocg : nullptr, {p.y, p.residual, p.activation, p.slope, p.slopes ? p.slopes + group * ocg : nullptr}, pairs};
    for (int64_t t = 0; t < p.kh * kw; t++) g.ty[t] = int32_t(t / kw * p.dh - p.ph), g.tx[t] = int32_t(t % kw * p.dw - p.pw);
    if (p.beside) g.ty[1] = g.ty[0], g.tx[1] = g.tx[0];
    gathered_product(g, pool);
  }
}

// w [oc][tap][ic] -> [panel][tap][oc][kWidth], few columns to [ic][tap][oc], of the taps listed. A few rows of w at a time for all
// panels, since reading one panel down the output channels would meet another page at every step.
static void pack_turned(const conv2d_input_args& p, const float* w, const int32_t* kernel, const Gathered& g, float* few, Pool& pool) {
  constexpr int64_t kBlock = 16;
  const int64_t ocg = g.c, taps = p.kh * p.kw, blocks = (ocg + kBlock - 1) / kBlock;
  pool.run(g.taps * blocks, [&](int64_t chunk) {
    const int64_t tap = chunk / blocks, o0 = chunk % blocks * kBlock, o1 = std::min(ocg, o0 + kBlock);
    const auto row = [&](int64_t o) { return w + (o * taps + kernel[tap]) * p.wc; };
    for (int64_t j = 0; j < g.few; j++)
      for (int64_t o = o0; o < o1; o++) few[(j * g.taps + tap) * ocg + o] = row(o)[g.columns + j];
    for (int64_t panel = 0; panel < panels_of(g.columns); panel++)
      for (int64_t o = o0; o < o1; o++) {
        const int64_t columns = std::min<int64_t>(kWidth, g.columns - panel * kWidth);
        const float* from = row(o) + panel * kWidth;
        float* to = p.scratch + ((panel * g.taps + tap) * ocg + o) * kWidth;
        if (columns == kWidth)
          for (int j = 0; j < kWidth; j += kLanes) store(to + j, load(from + j));
        else
          for (int64_t j = 0; j < kWidth; j++) to[j] = j < columns ? from[j] : 0.f;
      }
  });
}

void conv2d_input(const conv2d_input_args& p, Pool& pool) {
  const int64_t icg = p.ic / p.groups, ocg = p.oc / p.groups, taps = p.kh * p.kw;
  if (icg == 1 && ocg == 1) return depthwise_input(p, pool);
  for (int64_t group = 0; group < p.groups; group++) {
    const float* w = p.w + group * ocg * taps * p.wc + p.w0;
    for (int64_t parity = 0; parity < p.sh * p.sw; parity++) {
      const int64_t qy = parity / p.sw, qx = parity % p.sw;
      if (qy >= p.ih || qx >= p.iw) continue;
      Gathered g{p.y + group * ocg, nullptr, p.oh, p.ow, p.oc, ocg, p.x + group * icg, p.ih, p.iw, p.ic, icg, 0, p.n, (p.ih - qy + p.sh - 1) / p.sh,
                 (p.iw - qx + p.sw - 1) / p.sw, 1, 1, p.sh, p.sw, qy, qx, 0, {}, {}, p.scratch, nullptr, p.bias ? p.bias + group * icg : nullptr, {}};
      int32_t kernel[kMaxTaps];  // the taps that reach this parity, in the order of their pixels
      for (int64_t t = taps; t-- > 0;) {
        const int64_t y = qy + p.ph - t / p.kw * p.dh, x = qx + p.pw - t % p.kw * p.dw;
        if (y % p.sh || x % p.sw) continue;
        kernel[g.taps] = int32_t(t), g.ty[g.taps] = int32_t(y / p.sh), g.tx[g.taps] = int32_t(x / p.sw), g.taps++;
      }
      g.few = Gathered::few_of(g.taps, ocg, icg), g.columns = icg - g.few;
      float* few_weights = p.scratch + panels_of(g.columns) * g.taps * ocg * kWidth;
      g.few_weights = few_weights;
      pack_turned(p, w, kernel, g, few_weights, pool);
      gathered_product(g, pool);
    }
  }
}

}  // namespace rescunet::cpu::RESCUNET_ISA
