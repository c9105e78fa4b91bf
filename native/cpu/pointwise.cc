// Weight gradient of a 1x1 convolution: dW [oc, ic] = sum over pixels of dY [pixel, oc] X [pixel, ic]. A chunk owns a rectangle of dW and, where those
// are few, a range of the pixels; it takes a block of pixels after the other into its own cache, in the order of reading. What ranges give is
// added in order, so the result does not depend on the threads. X may be two maps side by side, read where they lie: then dW is [oc, 2 ic].
#include "pointwise.h"
#include "tile.h"

namespace rescunet::cpu::RESCUNET_ISA {

namespace {

constexpr int64_t kPixels = 192, kSide = 256, kChunks = 16;
constexpr int64_t kLeastBlocks = 4;               // of pixels in a range: fewer do not pay for adding another rectangle
constexpr int64_t kGroup = kPixels * kRows + 16;  // not a power of two: groups are written side by side

struct Block {
  alignas(64) float x[kSide * kPixels];                     // [panel][pixel][kWidth]
  alignas(64) float dy[(kSide + kRows - 1) / kRows * kGroup];  // [group][pixel][kRows]
  float few[2][kPixels][kFew];                              // of each map
  alignas(64) float sums[2][kFew][kSide + kRows + kWidth];     // of its few columns and rows of dW
};

struct Pointwise {
  const conv2d_weight_args& p;
  int64_t icg = p.ic / p.groups, ocg = p.oc / p.groups, maps = p.beside ? 2 : 1, width = maps * icg, pixels = p.n * p.oh * p.ow;
  int64_t few = ocg < kLanes ? 0 : few_columns(icg);  // of each map
  int64_t panels = panels_of(icg - few) * maps, groups = (ocg + kRows - 1) / kRows, blocks = (pixels + kPixels - 1) / kPixels;  // of columns, of rows of dW; of pixels
  const float *x, *dy;  // of this group of channels
  float* dw;
  int64_t side = kSide, ranges = 1;

  Pointwise(const conv2d_weight_args& a, int64_t group) : p(a), x(a.x + group * icg), dy(a.y + group * ocg), dw(a.w + group * ocg * icg) {
    for (;; side /= 2) {
      ranges = std::clamp<int64_t>(kChunks / rectangles(), 1, std::max<int64_t>(1, blocks / kLeastBlocks));
      if (rectangles() * ranges >= kChunks || side == kSide / 4) return;
    }
  }

  // Rectangles of dW, across and down, near to equal.
  int64_t across() const { return std::max<int64_t>(1, (panels * kWidth + side - 1) / side); }
  int64_t down() const { return (groups * kRows + side - 1) / side; }
  int64_t rectangles() const { return across() * down(); }

  // Where pixel m lies in a map.
  int64_t pixel(int64_t m) const {
    if (p.sh * p.sw == 1) return m * p.ic;
    return ((m / (p.oh * p.ow) * p.ih + m / p.ow % p.oh * p.sh) * p.iw + m % p.ow * p.sw) * p.ic;
  }

  // What a panel's columns are of a map's pixel, and in dW.
  struct Columns { const float* from; int64_t at, count; };
  Columns columns(int64_t panel) const {
    const int64_t first = panels_of(icg - few), c = panel % first * kWidth;
    return {(panel < first ? x : p.beside) + c, panel / first * icg + c, std::min<int64_t>(kWidth, icg - few - c)};
  }

  void copy_x(int64_t m0, int64_t count, int64_t p0, int64_t p1, float* to) const {
    for (int64_t panel = p0; panel < p1; panel++, to += kPixels * kWidth) {
      const Columns c = columns(panel);
      for (int64_t m = 0; m < count; m++)
        for (int j = 0; j < kWidth; j += kLanes) store(to + m * kWidth + j, load(c.from + pixel(m0 + m) + j, c.count - j));
    }
  }

  void copy_dy(int64_t m0, int64_t count, int64_t g0, int64_t g1, float* to) const {
    for (int64_t m = 0; m < count; m++)
      for (int64_t g = g0; g < g1; g++) {
        const float* from = dy + (m0 + m) * p.oc + g * kRows;
        float* at = to + (g - g0) * kGroup + m * kRows;
        const int64_t rows = std::min<int64_t>(kRows, ocg - g * kRows);
        if (rows == kRows) std::memcpy(at, from, kRows * sizeof(float));
        else
          for (int64_t i = 0; i < rows; i++) at[i] = from[i];
      }
  }

  // Fetches pixels [begin, end) of what the next block copies, while this one is summed. Without the attribute GCC drops the call: it has no effect.
  inline __attribute__((always_inline)) void fetch(int64_t begin, int64_t end, int64_t p0, int64_t p1, int64_t g0, int64_t g1) const {
    for (int64_t panel = p0; panel < p1; panel++) {
      const Columns from = columns(panel);
      for (int64_t m = begin; m < end; m++)
        for (int64_t c = 0; c < kWidth; c += 16) __builtin_prefetch(from.from + pixel(m) + c, 0, 2);
    }
    for (int64_t m = begin; m < end; m++)
      for (int64_t o = g0 * kRows; o < std::min(g1 * kRows, ocg); o += 16) __builtin_prefetch(dy + m * p.oc + o, 0, 2);
  }

  // The few columns of both maps over `count` pixels from m0 on, for rows [o0, o1) of dW.
  void sum_few(int64_t m0, int64_t count, int64_t o0, int64_t o1, bool first, Block& block) const {
    const int64_t none = 0;
    for (int64_t map = 0; map < maps; map++) {
      const float* from = (map ? p.beside : x) + icg - few;
      for (int64_t m = 0; m < count; m++)
        for (int64_t j = 0; j < few; j++) block.few[map][m][j] = from[pixel(m0 + m) + j];
      for (int64_t o = o0; o < o1; o += kWidth) {
        const int64_t columns = std::min<int64_t>(kWidth, o1 - o);
        const float* a[kFew];
        float* out[kFew];
        for (int64_t j = 0; j < few; j++) a[j] = &block.few[map][0][j], out[j] = block.sums[map][j] + o - o0;
        tile_few_pixels_of(few, columns)(a, &none, 1, count, kFew, dy + m0 * p.oc + o, columns, p.oc, {out, kWidth, first, nullptr});
      }
    }
  }

  // Panels [p0, p1) of groups [g0, g1) over pixels [begin, end), to [ocg, width].
  void sum(int64_t p0, int64_t p1, int64_t g0, int64_t g1, int64_t begin, int64_t end, float* to) const {
    static thread_local Block block;
    const int64_t none = 0, tiles = (p1 - p0) * (g1 - g0), o0 = g0 * kRows, o1 = std::min(g1 * kRows, ocg);
    const bool takes_few = few && p1 == panels;
    Spare spare;
    for (int64_t m = begin; m < end; m += kPixels) {
      const int64_t count = std::min(kPixels, end - m);
      copy_x(m, count, p0, p1, block.x);
      copy_dy(m, count, g0, g1, block.dy);
      for (int64_t panel = p0; panel < p1; panel++)
        for (int64_t g = g0; g < g1; g++) {
          const int64_t rows = std::min<int64_t>(kRows, ocg - g * kRows), tile = (panel - p0) * (g1 - g0) + g - g0, next = std::min(kPixels, end - m - count);
          fetch(m + count + next * tile / tiles, m + count + next * (tile + 1) / tiles, p0, p1, g0, g1);
          const Columns c = columns(panel);
          float* out[kRows];
          for (int i = 0; i < kRows; i++) out[i] = i < rows ? to + (g * kRows + i) * width + c.at : spare.written;
          tile_pixels_of(rows, c.count)(block.dy + (g - g0) * kGroup, block.x + (panel - p0) * kPixels * kWidth, &none, 1, count, kWidth,
                               {out, c.count, m == begin, nullptr});
        }
      if (takes_few) sum_few(m, count, o0, o1, m == begin, block);
    }
    for (int64_t map = 0; map < maps && takes_few; map++)
      for (int64_t o = o0; o < o1; o++)
        for (int64_t j = 0; j < few; j++) to[o * width + (map + 1) * icg - few + j] = block.sums[map][j][o - o0];
  }

  void run(Pool& pool) const {
    const int64_t size = ocg * width;
    pool.run(rectangles() * ranges, [&](int64_t chunk) {
      const int64_t c = chunk % across(), r = chunk / across() % down(), range = chunk / rectangles();
      sum(c * panels / across(), (c + 1) * panels / across(), r * groups / down(), (r + 1) * groups / down(), range * blocks / ranges * kPixels,
          std::min(pixels, (range + 1) * blocks / ranges * kPixels), ranges == 1 ? dw : p.scratch + range * size);
    });
    if (ranges > 1) pool.split(size, 1 << 12, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) {
        float total = p.scratch[i];
        for (int64_t range = 1; range < ranges; range++) total += p.scratch[range * size + i];
        dw[i] = total;
      }
    });
  }
};

}  // namespace

void pointwise_weight(const conv2d_weight_args& p, Pool& pool) {
  for (int64_t group = 0; group < p.groups; group++) Pointwise(p, group).run(pool);
}

}  // namespace rescunet::cpu::RESCUNET_ISA
