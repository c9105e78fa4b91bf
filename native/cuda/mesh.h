// What a host reads of a mesh on the device, to say what is wrong with it.
#pragma once
#include <array>
#include "../mesh.h"
#include "kernels.h"

namespace rescunet::cuda {

inline std::array<int32_t, 3> read_corners(Queue& queue, const int32_t* triangles, int64_t triangle) {
  const int32_t* t = triangles + 3 * triangle;
  return {queue.read(t), queue.read(t + 1), queue.read(t + 2)};
}

}  // namespace rescunet::cuda
