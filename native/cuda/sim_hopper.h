// The functions of hopper.h on the cpu: copies land when somebody waits for their barrier, products when they are waited for, or
// at once (sim.h, Order).
#pragma once
#include "tile_map.h"

namespace rescunet::cuda {

/// What a tensor map says, kept in words.
struct TensorMap {
  const void* data;
  int bytes;  // of an element
  bool pixels_of_image;
  MatrixLayers matrix;
  int64_t n, c;
  WalkAxis y, x;
  int lines;  // of the box
};

template <class T> TensorMap matrix_map(const T* data, const MatrixLayers& m, int lines) { return {data, sizeof(T), false, m, 0, 0, {}, {}, lines}; }
template <class T> TensorMap pixels_map(const T* data, int64_t n, int64_t c, const WalkAxis& y, const WalkAxis& x, int lines) {
  return {data, sizeof(T), true, {}, n, c, y, x, lines};
}

void mbarrier_init(uint32_t bar, int arrivals, RESCUNET_SITE);
inline void mbarrier_publish() {}
void mbarrier_arrive(uint32_t bar, RESCUNET_SITE);
void mbarrier_arrive_expecting(uint32_t bar, int bytes, RESCUNET_SITE);
void mbarrier_wait(uint32_t bar, int parity, RESCUNET_SITE);

void copy_matrix(uint32_t to, const TensorMap* map, uint32_t bar, int column, int row, int layer, RESCUNET_SITE);
void copy_pixels(uint32_t to, const TensorMap* map, uint32_t bar, int channel, int x, int y, int n, int across, int down, RESCUNET_SITE);

template <int kCount> void keep_registers() {}
template <int kCount> void take_registers() {}

inline void warpgroup_fence() {}
void warpgroup_commit(RESCUNET_SITE);
void warpgroup_wait_for(int pending, sim::Site site);
template <int kPending> void warpgroup_wait(RESCUNET_SITE) { warpgroup_wait_for(kPending, site); }

/// What one instruction multiplies: bytes of an element, columns, and which factors are read across.
struct WarpgroupForm { int bytes, columns; bool across_a, across_b; };
void warpgroup_multiply_as(float* d, uint64_t a, uint64_t b, WarpgroupForm form, sim::Site site);
template <class T, int kN, bool kAcrossA, bool kAcrossB> void warpgroup_multiply(float (&d)[kN / 2], uint64_t a, uint64_t b, RESCUNET_SITE) {
  warpgroup_multiply_as(d, a, b, {sizeof(T), kN, kAcrossA, kAcrossB}, site);
}

}  // namespace rescunet::cuda
