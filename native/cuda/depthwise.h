// Convolutions whose groups are single channels.
#pragma once
#include "ending.h"

namespace rescunet::cuda {
void depthwise(const conv2d_args& p, const Ending& end, Queue& queue);
void depthwise_input(const conv2d_input_args& p, const Ending& end, Queue& queue);
void depthwise_weight(const conv2d_weight_args& p, Queue& queue);
}  // namespace rescunet::cuda
