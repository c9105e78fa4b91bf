// The functions of hopper.h on the cpu: copies land when somebody waits for their barrier, products when they are waited for, or
// at once (sim.h, Order).
#pragma once
#include "convolve.h"

namespace rescunet::cuda {

/// What a tensor map says, kept in words.
struct TensorMap {
  const float* data;
  bool pixels_of_image;
  int64_t n, h, w, c;  // of a matrix: h rows, c columns
  WalkAxis y, x;
  int lines;  // of the box
};

inline TensorMap matrix_map(const float* data, int64_t rows, int64_t columns, int box_rows) { return {data, false, 1, rows, 1, columns, {}, {}, box_rows}; }
inline TensorMap pixels_map(const float* data, int64_t n, int64_t h, int64_t w, int64_t c, WalkAxis y, WalkAxis x, int pixels) {
  return {data, true, n, h, w, c, y, x, pixels};
}

void mbarrier_init(uint32_t bar, int arrivals, RESCUNET_SITE);
inline void mbarrier_publish() {}
void mbarrier_arrive(uint32_t bar, RESCUNET_SITE);
void mbarrier_arrive_expecting(uint32_t bar, int bytes, RESCUNET_SITE);
void mbarrier_wait(uint32_t bar, int parity, RESCUNET_SITE);

void copy_matrix(uint32_t to, const TensorMap* map, uint32_t bar, int column, int row, RESCUNET_SITE);
void copy_pixels(uint32_t to, const TensorMap* map, uint32_t bar, int channel, int x, int y, int n, int across, int down, RESCUNET_SITE);

/// The emulation knows one kind of tile, so its address says all.
inline uint64_t tile_descriptor(uint32_t address) { return address; }
inline void warpgroup_fence() {}
void warpgroup_commit(RESCUNET_SITE);
void warpgroup_wait_for(int pending, sim::Site site);
template <int kPending> void warpgroup_wait(RESCUNET_SITE) { warpgroup_wait_for(kPending, site); }
void warpgroup_multiply_tf32(float (&d)[32], uint64_t a, uint64_t b, RESCUNET_SITE);

}  // namespace rescunet::cuda
