// Convolution forward on a warpgroup machine, where the shape suits it.
#pragma once
#include "kernels.h"

namespace rescunet::cuda {

/// One axis of a walk: stride, padding, and how far the last tap lies from the first.
struct WalkAxis { int stride, padding, reach; };

/// y [n, oh, ow, oc] = x [n, ih, iw, ic] * w [oc, kh, kw, ic] + bias.
struct Convolution {
  const float *x, *w, *bias;
  float* y;
  int64_t n, ih, iw, ic, oh, ow, oc, kh, kw, sh, sw, ph, pw, dh, dw;
};

/// Launches and says true when queue and shape allow it: tf32, sm_90, whole blocks of 32 channels.
bool convolve_by_warpgroups(const Convolution& c, Queue& queue);

}  // namespace rescunet::cuda
