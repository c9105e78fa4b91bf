// What products and convolutions are computed in; sums and everything else are f32.
#pragma once

namespace rescunet::cuda {

enum class Precision { f32, tf32, bf16 };

/// RESCUNET_PRECISION=f32|tf32|bf16, f32 unless set. Throws std::runtime_error for anything else.
Precision wanted_precision();

}  // namespace rescunet::cuda
