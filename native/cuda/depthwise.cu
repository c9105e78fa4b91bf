// Depthwise convolution and its gradients (w [c, kh, kw, 1]): a thread per output, neighbouring threads on neighbouring channels.
#include "depthwise.h"
#include "sums.h"

namespace rescunet::cuda {
namespace {

constexpr int kBlock = 256;

template <class T> __global__ void forward(conv2d_args p, const T* x, Ending end) {
  for (int64_t i = thread_number(); i < p.n * p.oh * p.ow * p.ic; i += grid_threads()) {
    const int64_t c = i % p.ic, ox = i / p.ic % p.ow, oy = i / p.ic / p.ow % p.oh, n = i / p.ic / p.ow / p.oh;
    float sum = 0;
    for (int64_t ky = 0; ky < p.kh; ky++)
      for (int64_t kx = 0; kx < p.kw; kx++) {
        const int64_t iy = oy * p.sh - p.ph + ky * p.dh, ix = ox * p.sw - p.pw + kx * p.dw;
        if (iy < 0 || iy >= p.ih || ix < 0 || ix >= p.iw) continue;
        sum += number(x[((n * p.ih + iy) * p.iw + ix) * p.ic + c]) * p.w[(c * p.kh + ky) * p.kw + kx];
      }
    end(p.y, i, int(c), sum);
  }
}

template <class T> __global__ void input_gradient(conv2d_input_args p, const T* dy, Ending end) {
  for (int64_t i = thread_number(); i < p.n * p.ih * p.iw * p.ic; i += grid_threads()) {
    const int64_t c = i % p.ic, ix = i / p.ic % p.iw, iy = i / p.ic / p.iw % p.ih, n = i / p.ic / p.iw / p.ih;
    float sum = 0;
    for (int64_t ky = 0; ky < p.kh; ky++) {
      const int64_t y = iy + p.ph - ky * p.dh;
      if (y < 0 || y % p.sh || y / p.sh >= p.oh) continue;
      for (int64_t kx = 0; kx < p.kw; kx++) {
        const int64_t x = ix + p.pw - kx * p.dw;
        if (x < 0 || x % p.sw || x / p.sw >= p.ow) continue;
        sum += number(dy[((n * p.oh + y / p.sh) * p.ow + x / p.sw) * p.ic + c]) * p.w[(c * p.kh + ky) * p.kw + kx];
      }
    }
    end(p.x, i, int(c), sum);
  }
}

// Block (32 channels, tap): a warp walks pixels, lanes lie along the channels; the warps' sums are added in order.
template <class T> __global__ void __launch_bounds__(kBlock) weight_gradient(conv2d_weight_args p, const T* x, const T* y) {
  SHARED(double[kBlock / 32][32], sums);
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int64_t c = int64_t(blockIdx.x) * 32 + lane, tap = blockIdx.y, dy = tap / p.kw * p.dh - p.ph, dx = tap % p.kw * p.dw - p.pw;
  double total = 0;
  for (int64_t row = warp; row < p.n * p.oh && c < p.ic; row += kBlock / 32) {  // f32 along a row of the image, f64 over the rows
    const int64_t iy = row % p.oh * p.sh + dy;
    if (iy < 0 || iy >= p.ih) continue;
    float sum = 0;
    for (int64_t ox = 0; ox < p.ow; ox++) {
      const int64_t ix = ox * p.sw + dx;
      if (ix >= 0 && ix < p.iw) sum += number(x[((row / p.oh * p.ih + iy) * p.iw + ix) * p.ic + c]) * number(y[(row * p.ow + ox) * p.ic + c]);
    }
    total += double(sum);
  }
  sums[warp][lane] = total;
  __syncthreads();
  if (warp || c >= p.ic) return;
  for (int w = 1; w < kBlock / 32; w++) total += sums[w][lane];
  p.w[c * p.kh * p.kw + tap] = float(total);
}

}  // namespace

void depthwise(const conv2d_args& p, const Ending& end, Queue& queue) {
  const Launch shape{grid_for(p.n * p.oh * p.ow * p.ic, kBlock), kBlock};
  if (p.stored & 1) launch<forward<Bf16>>(queue, shape, p, as<Bf16>(p.x), end);
  else launch<forward<float>>(queue, shape, p, p.x, end);
}
void depthwise_input(const conv2d_input_args& p, const Ending& end, Queue& queue) {
  const Launch shape{grid_for(p.n * p.ih * p.iw * p.ic, kBlock), kBlock};
  if (p.stored & 1) launch<input_gradient<Bf16>>(queue, shape, p, as<Bf16>(p.y), end);
  else launch<input_gradient<float>>(queue, shape, p, p.y, end);
}
void depthwise_weight(const conv2d_weight_args& p, Queue& queue) {
  const Launch shape{dim3(unsigned(ceil_divide(p.ic, 32)), unsigned(p.kh * p.kw)), kBlock};
  if (p.stored & 1) launch<weight_gradient<Bf16>>(queue, shape, p, as<Bf16>(p.x), as<Bf16>(p.y));
  else launch<weight_gradient<float>>(queue, shape, p, p.x, p.y);
}

}  // namespace rescunet::cuda
