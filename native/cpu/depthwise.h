// One filter per channel: no sum over channels, so no product; vectors run along the channels.
#pragma once
#include "kernels.h"

namespace rescunet::cpu::RESCUNET_ISA {
void depthwise(const conv2d_args& p, Pool& pool);
void depthwise_input(const conv2d_input_args& p, Pool& pool);
void depthwise_weight(const conv2d_weight_args& p, Pool& pool);
}  // namespace rescunet::cpu::RESCUNET_ISA
