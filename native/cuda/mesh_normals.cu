// Normals of a triangle mesh at its vertices: every triangle adds its normal, as long as twice its area, to its three corners,
// in the order of the triangles.
#include "kernels.h"
#include "mesh.h"
#include "scatter.h"

namespace rescunet::cuda {
namespace {

constexpr int kBlock = 256;

__global__ void of_triangles(mesh_normals_args p, float* normals, unsigned long long* failure) {
  for (int64_t i = thread_number(); i < p.count; i += grid_threads()) {
    const int32_t* t = p.triangles + 3 * i;
    float* n = normals + 3 * i;
    n[0] = n[1] = n[2] = 0;
    bool valid = true;
    for (int k = 0; k < 3; k++) valid = valid && t[k] >= 0 && t[k] < p.vertex_count;
    if (!valid) {
      report(failure, i);
      continue;
    }
    const float *a = p.vertices + 3 * int64_t(t[0]), *b = p.vertices + 3 * int64_t(t[1]), *c = p.vertices + 3 * int64_t(t[2]);
    const float ux = b[0] - a[0], uy = b[1] - a[1], uz = b[2] - a[2], vx = c[0] - a[0], vy = c[1] - a[1], vz = c[2] - a[2];
    n[0] = uy * vz - uz * vy, n[1] = uz * vx - ux * vz, n[2] = ux * vy - uy * vx;
  }
}

struct CornerHits {
  const int32_t* triangles;
  int64_t vertex_count;
  __device__ Hit operator()(int64_t triangle, int k) const {
    const int64_t vertex = triangles[3 * triangle + k];
    return {vertex < vertex_count ? vertex : -1, 1};
  }
};

__global__ void to_unit_length(float* normals, int64_t count) {
  for (int64_t i = thread_number(); i < count; i += grid_threads()) {
    float* n = normals + 3 * i;
    const float length = std::sqrt(n[0] * n[0] + n[1] * n[1] + n[2] * n[2]), scale = length > 0 ? 1 / length : 0;
    n[0] *= scale, n[1] *= scale, n[2] *= scale;
  }
}

}  // namespace

void mesh_normals(const mesh_normals_args& p, Queue& queue) {
  float* normals = queue.workspace<float>(3 * p.count);
  launch<of_triangles>(queue, {grid_for(p.count, kBlock), kBlock}, p, normals, queue.failure());
  scatter<3>(queue, CornerHits{p.triangles, p.vertex_count}, normals, p.normals, 1, p.count, p.vertex_count, 3);
  launch<to_unit_length>(queue, {grid_for(p.vertex_count, kBlock), kBlock}, p.normals, p.vertex_count);
  const int64_t at = queue.failed_at();
  if (at >= 0) check_corners("meshNormals", at, read_corners(queue, p.triangles, at).data(), p.vertex_count);
}

}  // namespace rescunet::cuda
