// Normals of a triangle mesh at its vertices: every triangle adds its normal, as long as twice its area, to its three corners.
// The sums have one order, that of the triangles.
#include <cmath>
#include <cstdint>
#include "../mesh.h"
#include "kernels.h"

namespace rescunet::cpu::RESCUNET_ISA {
namespace {

void add_triangles(const mesh_normals_args& a, double* sums) {
  for (int64_t i = 0; i < 3 * a.vertex_count; ++i) sums[i] = 0;
  for (int64_t i = 0; i < a.count; ++i) {
    const int32_t* t = a.triangles + 3 * i;
    check_corners("meshNormals", i, t, a.vertex_count);
    const float *p = a.vertices + 3 * int64_t(t[0]), *q = a.vertices + 3 * int64_t(t[1]), *r = a.vertices + 3 * int64_t(t[2]);
    const double ux = double(q[0]) - p[0], uy = double(q[1]) - p[1], uz = double(q[2]) - p[2];
    const double vx = double(r[0]) - p[0], vy = double(r[1]) - p[1], vz = double(r[2]) - p[2];
    const double x = uy * vz - uz * vy, y = uz * vx - ux * vz, z = ux * vy - uy * vx;
    for (int k = 0; k < 3; ++k) {
      double* sum = sums + 3 * int64_t(t[k]);
      sum[0] += x, sum[1] += y, sum[2] += z;
    }
  }
}

}  // namespace

void mesh_normals(const mesh_normals_args& a, Pool& pool) {
  double* sums = reinterpret_cast<double*>(a.scratch);  // [vertex_count, 3]
  pool.run(1, [&](int64_t) { add_triangles(a, sums); });
  pool.split(a.vertex_count, 4096, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const double x = sums[3 * i], y = sums[3 * i + 1], z = sums[3 * i + 2], length = std::sqrt(x * x + y * y + z * z);
      const double scale = length > 0 ? 1 / length : 0;
      a.normals[3 * i] = float(x * scale), a.normals[3 * i + 1] = float(y * scale), a.normals[3 * i + 2] = float(z * scale);
    }
  });
}

}  // namespace rescunet::cpu::RESCUNET_ISA
