// Pixels name triangles and triangles vertices that there are: the check of a host and its message, for every backend.
#pragma once
#include <cstdint>
#include <cstdio>
#include <stdexcept>

namespace rescunet {
namespace {  // a copy per kernel file: the linker must not share one among instruction sets

[[noreturn]] [[maybe_unused]] __attribute__((noinline, cold)) void refuse_corner(const char* op, int64_t triangle, int32_t vertex, int64_t vertex_count) {
  char text[128];
  std::snprintf(text, sizeof text, "%s: triangle %lld names vertex %d of %lld", op, static_cast<long long>(triangle), vertex,
                static_cast<long long>(vertex_count));
  throw std::runtime_error(text);
}

[[noreturn]] [[maybe_unused]] __attribute__((noinline, cold)) void refuse_triangle(int64_t pixel, int32_t triangle, int64_t count) {
  char text[128];
  std::snprintf(text, sizeof text, "interpolate: pixel %lld names triangle %d of %lld", static_cast<long long>(pixel), triangle,
                static_cast<long long>(count));
  throw std::runtime_error(text);
}

/// Throws std::runtime_error where one of the three corners is not among the vertices.
[[maybe_unused]] inline void check_corners(const char* op, int64_t triangle, const int32_t* corners, int64_t vertex_count) {
  for (int k = 0; k < 3; ++k)
    if (uint64_t(int64_t(corners[k])) >= uint64_t(vertex_count)) refuse_corner(op, triangle, corners[k], vertex_count);
}

}  // namespace
}  // namespace rescunet
