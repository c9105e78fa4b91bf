// Weight gradient: dW [oc, taps * ic] = dY^T [oc, pixels] X [pixels, taps * ic], a sum over pixels. Columns of X are gathered
// into panels per block of pixels and used for every output channel; dY is read as it lies. A chunk owns its columns, and
// adds its blocks in order, so the result does not depend on the threads.
#include "depthwise.h"
#include "tile.h"

namespace rescunet::cpu::RESCUNET_ISA {

static constexpr int64_t kPixels = 128, kPanels = 4, kChunks = 8;

// A panel of X: column j of [j0, j0 + kWidth) is channel j % ic of tap j / ic, so it consists of pieces of taps.
struct Panel {
  struct Piece { int64_t to, length, dy, dx, c; };
  Piece pieces[kWidth];
  int64_t count = 0;

  Panel(const conv2d_weight_args& p, int64_t icg, int64_t j0, int64_t columns) {
    for (int64_t j = 0, length; j < columns; j += length) {
      const int64_t tap = (j0 + j) / icg, c = (j0 + j) % icg;
      length = std::min(icg - c, columns - j);
      pieces[count++] = {j, length, tap / p.kw * p.dh - p.ph, tap % p.kw * p.dw - p.pw, c};
    }
  }

  // Pixels [m0, m0 + count) of the output; columns beyond the last piece are left alone.
  void gather(const conv2d_weight_args& p, const float* x, int64_t m0, int64_t pixels, float* to) const {
    int64_t ox = m0 % p.ow, oy = m0 / p.ow % p.oh;
    const float* image = x + m0 / p.ow / p.oh * p.ih * p.iw * p.ic;
    for (int64_t m = 0; m < pixels; m++, to += kWidth) {
      for (int64_t k = 0; k < count; k++) {
        const Piece& q = pieces[k];
        const int64_t iy = oy * p.sh + q.dy, ix = ox * p.sw + q.dx;
        const float* from = uint64_t(iy) < uint64_t(p.ih) && uint64_t(ix) < uint64_t(p.iw) ? image + (iy * p.iw + ix) * p.ic + q.c : Spare::zeros();
        if (q.length == kWidth) std::memcpy(to, from, kWidth * sizeof(float));
        else
          for (int64_t i = 0; i < q.length; i++) to[q.to + i] = from[i];
      }
      if (++ox < p.ow) continue;
      ox = 0;
      if (++oy == p.oh) oy = 0, image += p.ih * p.iw * p.ic;
    }
  }
};

// Columns [j0, j0 + columns) of dW, at most kPanels panels.
static void weight_columns(const conv2d_weight_args& p, int64_t group, int64_t j0, int64_t columns) {
  const int64_t icg = p.ic / p.groups, ocg = p.oc / p.groups, width = p.kh * p.kw * icg, pixels = p.n * p.oh * p.ow;
  alignas(64) float panels[kPanels][kPixels * kWidth] = {}, last[kPixels * kRows];
  Spare spare;
  const int64_t whole = ocg / kRows * kRows;
  for (int64_t m0 = 0; m0 < pixels; m0 += kPixels) {
    const int64_t count = std::min(kPixels, pixels - m0);
    const float* dy = p.y + m0 * p.oc + group * ocg;
    for (int64_t j = 0; j < columns; j += kWidth)
      Panel(p, icg, j0 + j, std::min<int64_t>(kWidth, columns - j)).gather(p, p.x + group * icg, m0, count, panels[j / kWidth]);
    for (int64_t o = 0; o < ocg; o += kRows) {
      if (o >= whole)  // the last few channels: reading on would leave the buffer
        for (int64_t m = 0; m < count; m++)
          for (int64_t i = 0; i < kRows; i++) last[m * kRows + i] = o + i < ocg ? dy[m * p.oc + o + i] : 0.f;
      for (int64_t j = 0; j < columns; j += kWidth) {
        float* out[kRows];
        for (int i = 0; i < kRows; i++) out[i] = o + i < ocg ? p.w + (group * ocg + o + i) * width + j0 + j : spare.written;
        const Target target{out, std::min<int64_t>(kWidth, columns - j), m0 == 0, nullptr};
        if (o < whole) tile_columns(dy + o, p.oc, count, panels[j / kWidth], target);
        else tile_columns(last, kRows, count, panels[j / kWidth], target);
      }
    }
  }
}

void conv2d_weight(const conv2d_weight_args& p, Pool& pool) {
  const int64_t icg = p.ic / p.groups, ocg = p.oc / p.groups, width = p.kh * p.kw * icg;
  if (icg == 1 && ocg == 1) return depthwise_weight(p, pool);
  const int64_t together = std::clamp<int64_t>(p.groups * panels_of(width) / kChunks, 1, kPanels);  // panels that share a reading of dY
  const int64_t step = together * kWidth, chunks = (width + step - 1) / step;
  pool.run(p.groups * chunks, [&](int64_t chunk) {
    const int64_t j0 = chunk % chunks * step;
    weight_columns(p, chunk / chunks, j0, std::min(step, width - j0));
  });
}

}  // namespace rescunet::cpu::RESCUNET_ISA
