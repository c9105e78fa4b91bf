// Which form a convolution of few channels takes: the rule of skinny.h.
#include "skinny.h"

namespace rescunet::cuda {

bool skinny(const TapProduct& p, Queue& queue) {
  constexpr int kMostWeights = 4096;
  const int depth = p.down * p.across * p.channels, padded = p.outputs <= kFew / 2 ? kFew / 2 : kFew;
  if (p.outputs <= kFew && depth * padded <= kMostWeights) return few_outputs(p, queue), true;
  return p.channels <= kFew && few_inputs(p, queue);
}

bool skinny_weight(const conv2d_weight_args& p, Queue& queue) {
  if (p.oc <= kFew) return few_outputs_weight(p, queue), true;
  return p.ic <= kFew && few_inputs_weight(p, queue);
}

}  // namespace rescunet::cuda
