// Weight gradient: dW [oc, taps * ic] = dY^T [oc, pixels] X [pixels, taps * ic], a sum over pixels. Columns of X are gathered
// into a panel per block of pixels and used for every output channel; dY is read as it lies. A chunk owns its columns, and
// adds its blocks in order, so the result does not depend on the threads.
#include "depthwise.h"
#include "tile.h"

namespace rescunet::cpu::RESCUNET_ISA {

static constexpr int64_t kPixels = 256;

// Columns [j0, j0 + kWidth) of X for pixels [m0, m0 + count): column j is channel j % ic of tap j / ic.
static void gather_panel(const conv2d_weight_args& p, int64_t group, int64_t j0, int64_t m0, int64_t count, float* panel) {
  const int64_t icg = p.ic / p.groups, end = std::min<int64_t>(j0 + kWidth, p.kh * p.kw * icg);
  for (int64_t m = m0; m < m0 + count; m++, panel += kWidth) {
    const int64_t oy = m / p.ow % p.oh * p.sh - p.ph, ox = m % p.ow * p.sw - p.pw;
    const float* image = p.x + m / p.ow / p.oh * p.ih * p.iw * p.ic + group * icg;
    int64_t j = j0;
    while (j < end) {
      const int64_t tap = j / icg, c = j % icg, length = std::min(icg - c, end - j);
      const int64_t iy = oy + tap / p.kw * p.dh, ix = ox + tap % p.kw * p.dw;
      float* to = panel + (j - j0);
      if (iy < 0 || iy >= p.ih || ix < 0 || ix >= p.iw) std::memset(to, 0, length * sizeof(float));
      else std::memcpy(to, image + (iy * p.iw + ix) * p.ic + c, length * sizeof(float));
      j += length;
    }
    for (int64_t i = end - j0; i < kWidth; i++) panel[i] = 0.f;
  }
}

void conv2d_weight(const conv2d_weight_args& p, Pool& pool) {
  const int64_t icg = p.ic / p.groups, ocg = p.oc / p.groups, width = p.kh * p.kw * icg, pixels = p.n * p.oh * p.ow;
  if (icg == 1 && ocg == 1) return depthwise_weight(p, pool);
  const int64_t panels = panels_of(width);
  pool.run(p.groups * panels, [&](int64_t chunk) {
    const int64_t group = chunk / panels, j0 = chunk % panels * kWidth, columns = std::min<int64_t>(kWidth, width - j0);
    alignas(64) float panel[kPixels * kWidth], last[kPixels * kRows];
    Spare spare;
    const int64_t whole = ocg / kRows * kRows;
    for (int64_t m0 = 0; m0 < pixels; m0 += kPixels) {
      const int64_t count = std::min(kPixels, pixels - m0);
      gather_panel(p, group, j0, m0, count, panel);
      const float* dy = p.y + m0 * p.oc + group * ocg;
      for (int64_t o = 0; o < ocg; o += kRows) {
        float* out[kRows];
        for (int i = 0; i < kRows; i++) out[i] = o + i < ocg ? p.w + (group * ocg + o + i) * width + j0 : spare.written;
        const Target target{out, columns, m0 == 0, nullptr};
        if (o < whole) {
          tile_columns(dy + o, p.oc, count, panel, target);
          continue;
        }
        for (int64_t m = 0; m < count; m++)  // the last few channels: reading on would leave the buffer
          for (int64_t i = 0; i < kRows; i++) last[m * kRows + i] = o + i < ocg ? dy[m * p.oc + o + i] : 0.f;
        tile_columns(last, kRows, count, panel, target);
      }
    }
  });
}

}  // namespace rescunet::cpu::RESCUNET_ISA
