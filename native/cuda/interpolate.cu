// Vertex attributes at rasterised pixels, and the adjoint.
#include "kernels.h"
#include "mesh.h"
#include "scatter.h"

namespace rescunet::cuda {
namespace {

constexpr int kBlock = 256;

// What both kernels read of a mesh and of its picture.
struct Picture {
  const int32_t *triangles, *index;
  const float* barycentric;
  int64_t count, vertex_count;
  unsigned long long* failure;

  // Corner k of pixel p's triangle, or -1 where nothing is drawn or something is named that is not there.
  __device__ int64_t corner(int64_t p, int k) const {
    const int64_t triangle = index[p];
    if (triangle < 0) return -1;
    if (triangle < count) {
      const int64_t vertex = triangles[3 * triangle + k];
      if (vertex >= 0 && vertex < vertex_count) return vertex;
    }
    report(failure, p);
    return -1;
  }
};

template <class Args> Picture picture(const Args& p, Queue& queue) { return {p.triangles, p.index, p.barycentric, p.count, p.vertex_count, queue.failure()}; }

template <class Args> void check(const Args& p, Queue& queue) {
  const int64_t at = queue.failed_at();
  if (at < 0) return;
  const int32_t triangle = queue.read(p.index + at);
  if (triangle >= p.count) refuse_triangle(at, triangle, p.count);
  check_corners("interpolate", triangle, read_corners(queue, p.triangles, triangle).data(), p.vertex_count);
}

__global__ void at_pixels(Picture picture, const float* attributes, float* y, int64_t pixels, int64_t c, float background) {
  for (int64_t i = thread_number(); i < pixels * c; i += grid_threads()) {
    const int64_t p = i / c, j = i % c;
    const int64_t v0 = picture.corner(p, 0), v1 = picture.corner(p, 1), v2 = picture.corner(p, 2);
    const float* b = picture.barycentric + 3 * p;
    y[i] = v0 < 0 || v1 < 0 || v2 < 0 ? background : b[0] * attributes[v0 * c + j] + b[1] * attributes[v1 * c + j] + b[2] * attributes[v2 * c + j];
  }
}

struct CornerHits {
  Picture picture;
  __device__ Hit operator()(int64_t pixel, int k) const { return {picture.corner(pixel, k), picture.barycentric[3 * pixel + k]}; }
};

}  // namespace

void interpolate(const interpolate_args& p, Queue& queue) {
  launch<at_pixels>(queue, {grid_for(p.pixels * p.c, kBlock), kBlock}, picture(p, queue), p.attributes, p.y, p.pixels, p.c, p.background);
  check(p, queue);
}

void interpolate_attributes(const interpolate_attributes_args& p, Queue& queue) {
  scatter<3>(queue, CornerHits{picture(p, queue)}, p.y, p.attributes, 1, p.pixels, p.vertex_count, p.c);
  check(p, queue);
}

}  // namespace rescunet::cuda
