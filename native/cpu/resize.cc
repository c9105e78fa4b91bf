// Nearest and bilinear resampling, NHWC, in PyTorch's conventions: nearest takes floor(o * in / out); bilinear with half-pixel
// centres clamps at the rim, with aligned corners maps ends to ends. The adjoint gathers over the outputs that read a pixel.
#include <algorithm>
#include <cmath>
#include "kernels.h"

namespace rescunet::cpu::RESCUNET_ISA {

// One axis: output o reads input `low` with weight 1 - t and `high` with weight t.
struct Source { int64_t low, high; float t; };
struct Axis {
  int64_t in, out;
  bool bilinear, align;

  Source at(int64_t o) const {
    if (!bilinear) {
      int64_t i = std::min(in - 1, o * in / out);
      return {i, i, 0};
    }
    double x = align ? (out > 1 ? double(o) * (in - 1) / (out - 1) : 0) : std::max(0.0, (o + 0.5) * in / out - 0.5);
    int64_t low = std::min(in - 1, int64_t(x));
    return {low, std::min(in - 1, low + 1), float(x - low)};
  }

  // A range of outputs that holds every reader of input i, and a few more.
  void readers(int64_t i, int64_t& begin, int64_t& end) const {
    double ratio = double(out) / in;
    if (bilinear && align) ratio = in > 1 ? double(out - 1) / (in - 1) : double(out);
    begin = std::max<int64_t>(0, int64_t(std::floor((i - 1) * ratio)) - 2);
    end = std::min(out, int64_t(std::ceil((i + 2) * ratio)) + 2);
    if (in == 1) begin = 0, end = out;
  }

  // d y[o] / d x[i]
  float weight(int64_t o, int64_t i) const {
    Source s = at(o);
    return (s.low == i ? 1 - s.t : 0.f) + (s.high == i ? s.t : 0.f);
  }
};

void resize(const resize_args& p, Pool& pool) {
  const Axis ya{p.ih, p.oh, p.bilinear != 0, p.align_corners != 0}, xa{p.iw, p.ow, p.bilinear != 0, p.align_corners != 0};
  pool.run(p.n * p.oh, [&](int64_t row) {
    const Source sy = ya.at(row % p.oh);
    const float* image = p.x + row / p.oh * p.ih * p.iw * p.c;
    const float *top = image + sy.low * p.iw * p.c, *bottom = image + sy.high * p.iw * p.c;
    for (int64_t ox = 0; ox < p.ow; ox++) {
      const Source sx = xa.at(ox);
      float* __restrict y = p.y + (row * p.ow + ox) * p.c;
      if (!p.bilinear) {
        std::memcpy(y, top + sx.low * p.c, p.c * sizeof(float));
        continue;
      }
      const float *a = top + sx.low * p.c, *b = top + sx.high * p.c, *d = bottom + sx.low * p.c, *e = bottom + sx.high * p.c;
      for (int64_t c = 0; c < p.c; c++) {
        float upper = a[c] * (1 - sx.t) + b[c] * sx.t, lower = d[c] * (1 - sx.t) + e[c] * sx.t;
        y[c] = upper * (1 - sy.t) + lower * sy.t;
      }
    }
  });
}

void resize_input(const resize_input_args& p, Pool& pool) {
  const Axis ya{p.ih, p.oh, p.bilinear != 0, p.align_corners != 0}, xa{p.iw, p.ow, p.bilinear != 0, p.align_corners != 0};
  pool.run(p.n * p.ih, [&](int64_t row) {
    const int64_t iy = row % p.ih;
    const float* gradient = p.y + row / p.ih * p.oh * p.ow * p.c;
    int64_t y0, y1, x0, x1;
    ya.readers(iy, y0, y1);
    for (int64_t ix = 0; ix < p.iw; ix++) {
      float* __restrict x = p.x + (row * p.iw + ix) * p.c;
      std::fill(x, x + p.c, 0.f);
      xa.readers(ix, x0, x1);
      for (int64_t oy = y0; oy < y1; oy++) {
        float wy = ya.weight(oy, iy);
        if (wy == 0) continue;
        for (int64_t ox = x0; ox < x1; ox++) {
          float w = wy * xa.weight(ox, ix);
          if (w == 0) continue;
          const float* y = gradient + (oy * p.ow + ox) * p.c;
          for (int64_t c = 0; c < p.c; c++) x[c] += w * y[c];
        }
      }
    }
  });
}

}  // namespace rescunet::cpu::RESCUNET_ISA
