// Convolutions of at most kFew outputs. A few lanes share a pixel, each with every so manieth of its channels (neighbouring lanes read neighbouring memory),
// and add up at the end; a thread has several pixels, so that a weight that was read is used for all of them.
#include "product.h"
#include "skinny.h"

namespace rescunet::cuda {
namespace {

constexpr int kBlock = 256, kPixels = 4, kMostLanes = 4;

// Where a pixel of y sees x under the first tap, and the lines of x before its image.
struct Corner { int y, x, lines; };

template <class T, int kOut, int kVector> __global__ void __launch_bounds__(kBlock) multiply_few(TapProduct<T> p, int lanes) {
  const int groups = p.channels / kVector, depth = p.down * p.across * p.channels, rows = p.images * p.height * p.width;
  float* weights = dynamic_shared<float>();  // [tap, group of channels, kOut, kVector]
  for (int i = threadIdx.x; i < depth * kOut; i += kBlock) {
    const int v = i % kVector, o = i / kVector % kOut, at = i / (kVector * kOut) * kVector + v, tap = at / p.channels;
    weights[i] = o < p.outputs ? p.w(o, tap / p.across, tap % p.across, at % p.channels) : 0.f;
  }
  __syncthreads();

  const int lane = threadIdx.x % lanes, share = kBlock / lanes, first = int(blockIdx.x) * kPixels * share + int(threadIdx.x) / lanes;
  Corner corners[kPixels];
#pragma unroll
  for (int i = 0; i < kPixels; i++) {
    int b = first + i * share;
    const bool inside = b < rows;
    int a = p.x.columns.split(b);
    const int n = p.x.rows.split(a);
    corners[i] = {inside ? a * p.x.y_taps.step + p.x.y_taps.first : -(1 << 30), b * p.x.x_taps.step + p.x.x_taps.first, n * p.x.h};
  }
  float sums[kPixels][kOut] = {};
  for (int down = 0; down < p.down; down++)
    for (int across = 0; across < p.across; across++) {
      int from[kPixels];  // pixels of x
#pragma unroll
      for (int i = 0; i < kPixels; i++) {
        const int y = corners[i].y + down * p.x.y_taps.tap_step, x = corners[i].x + across * p.x.x_taps.tap_step;
        const bool inside = uint32_t(y) < uint32_t(p.x.h) && uint32_t(x) < uint32_t(p.x.w);
        from[i] = inside ? (corners[i].lines + y) * p.x.w + x : -1;
      }
      const float* w = weights + (down * p.across + across) * p.channels * kOut;
      for (int g = lane; g < groups; g += lanes) {
        float x[kPixels][kVector] = {};
#pragma unroll
        for (int i = 0; i < kPixels; i++)
          if (from[i] >= 0) read(p.x.x + int64_t(from[i]) * p.x.pixel + g * kVector, x[i]);
#pragma unroll
        for (int o = 0; o < kOut; o++) {
          float factor[kVector];
          read(w + (g * kOut + o) * kVector, factor);
#pragma unroll
          for (int i = 0; i < kPixels; i++)
#pragma unroll
            for (int v = 0; v < kVector; v++) sums[i][o] += x[i][v] * factor[v];
        }
      }
    }

#pragma unroll
  for (int i = 0; i < kPixels; i++) {
#pragma unroll
    for (int o = 0; o < kOut; o++)
      for (int bits = 1; bits < lanes; bits *= 2) sums[i][o] += __shfl_xor_sync(~0u, sums[i][o], bits);
    if (i % lanes != lane || first + i * share >= rows) continue;
#pragma unroll
    for (int o = 0; o < kOut; o++)
      if (o < p.outputs) p.write(first + i * share, o, sums[i][o]);
  }
}

template <int kOut, int kVector, class T> void multiply_as(const TapProduct<T>& p, Queue& queue) {
  int lanes = kMostLanes;
  while (lanes > 1 && lanes > p.channels / kVector) lanes /= 2;
  const int64_t rows = int64_t(p.images) * p.height * p.width;
  launch<multiply_few<T, kOut, kVector>>(queue, {dim3(unsigned(ceil_divide(rows, kPixels * kBlock / lanes))), kBlock, sizeof(float) * p.down * p.across * p.channels * kOut}, p,
                                      lanes);
}

template <int kOut, class T> void multiply_in(const TapProduct<T>& p, Queue& queue) {
  if (p.channels % kPack<T> == 0 && p.x.pixel % kPack<T> == 0 && aligned16(p.x.x)) multiply_as<kOut, kPack<T>>(p, queue);
  else multiply_as<kOut, 1>(p, queue);
}

// A thread owns a row (tap, channel) of the weights' gradient and walks the pixels of some lines of y. parts [parts, oc, (tap, channel)]
template <class T, int kOut> __global__ void __launch_bounds__(kBlock) part_weights(Pixels<T> x, const T* y, float* parts, int oc, int depth, int lines, int oh, int ow, int share) {
  const int k = int(blockIdx.y * blockDim.x + threadIdx.x);
  if (k >= depth) return;
  int c = k;
  int across = x.channels.split(c);
  const int down = x.taps_across.split(across), first = int(blockIdx.x) * share, last = first + share < lines ? first + share : lines;
  float sums[kOut] = {};
  for (int line = first; line < last; line++) {
    const int at_y = line % oh * x.y_taps.step + x.y_taps.first + down * x.y_taps.tap_step;
    if (uint32_t(at_y) >= uint32_t(x.h)) continue;
    const T* from = x.x + (int64_t(line / oh) * x.h + at_y) * x.w * x.pixel + c;
    const T* dy = y + int64_t(line) * ow * oc;
#pragma unroll 4
    for (int b = 0; b < ow; b++) {
      const int at_x = b * x.x_taps.step + x.x_taps.first + across * x.x_taps.tap_step;
      const float value = uint32_t(at_x) < uint32_t(x.w) ? number(from[int64_t(at_x) * x.pixel]) : 0.f;
#pragma unroll
      for (int o = 0; o < kOut; o++)
        if (o < oc) sums[o] += value * number(dy[b * oc + o]);
    }
  }
#pragma unroll
  for (int o = 0; o < kOut; o++)
    if (o < oc) parts[(int64_t(blockIdx.x) * oc + o) * depth + k] = sums[o];
}

}  // namespace

template <class T> void few_outputs(const TapProduct<T>& p, Queue& queue) {
  if (p.outputs <= kFew / 2) multiply_in<kFew / 2>(p, queue);
  else multiply_in<kFew>(p, queue);
}

template <class T> void few_outputs_weight(const conv2d_weight_args& p, Queue& queue) {
  constexpr int64_t kParts = 512;
  const int64_t depth = p.kh * p.kw * p.ic, lines = p.n * p.oh, share = std::max<int64_t>(ceil_divide(lines, kParts), 1), parts = ceil_divide(lines, share);
  float* sums = queue.workspace<float>(parts * p.oc * depth);
  const unsigned block = unsigned(std::min<int64_t>(ceil_divide(depth, 32) * 32, kBlock));
  const Launch grid{dim3(unsigned(parts), unsigned(ceil_divide(depth, block))), block};
  if (p.oc <= kFew / 2) launch<part_weights<T, kFew / 2>>(queue, grid, pixels<T>(p), as<T>(p.y), sums, p.oc, depth, lines, p.oh, p.ow, share);
  else launch<part_weights<T, kFew>>(queue, grid, pixels<T>(p), as<T>(p.y), sums, p.oc, depth, lines, p.oh, p.ow, share);
  launch<add_splits<Lines, Unended>>(queue, {grid_for(p.oc * depth, kBlock), kBlock}, sums, Lines{p.w, depth, 0}, ProductSize{1, int(p.oc), int(depth), 0}, Unended{}, parts);
}

template void few_outputs(const TapProduct<float>&, Queue&);
template void few_outputs(const TapProduct<Bf16>&, Queue&);
template void few_outputs_weight<float>(const conv2d_weight_args&, Queue&);
template void few_outputs_weight<Bf16>(const conv2d_weight_args&, Queue&);

}  // namespace rescunet::cuda
