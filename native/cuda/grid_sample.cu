// Bilinear sampling of an image at positions in pixels (pixel centres at integers), its adjoint and its derivative in the
// positions. Outside the image: border 1 repeats the edge, 0 reads zeros. A position that is not a number gives NaN in the
// sample and nothing to the adjoint.
#include "kernels.h"
#include "scatter.h"
#include "sums.h"

namespace rescunet::cuda {
namespace {

constexpr int kBlock = 256;

// One axis: the two pixels between which v lies, their weights, and the derivatives of the weights.
struct Tap {
  int64_t i[2];
  float weight[2], slope[2];

  __device__ Tap(float v, int64_t size, bool border) {
    const float low_end = border ? 0.f : -1.f, high_end = border ? float(size - 1) : float(size);
    const float s = (border ? v > low_end : v >= low_end) && v < high_end ? 1.f : 0.f;
    v = v < low_end ? low_end : v > high_end ? high_end : v;
    const float low = std::floor(v);
    i[0] = int64_t(low), i[1] = i[0] + 1;
    weight[1] = v - low, weight[0] = 1 - weight[1];
    slope[0] = -s, slope[1] = s;
    for (int k = 0; k < 2; k++)
      if (i[k] < 0 || i[k] >= size) {
        i[k] = i[k] < 0 ? 0 : size - 1;
        weight[k] = slope[k] = 0;
      }
  }
};

__global__ void sample(grid_sample_args p) {
  for (int64_t i = thread_number(); i < p.pixels * p.c; i += grid_threads()) {
    const int64_t pixel = i / p.c, j = i % p.c;
    const float gx = p.grid[2 * pixel], gy = p.grid[2 * pixel + 1];
    if (gx != gx || gy != gy) {
      p.y[i] = gx + gy;
      continue;
    }
    if (!p.border && !(gx > -1 && gy > -1 && gx < float(p.w) && gy < float(p.h))) {
      p.y[i] = 0;
      continue;
    }
    const Tap tx(gx, p.w, p.border), ty(gy, p.h, p.border);
    const float *upper = p.x + ty.i[0] * p.w * p.c + j, *lower = p.x + ty.i[1] * p.w * p.c + j;
    p.y[i] = ty.weight[0] * (tx.weight[0] * upper[tx.i[0] * p.c] + tx.weight[1] * upper[tx.i[1] * p.c]) +
             ty.weight[1] * (tx.weight[0] * lower[tx.i[0] * p.c] + tx.weight[1] * lower[tx.i[1] * p.c]);
  }
}

struct TapHits {
  const float* grid;
  int64_t h, w;
  bool border;
  __device__ Hit operator()(int64_t pixel, int k) const {
    const float gx = grid[2 * pixel], gy = grid[2 * pixel + 1];
    if (gx != gx || gy != gy) return {-1, 0};
    const Tap tx(gx, w, border), ty(gy, h, border);
    const float weight = ty.weight[k / 2] * tx.weight[k % 2];
    return {weight == 0 ? -1 : ty.i[k / 2] * w + tx.i[k % 2], weight};
  }
};

// A warp per position: the lanes share the channels.
__global__ void __launch_bounds__(kBlock) positions(grid_sample_grid_args p) {
  const int lane = threadIdx.x % 32;
  for (int64_t pixel = thread_number() / 32; pixel < p.pixels; pixel += grid_threads() / 32) {
    const float gx = p.grid[2 * pixel], gy = p.grid[2 * pixel + 1];
    float dx = 0, dy = 0;
    if (gx == gx && gy == gy) {
      const Tap tx(gx, p.w, p.border), ty(gy, p.h, p.border);
      for (int k = 0; k < 4; k++) {
        const float* x = p.x + (ty.i[k / 2] * p.w + tx.i[k % 2]) * p.c;
        float dot = 0;
        for (int64_t j = lane; j < p.c; j += 32) dot += x[j] * p.dy[pixel * p.c + j];
        dx += ty.weight[k / 2] * tx.slope[k % 2] * dot, dy += ty.slope[k / 2] * tx.weight[k % 2] * dot;
      }
    }
    dx = warp_sum(dx), dy = warp_sum(dy);
    if (lane == 0) p.dgrid[2 * pixel] = dx, p.dgrid[2 * pixel + 1] = dy;
  }
}

}  // namespace

void grid_sample(const grid_sample_args& p, Queue& queue) { launch<sample>(queue, {grid_for(p.pixels * p.c, kBlock), kBlock}, p); }

void grid_sample_input(const grid_sample_input_args& p, Queue& queue) {
  scatter<4>(queue, TapHits{p.grid, p.h, p.w, p.border != 0}, p.y, p.x, 1, p.pixels, p.h * p.w, p.c);
}

void grid_sample_grid(const grid_sample_grid_args& p, Queue& queue) { launch<positions>(queue, {grid_for(p.pixels * 32, kBlock), kBlock}, p); }

}  // namespace rescunet::cuda
