// Z-buffer rasteriser. Vertices are snapped to 1/4096 of a pixel and edges are evaluated in integers, so that neighbouring
// triangles agree exactly about every pixel centre. A warp draws a triangle; a pixel keeps the largest of (depth, then lowest
// number) by an integer maximum, whose result does not depend on the order; a last pass computes the winners' coordinates.
#include "kernels.h"
#include "mesh.h"

namespace rescunet::cuda {
namespace {

constexpr int kBlock = 256, kBits = 12;
constexpr int64_t kOne = 1 << kBits;
constexpr int32_t kNowhere = INT32_MIN;  // not finite, or further than 2^17 pixels from the origin

__device__ inline int64_t ceil_pixel(int64_t v) { return (v + kOne - 1) >> kBits; }
__device__ inline int64_t floor_pixel(int64_t v) { return v >> kBits; }
__device__ inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
__device__ inline int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

__global__ void snap(const float* vertices, int32_t* points, int64_t count) {
  for (int64_t i = thread_number(); i < count; i += grid_threads()) {
    const float x = vertices[3 * i] * float(kOne), y = vertices[3 * i + 1] * float(kOne), z = vertices[3 * i + 2], limit = 131072.0f * float(kOne);
    const bool usable = std::fabs(x) < limit && std::fabs(y) < limit && std::fabs(z) < INFINITY;
    points[2 * i] = usable ? int32_t(x + (x < 0 ? -0.5f : 0.5f)) : kNowhere;
    points[2 * i + 1] = usable ? int32_t(y + (y < 0 ? -0.5f : 0.5f)) : kNowhere;
  }
}

// The part of a triangle that may be drawn, and twice the areas that belong to its vertices at a pixel.
struct Triangle {
  int64_t x0, x1, y0, y1;
  int64_t px, py, qx, qy, rx, ry, area, sign;
  bool drawn;

  __device__ Triangle(const int32_t* points, const int32_t* t, int64_t h, int64_t w, bool cull) {
    px = points[2 * int64_t(t[0])], py = points[2 * int64_t(t[0]) + 1];
    qx = points[2 * int64_t(t[1])], qy = points[2 * int64_t(t[1]) + 1];
    rx = points[2 * int64_t(t[2])], ry = points[2 * int64_t(t[2]) + 1];
    const int64_t left = smaller(px, smaller(qx, rx)), top = smaller(py, smaller(qy, ry));
    x0 = larger(0, ceil_pixel(left)), x1 = smaller(w - 1, floor_pixel(larger(px, larger(qx, rx))));
    y0 = larger(0, ceil_pixel(top)), y1 = smaller(h - 1, floor_pixel(larger(py, larger(qy, ry))));
    area = (qx - px) * (ry - py) - (qy - py) * (rx - px), sign = area < 0 ? -1 : 1;
    drawn = left != kNowhere && x0 <= x1 && y0 <= y1 && (cull ? area < 0 : area != 0);
  }

  // Barycentric coordinates of pixel (i, j); false outside.
  __device__ bool at(int64_t i, int64_t j, float* b) const {
    const int64_t x = j * kOne, y = i * kOne;
    const int64_t e0 = sign * ((rx - qx) * (y - qy) - (ry - qy) * (x - qx)), e1 = sign * ((px - rx) * (y - ry) - (py - ry) * (x - rx));
    const int64_t e2 = sign * area - e0 - e1;
    if ((e0 | e1 | e2) < 0) return false;
    const float scale = 1.0f / float(area * sign);
    b[0] = float(e0) * scale, b[1] = float(e1) * scale, b[2] = float(e2) * scale;
    return true;
  }
};

__device__ inline float depth_at(const float* vertices, const int32_t* t, const float* b) {
  return b[0] * vertices[3 * int64_t(t[0]) + 2] + b[1] * vertices[3 * int64_t(t[1]) + 2] + b[2] * vertices[3 * int64_t(t[2]) + 2];
}

// Orders like (depth, -triangle); 0 is nothing drawn.
__device__ inline unsigned long long key_of(float depth, int64_t triangle) {
  const uint32_t bits = __float_as_uint(depth + 0.0f);  // -0 is 0
  const uint32_t ordered = bits >> 31 ? ~bits : bits | 0x80000000u;
  return static_cast<unsigned long long>(ordered) << 32 | uint32_t(~uint32_t(triangle));
}

__device__ inline float depth_of(unsigned long long key) {
  const uint32_t ordered = uint32_t(key >> 32);
  return __uint_as_float(ordered >> 31 ? ordered & 0x7fffffffu : ~ordered);
}

__global__ void clear(unsigned long long* keys, int64_t count) {
  for (int64_t i = thread_number(); i < count; i += grid_threads()) keys[i] = 0;
}

template <class Args> __global__ void draw(Args p, unsigned long long* keys, unsigned long long* failure) {
  const int lane = threadIdx.x % 32;
  for (int64_t i = thread_number() / 32; i < p.count; i += grid_threads() / 32) {
    const int32_t* t = p.triangles + 3 * i;
    bool valid = true;
    for (int k = 0; k < 3; k++) valid = valid && t[k] >= 0 && t[k] < p.vertex_count;
    if (!valid) {
      report(failure, i);
      continue;
    }
    const Triangle triangle(p.scratch, t, p.h, p.w, p.cull != 0);
    if (!triangle.drawn) continue;
    const int64_t across = triangle.x1 - triangle.x0 + 1, count = across * (triangle.y1 - triangle.y0 + 1);
    for (int64_t k = lane; k < count; k += 32) {
      const int64_t y = triangle.y0 + k / across, x = triangle.x0 + k % across;
      float b[3];
      if (!triangle.at(y, x, b)) continue;
      const float depth = depth_at(p.vertices, t, b);
      if (depth > -INFINITY) atomicMax(&keys[y * p.w + x], key_of(depth, i));
    }
  }
}

__global__ void resolve(rasterize_args p, const unsigned long long* keys) {
  for (int64_t i = thread_number(); i < p.h * p.w; i += grid_threads()) {
    float b[3] = {0, 0, 0}, depth = -INFINITY;
    int32_t winner = -1;
    if (keys[i]) {
      winner = int32_t(~uint32_t(keys[i]));
      const int32_t* t = p.triangles + 3 * int64_t(winner);
      Triangle(p.scratch, t, p.h, p.w, p.cull != 0).at(i / p.w, i % p.w, b);
      depth = depth_at(p.vertices, t, b);
    }
    p.index[i] = winner, p.depth[i] = depth;
    for (int k = 0; k < 3; k++) p.barycentric[3 * i + k] = b[k];
  }
}

__global__ void resolve_depth(depth_map_args p, const unsigned long long* keys) {
  for (int64_t i = thread_number(); i < p.h * p.w; i += grid_threads()) p.depth[i] = keys[i] ? depth_of(keys[i]) : -INFINITY;
}

// The keys of all pixels.
template <class Args> unsigned long long* draw_all(const Args& p, Queue& queue) {
  auto* keys = queue.workspace<unsigned long long>(p.h * p.w);
  launch<snap>(queue, {grid_for(p.vertex_count, kBlock), kBlock}, p.vertices, p.scratch, p.vertex_count);
  launch<clear>(queue, {grid_for(p.h * p.w, kBlock), kBlock}, keys, p.h * p.w);
  launch<draw<Args>>(queue, {grid_for(p.count * 32, kBlock), kBlock}, p, keys, queue.failure());
  return keys;
}

template <class Args> void check_triangles(const Args& p, Queue& queue) {
  const int64_t at = queue.failed_at();
  if (at >= 0) check_corners("rasterize", at, read_corners(queue, p.triangles, at).data(), p.vertex_count);
}

}  // namespace

void rasterize(const rasterize_args& p, Queue& queue) {
  const auto* keys = draw_all(p, queue);
  launch<resolve>(queue, {grid_for(p.h * p.w, kBlock), kBlock}, p, keys);
  check_triangles(p, queue);
}

void depth_map(const depth_map_args& p, Queue& queue) {
  const auto* keys = draw_all(p, queue);
  launch<resolve_depth>(queue, {grid_for(p.h * p.w, kBlock), kBlock}, p, keys);
  check_triangles(p, queue);
}

}  // namespace rescunet::cuda
