// Scalar functions of the element-wise kernels, written once for every backend. FUNCTION(name, expression) lists them;
// x, y are the operands, a, b the op's numbers. A function's derivative is composed in TypeScript out of these.
#pragma once
#include <cmath>

#ifdef __CUDACC__
#define SCALAR __host__ __device__ inline
#else
#define SCALAR inline
#endif

#define UNARY_FUNCTIONS(FUNCTION)                                                       \
  FUNCTION(neg, -x)                                                                     \
  FUNCTION(abs, std::fabs(x))                                                           \
  FUNCTION(sign, float(x > 0) - float(x < 0))                                           \
  FUNCTION(exp, std::exp(x))                                                            \
  FUNCTION(log, std::log(x))                                                            \
  FUNCTION(sqrt, std::sqrt(x))                                                          \
  FUNCTION(sigmoid, x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x)))  \
  FUNCTION(tanh, std::tanh(x))                                                          \
  FUNCTION(relu, x < 0 ? 0 : x) /* NaN passes through */                                \
  FUNCTION(softplus, (x > 0 ? x : 0) + std::log1p(std::exp(-std::fabs(x))))             \
  FUNCTION(leaky_relu, x < 0 ? a * x : x)                                               \
  FUNCTION(clip, x < a ? a : x > b ? b : x)

#define BINARY_FUNCTIONS(FUNCTION)                                                      \
  FUNCTION(add, x + y)                                                                  \
  FUNCTION(sub, x - y)                                                                  \
  FUNCTION(mul, x * y)                                                                  \
  FUNCTION(div, x / y)                                                                  \
  FUNCTION(pow, std::pow(x, y))                                                         \
  FUNCTION(maximum, x > y || x != x ? x : y)                                            \
  FUNCTION(minimum, x < y || x != x ? x : y)                                            \
  FUNCTION(greater, x > y ? 1 : 0)                                                      \
  FUNCTION(equal, x == y ? 1 : 0)                                                       \
  FUNCTION(prelu, x > 0 ? x : x * y)                                                    \
  FUNCTION(prelu_slope, x > 0 ? 1 : y)                                                  \
  /* derivatives that deserve one pass: y is the incoming gradient */                   \
  FUNCTION(relu_grad, x > 0 ? y : 0)                                                    \
  FUNCTION(leaky_relu_grad, x > 0 ? y : a * y)                                          \
  FUNCTION(clip_grad, x >= a && x <= b ? y : 0)                                         \
  FUNCTION(sigmoid_grad, x * (1 - x) * y) /* x: the function's value */                 \
  FUNCTION(tanh_grad, (1 - x * x) * y)

namespace rescunet::scalar {
#define UNARY(name, expression) SCALAR float name([[maybe_unused]] float x, [[maybe_unused]] float a, [[maybe_unused]] float b) { return expression; }
#define BINARY(name, expression) SCALAR float name([[maybe_unused]] float x, [[maybe_unused]] float y, [[maybe_unused]] float a, [[maybe_unused]] float b) { return expression; }
UNARY_FUNCTIONS(UNARY)
BINARY_FUNCTIONS(BINARY)
#undef UNARY
#undef BINARY
}  // namespace rescunet::scalar
