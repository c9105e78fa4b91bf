// Maxima and means over windows, NHWC, and their adjoints: a thread per element of the output, which for an adjoint gathers from
// the windows that cover it in their order.
#include "stored.h"

namespace rescunet::cuda {
namespace {

constexpr int kBlock = 256;

// Windows that cover input position i, and the part of window o that lies inside the input: [begin, end).
struct Range { int64_t begin, end; };
__device__ inline Range covering(int64_t i, int64_t k, int64_t s, int64_t p, int64_t outputs) {
  const int64_t first = i + p - k + 1, last = (i + p) / s + 1;
  return {first <= 0 ? 0 : (first + s - 1) / s, last < outputs ? last : outputs};
}
__device__ inline Range inside(int64_t o, int64_t k, int64_t s, int64_t p, int64_t inputs) {
  const int64_t first = o * s - p;
  return {first < 0 ? 0 : first, first + k < inputs ? first + k : inputs};
}

// Element i of [n, h, w, c].
struct Element {
  int64_t c, x, y, n;
  __device__ Element(int64_t i, int64_t h, int64_t w, int64_t channels) : c(i % channels), x(i / channels % w), y(i / channels / w % h), n(i / channels / w / h) {}
};

template <class T> __global__ void max_windows(max_pool2d_args p) {
  for (int64_t i = thread_number(); i < p.n * p.oh * p.ow * p.c; i += grid_threads()) {
    const Element e(i, p.oh, p.ow, p.c);
    const Range ys = inside(e.y, p.kh, p.sh, p.ph, p.ih), xs = inside(e.x, p.kw, p.sw, p.pw, p.iw);
    const T* x = as<T>(p.x) + e.n * p.ih * p.iw * p.c + e.c;
    float best = -INFINITY;
    int64_t at = ys.begin * p.iw + xs.begin;
    for (int64_t iy = ys.begin; iy < ys.end; iy++)
      for (int64_t ix = xs.begin; ix < xs.end; ix++) {
        const float v = number(x[(iy * p.iw + ix) * p.c]);
        if (!(v <= best) && best == best) best = v, at = iy * p.iw + ix;  // NaN wins and stays
      }
    put(as<T>(p.y)[i], best), p.index[i] = int32_t(at);
  }
}

template <class T> __global__ void put_maxima(max_pool2d_put_args p) {
  for (int64_t i = thread_number(); i < p.n * p.ih * p.iw * p.c; i += grid_threads()) {
    const Element e(i, p.ih, p.iw, p.c);
    const Range ys = covering(e.y, p.kh, p.sh, p.ph, p.oh), xs = covering(e.x, p.kw, p.sw, p.pw, p.ow);
    float sum = 0;
    for (int64_t oy = ys.begin; oy < ys.end; oy++)
      for (int64_t ox = xs.begin; ox < xs.end; ox++) {
        const int64_t o = ((e.n * p.oh + oy) * p.ow + ox) * p.c + e.c;
        if (p.index[o] == e.y * p.iw + e.x) sum += number(as<T>(p.y)[o]);
      }
    put(as<T>(p.x)[i], sum);
  }
}

template <class T> __global__ void take_maxima(max_pool2d_take_args p) {
  const int64_t image = p.oh * p.ow * p.c;
  for (int64_t i = thread_number(); i < p.n * image; i += grid_threads())
    as<T>(p.y)[i] = as<T>(p.x)[(i / image * p.ih * p.iw + p.index[i]) * p.c + i % p.c];
}

template <class T> __global__ void mean_windows(avg_pool2d_args p) {
  for (int64_t i = thread_number(); i < p.n * p.oh * p.ow * p.c; i += grid_threads()) {
    const Element e(i, p.oh, p.ow, p.c);
    const Range ys = inside(e.y, p.kh, p.sh, p.ph, p.ih), xs = inside(e.x, p.kw, p.sw, p.pw, p.iw);
    float sum = 0;
    for (int64_t iy = ys.begin; iy < ys.end; iy++)
      for (int64_t ix = xs.begin; ix < xs.end; ix++) sum += number(as<T>(p.x)[((e.n * p.ih + iy) * p.iw + ix) * p.c + e.c]);
    put(as<T>(p.y)[i], sum / float(p.kh * p.kw));
  }
}

template <class T> __global__ void spread_means(avg_pool2d_input_args p) {
  for (int64_t i = thread_number(); i < p.n * p.ih * p.iw * p.c; i += grid_threads()) {
    const Element e(i, p.ih, p.iw, p.c);
    const Range ys = covering(e.y, p.kh, p.sh, p.ph, p.oh), xs = covering(e.x, p.kw, p.sw, p.pw, p.ow);
    float sum = 0;
    for (int64_t oy = ys.begin; oy < ys.end; oy++)
      for (int64_t ox = xs.begin; ox < xs.end; ox++) sum += number(as<T>(p.y)[((e.n * p.oh + oy) * p.ow + ox) * p.c + e.c]);
    put(as<T>(p.x)[i], sum / float(p.kh * p.kw));
  }
}

template <class Args> dim3 outputs(const Args& p) { return grid_for(p.n * p.oh * p.ow * p.c, kBlock); }
template <class Args> dim3 inputs(const Args& p) { return grid_for(p.n * p.ih * p.iw * p.c, kBlock); }

}  // namespace

void max_pool2d(const max_pool2d_args& p, Queue& queue) {
  of_stored_type(p.stored, [&](auto type) { launch<max_windows<decltype(type)>>(queue, {outputs(p), kBlock}, p); });
}
void max_pool2d_put(const max_pool2d_put_args& p, Queue& queue) {
  of_stored_type(p.stored, [&](auto type) { launch<put_maxima<decltype(type)>>(queue, {inputs(p), kBlock}, p); });
}
void max_pool2d_take(const max_pool2d_take_args& p, Queue& queue) {
  of_stored_type(p.stored, [&](auto type) { launch<take_maxima<decltype(type)>>(queue, {outputs(p), kBlock}, p); });
}
void avg_pool2d(const avg_pool2d_args& p, Queue& queue) {
  of_stored_type(p.stored, [&](auto type) { launch<mean_windows<decltype(type)>>(queue, {outputs(p), kBlock}, p); });
}
void avg_pool2d_input(const avg_pool2d_input_args& p, Queue& queue) {
  of_stored_type(p.stored, [&](auto type) { launch<spread_means<decltype(type)>>(queue, {inputs(p), kBlock}, p); });
}

}  // namespace rescunet::cuda
