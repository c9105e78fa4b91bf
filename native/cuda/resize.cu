// Nearest and bilinear resampling, NHWC, in PyTorch's conventions: nearest takes floor(o * in / out); bilinear with half-pixel
// centres clamps at the rim, with aligned corners maps ends to ends. The adjoint gathers over the outputs that read a pixel.
#include "stored.h"

namespace rescunet::cuda {
namespace {

constexpr int kBlock = 256;

// One axis: output o reads input `low` with weight 1 - t and `high` with weight t. Positions are computed in f64, as on the
// cpu, so that both read the same pixels.
struct Source { int64_t low, high; float t; };
struct Axis {
  int64_t in, out;
  bool bilinear, align;

  __device__ Source at(int64_t o) const {
    if (!bilinear) {
      const int64_t i = o * in / out < in ? o * in / out : in - 1;
      return {i, i, 0};
    }
    double x = align ? (out > 1 ? double(o) * (in - 1) / (out - 1) : 0) : (o + 0.5) * in / out - 0.5;
    if (x < 0) x = 0;
    const int64_t low = int64_t(x) < in ? int64_t(x) : in - 1;
    return {low, low + 1 < in ? low + 1 : in - 1, float(x - double(low))};
  }

  // A range of outputs that holds every reader of input i, and a few more.
  __device__ void readers(int64_t i, int64_t& begin, int64_t& end) const {
    double ratio = double(out) / in;
    if (bilinear && align) ratio = in > 1 ? double(out - 1) / (in - 1) : double(out);
    begin = int64_t(std::floor((i - 1) * ratio)) - 2, end = int64_t(std::ceil((i + 2) * ratio)) + 2;
    if (begin < 0 || in == 1) begin = 0;
    if (end > out || in == 1) end = out;
  }

  __device__ float weight(int64_t o, int64_t i) const {  // d y[o] / d x[i]
    const Source s = at(o);
    return (s.low == i ? 1 - s.t : 0.f) + (s.high == i ? s.t : 0.f);
  }
};

template <class Args> struct Axes {
  Axis y, x;
  __device__ explicit Axes(const Args& p)
      : y{p.ih, p.oh, p.bilinear != 0, p.align_corners != 0}, x{p.iw, p.ow, p.bilinear != 0, p.align_corners != 0} {}
};

template <class T> __global__ void sample(resize_args p) {
  const Axes<resize_args> axes(p);
  for (int64_t i = thread_number(); i < p.n * p.oh * p.ow * p.c; i += grid_threads()) {
    const int64_t c = i % p.c, ox = i / p.c % p.ow, oy = i / p.c / p.ow % p.oh, n = i / p.c / p.ow / p.oh;
    const Source sy = axes.y.at(oy), sx = axes.x.at(ox);
    const T *top = as<T>(p.x) + (n * p.ih + sy.low) * p.iw * p.c + c, *bottom = as<T>(p.x) + (n * p.ih + sy.high) * p.iw * p.c + c;
    if (!p.bilinear) {
      as<T>(p.y)[i] = top[sx.low * p.c];
      continue;
    }
    const auto across = [&](const T* row) { return number(row[sx.low * p.c]) * (1 - sx.t) + number(row[sx.high * p.c]) * sx.t; };
    put(as<T>(p.y)[i], across(top) * (1 - sy.t) + across(bottom) * sy.t);
  }
}

template <class T> __global__ void gather_readers(resize_input_args p) {
  const Axes<resize_input_args> axes(p);
  for (int64_t i = thread_number(); i < p.n * p.ih * p.iw * p.c; i += grid_threads()) {
    const int64_t c = i % p.c, ix = i / p.c % p.iw, iy = i / p.c / p.iw % p.ih, n = i / p.c / p.iw / p.ih;
    int64_t y0, y1, x0, x1;
    axes.y.readers(iy, y0, y1), axes.x.readers(ix, x0, x1);
    float sum = 0;
    for (int64_t oy = y0; oy < y1; oy++) {
      const float wy = axes.y.weight(oy, iy);
      if (wy == 0) continue;
      for (int64_t ox = x0; ox < x1; ox++) {
        const float w = wy * axes.x.weight(ox, ix);
        if (w != 0) sum += w * number(as<T>(p.y)[((n * p.oh + oy) * p.ow + ox) * p.c + c]);
      }
    }
    put(as<T>(p.x)[i], sum);
  }
}

}  // namespace

void resize(const resize_args& p, Queue& queue) {
  of_stored_type(p.stored, [&](auto type) { launch<sample<decltype(type)>>(queue, {grid_for(p.n * p.oh * p.ow * p.c, kBlock), kBlock}, p); });
}
void resize_input(const resize_input_args& p, Queue& queue) {
  of_stored_type(p.stored, [&](auto type) { launch<gather_readers<decltype(type)>>(queue, {grid_for(p.n * p.ih * p.iw * p.c, kBlock), kBlock}, p); });
}

}  // namespace rescunet::cuda
