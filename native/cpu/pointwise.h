// One kernel position: its weight gradient is a plain product, without windows.
#pragma once
#include "kernels.h"

namespace rescunet::cpu::RESCUNET_ISA {
void pointwise_weight(const conv2d_weight_args& p, Pool& pool);
}  // namespace rescunet::cpu::RESCUNET_ISA
