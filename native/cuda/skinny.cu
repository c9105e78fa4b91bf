// Which form a convolution of few channels takes: the rule of skinny.h.
#include "skinny.h"

namespace rescunet::cuda {

template <class T> bool skinny(const TapProduct<T>& p, Queue& queue) {
  constexpr int kMostWeights = 4096;
  const int depth = p.down * p.across * p.channels, padded = p.outputs <= kFew / 2 ? kFew / 2 : kFew;
  if (p.outputs <= kFew && depth * padded <= kMostWeights) return few_outputs(p, queue), true;
  return p.channels <= kFew && few_inputs(p, queue);
}

template <class T> bool skinny_weight(const conv2d_weight_args& p, Queue& queue) {
  if (p.oc <= kFew) return few_outputs_weight<T>(p, queue), true;
  return p.ic <= kFew && few_inputs_weight<T>(p, queue);
}

template bool skinny(const TapProduct<float>&, Queue&);
template bool skinny(const TapProduct<Bf16>&, Queue&);
template bool skinny_weight<float>(const conv2d_weight_args&, Queue&);
template bool skinny_weight<Bf16>(const conv2d_weight_args&, Queue&);

}  // namespace rescunet::cuda
