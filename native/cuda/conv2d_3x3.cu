// 3x3 convolutions of stride 1, which the cpu transforms: here they are products like any other, since tensor cores make the multiplications cheap and
// transformed tensors would have to travel through memory. Over a map upsampled twofold to the nearest they are products of the small map, by exact algebra:
//
//   forward           four phases, one per parity of the output; each sees 2x2 pixels of the small map, with the sums of the weights that fall on a pixel:
//                     4 products where there are 9 taps
//   the map's grad    its pixel got from 4x4 outputs, so a 4x4 convolution of stride 2 over dy with the same sums (16 products for 36)
//   the weights' grad that 4x4 convolution's, spread over the taps of which each weight was a sum
#include "convolve.h"
#include "product.h"

namespace rescunet::cuda {
namespace {

constexpr int kBlock = 256, kSide = 32;

// sums [phase (qy, qx), oc, 2, 2, ic] of w [oc, 3, 3, channels]: along an axis, pixel t of phase q is met by 1 + (q ^ t) taps from t (1 + q) on.
__global__ void sum_phases(const float* w, float* sums, int64_t oc, int64_t ic, int64_t channels) {
  for (int64_t i = thread_number(); i < 16 * oc * ic; i += grid_threads()) {
    const int64_t c = i % ic, o = i / (4 * ic) % oc;
    const int ty = int(i / (2 * ic) % 2), tx = int(i / ic % 2), qy = int(i / (8 * ic * oc)), qx = int(i / (4 * ic * oc) % 2);
    const float* from = w + (o * 9 + ty * (1 + qy) * 3 + tx * (1 + qx)) * channels + c;
    float sum = 0;
    for (int y = 0; y <= (qy ^ ty); y++)
      for (int x = 0; x <= (qx ^ tx); x++) sum += from[(3 * y + x) * channels];
    sums[i] = sum;
  }
}

// Between the weights of the 3x3 convolution and those of the 4x4 of stride 2 that is its adjoint over the small map: tap k of one and r of the other
// belong together where k + r is 2 or 3, along either axis. to [columns, kTo, kTo, to_stride] = sums of from [rows, kFrom, kFrom, from_stride].
template <int kFrom, int kTo>
__global__ void __launch_bounds__(kBlock) spread_taps(const float* from, int64_t from_stride, float* to, int64_t to_stride, int64_t rows, int64_t columns) {
  SHARED(float[kSide][kSide + 1], tile);
  const int64_t row0 = int64_t(blockIdx.x) * kSide, column0 = int64_t(blockIdx.y) * kSide;
  const int lane = threadIdx.x % kSide, ky = blockIdx.z / kTo, kx = blockIdx.z % kTo;
  const int first_y = ky < 2 ? 2 - ky : 0, last_y = kFrom == 4 || ky > 0 ? 3 - ky : 2, first_x = kx < 2 ? 2 - kx : 0, last_x = kFrom == 4 || kx > 0 ? 3 - kx : 2;
  for (int i = threadIdx.x / kSide; i < kSide; i += kBlock / kSide) {
    const float* line = from + (row0 + i) * kFrom * kFrom * from_stride + column0 + lane;
    float sum = 0;
    if (row0 + i < rows && column0 + lane < columns)
      for (int y = first_y; y <= last_y; y++)
        for (int x = first_x; x <= last_x; x++) sum += line[(y * kFrom + x) * from_stride];
    tile[i][lane] = sum;
  }
  __syncthreads();
  for (int j = threadIdx.x / kSide; j < kSide; j += kBlock / kSide)
    if (column0 + j < columns && row0 + lane < rows) to[(((column0 + j) * kTo + ky) * kTo + kx) * to_stride + row0 + lane] = tile[lane][j];
}

template <int kFrom, int kTo>
void spread(const float* from, int64_t from_stride, float* to, int64_t to_stride, int64_t rows, int64_t columns, Queue& queue) {
  launch<spread_taps<kFrom, kTo>>(queue, {dim3(unsigned(ceil_divide(rows, kSide)), unsigned(ceil_divide(columns, kSide)), kTo * kTo), kBlock}, from, from_stride, to,
                                  to_stride, rows, columns);
}

// Lines of `width` into lines of `stride`.
__global__ void place_lines(const float* from, float* to, int64_t lines, int64_t width, int64_t stride) {
  for (int64_t i = thread_number(); i < lines * width; i += grid_threads()) to[i / width * stride + i % width] = from[i];
}

// Bits of `stored` in a line whose maps are one type: kernels.def.
constexpr int64_t stored_if(bool bf16, std::initializer_list<int> buffers) {
  int64_t bits = 0;
  for (const int buffer : buffers) bits |= int64_t(bf16) << buffer;
  return bits;
}

conv2d_weight_args weight_of(const float* x, const float* y, float* w, int64_t n, int64_t ih, int64_t iw, int64_t ic, int64_t oh, int64_t ow, int64_t oc, int64_t k,
                             int64_t stride, int64_t ph, int64_t pw, bool bf16) {
  return {.x = x, .beside = nullptr, .y = y, .w = w, .scratch = nullptr, .n = n, .ih = ih, .iw = iw, .ic = ic, .oh = oh, .ow = ow, .oc = oc,
          .kh = k, .kw = k, .sh = stride, .sw = stride, .ph = ph, .pw = pw, .dh = 1, .dw = 1, .groups = 1, .stored = stored_if(bf16, {0, 2})};
}

conv2d_args forward_of(const winograd_args& p, const float* w, int64_t oh, int64_t ow, int64_t k, int64_t stride) {
  return {.x = p.x, .beside = nullptr, .w = w, .bias = p.bias, .residual = p.residual, .y = p.y, .scratch = nullptr, .n = p.n, .ih = p.ih, .iw = p.iw, .ic = p.ic,
          .oh = oh, .ow = ow, .oc = p.oc, .kh = k, .kw = k, .sh = stride, .sw = stride, .ph = p.ph, .pw = p.pw, .dh = 1, .dw = 1, .groups = 1, .slopes = p.slopes,
          .activation = p.activation, .slope = p.slope, .packed = 0, .bf16 = 0, .stored = stored_if(p.stored & 1, {0, 4, 5})};
}

// Whether it measured, where the ending does.
template <class T, class End> bool over_upsampled(const winograd_up_args& p, const float* sums, const End& end, Queue& queue) {
  const bool vectors = p.ic % kPack<T> == 0 && p.sc % kPack<T> == 0 && aligned16(p.x, p.skip, p.w);
  if constexpr (kMeasures<End>)
    if (!vectors) return over_upsampled<T, Ending>(p, sums, end, queue), false;
  const Divisor of_skip(std::max<int64_t>(p.sc, 1));
  const PhasePixels<T> a{as<T>(p.x), as<T>(p.skip), int(p.ih), int(p.iw), int(p.ic), int(p.sc), Divisor(p.iw), Divisor(p.ih), Divisor(p.ic), of_skip};
  const PhaseWeights b{sums, p.w, int(p.ic), int(p.ic + p.sc), 4 * p.oc * p.ic, of_skip};
  const Phases c{{p.y, int(p.oh), int(p.ow), int(p.oc), 2, 2, 0, 0, Divisor(p.iw), Divisor(p.ih)}};
  product(queue, a, b, c, {4, int(p.n * p.ih * p.iw), int(p.oc), int(4 * p.ic + 9 * p.sc)}, end, vectors);
  return true;
}

template <class End> bool convolve_upsampled(const winograd_up_args& p, const End& end, Queue& queue) {
  float* sums = queue.workspace<float>(16 * p.oc * p.ic, Queue::kOperands);
  launch<sum_phases>(queue, {grid_for(16 * p.oc * p.ic, kBlock), kBlock}, p.w, sums, p.oc, p.ic, p.ic + p.sc);
  return p.stored & 1 ? over_upsampled<Bf16>(p, sums, end, queue) : over_upsampled<float>(p, sums, end, queue);
}

Ending ending_of(const winograd_up_args& p) { return {p.bias, p.residual, p.activation, p.slope, bool(p.stored & 1), p.slopes}; }

}  // namespace

void winograd(const winograd_args& p, Queue& queue) {
  if (p.halved) {
    float* w = queue.workspace<float>(16 * p.oc * p.ic, Queue::kOperands);
    spread<3, 4>(p.w + p.w0, p.wc, w, p.ic, p.ic, p.oc, queue);  // [oc, 4, 4, ic]
    return conv2d(forward_of(p, w, p.oh / 2, p.ow / 2, 4, 2), queue);
  }
  if (!p.turned) return conv2d(forward_of(p, p.w, p.oh, p.ow, 3, 1), queue);
  convolve_back({.y = p.x, .w = p.w, .bias = p.bias, .x = p.y, .scratch = nullptr, .n = p.n, .ih = p.oh, .iw = p.ow, .ic = p.oc, .oh = p.ih, .ow = p.iw, .oc = p.ic,
                 .kh = 3, .kw = 3, .sh = 1, .sw = 1, .ph = 2 - p.ph, .pw = 2 - p.pw, .dh = 1, .dw = 1, .groups = 1, .wc = p.wc, .w0 = p.w0, .stored = stored_if(p.stored & 1, {0, 3})},
                {p.bias, p.residual, p.activation, p.slope, bool(p.stored & 1), p.slopes}, queue);
}

void winograd_stats(const winograd_stats_args& p, Queue& queue) {
  convolve_measured(forward_of(without_stats<winograd_args>(p), p.w, p.oh, p.ow, 3, 1), p.mean, p.variance, queue);
}

void winograd_weight(const winograd_weight_args& p, Queue& queue) {
  conv2d_weight(weight_of(p.x, p.y, p.w, p.n, p.ih, p.iw, p.ic, p.oh, p.ow, p.oc, 3, 1, p.ph, p.pw, p.stored & 1), queue);
}

void winograd_up(const winograd_up_args& p, Queue& queue) { convolve_upsampled(p, ending_of(p), queue); }

void winograd_up_stats(const winograd_up_stats_args& p, Queue& queue) {
  const auto plain = without_stats<winograd_up_args>(p);
  if (convolve_upsampled(plain, Measured(ending_of(plain), p.mean, p.variance), queue)) return;
  batch_norm_stats({.x = p.y, .mean = p.mean, .variance = p.variance, .rows = p.n * p.oh * p.ow, .c = p.oc, .stored = p.stored & 1}, queue);
}

void winograd_up_weight(const winograd_up_weight_args& p, Queue& queue) {
  const bool bf16 = p.stored & 1;
  float* of_x = queue.workspace<float>(16 * p.ic * p.oc + 9 * p.oc * p.sc, Queue::kOperands);  // [ic, 4, 4, oc], and behind it
  float* of_skip = of_x + 16 * p.ic * p.oc;                                                     // [oc, 3, 3, sc]
  conv2d_weight(weight_of(p.y, p.x, of_x, p.n, p.oh, p.ow, p.oc, p.ih, p.iw, p.ic, 4, 2, 1, 1, bf16), queue);
  spread<4, 3>(of_x, p.oc, p.w, p.ic + p.sc, p.ic, p.oc, queue);
  if (p.sc == 0) return;
  conv2d_weight(weight_of(p.skip, p.y, of_skip, p.n, p.oh, p.ow, p.sc, p.oh, p.ow, p.oc, 3, 1, 1, 1, bf16), queue);
  launch<place_lines>(queue, {grid_for(9 * p.oc * p.sc, kBlock), kBlock}, of_skip, p.w + p.ic, 9 * p.oc, p.sc, p.ic + p.sc);
}

}  // namespace rescunet::cuda
