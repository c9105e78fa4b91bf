// Scalar functions of the element-wise kernels, written once for every backend. FUNCTION(name, expression) lists them;
// x, y are the operands, a, b the op's numbers. A function's derivative is composed in TypeScript out of these.
#pragma once
#include <cmath>

#ifdef __CUDACC__
#define SCALAR __host__ __device__ inline
#else
// Never a function of its own: the linker would keep one copy for all instruction sets.
#define SCALAR static inline __attribute__((always_inline))
#endif

namespace rescunet::scalar {

#ifdef __CUDACC__
SCALAR float exponential(float x) { return expf(x); }
SCALAR float hyperbolic_tangent(float x) { return tanhf(x); }
#else
/// exp without branches or calls, so that loops over it become vectors: x = n ln 2 + r, a polynomial of degree 7 in r (Cephes'
/// expf), times 2^n in two steps so that results overflow and vanish as they should. Within 2 units of the last place; NaN stays.
SCALAR float exponential(float x) {
  x = x > 89.f ? 89.f : x;
  x = x < -104.f ? -104.f : x;
  const float shifted = x * 1.44269504f + 12582912.f;  // 1.5 * 2^23: the low bits now hold n
  const float n = shifted - 12582912.f, r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f, p = p * r + 8.3334519073e-3f, p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f, p = p * r + 5.0000001201e-1f;
  p = (p * r * r + r) + 1;
  const int power = __builtin_bit_cast(int, shifted) - 0x4B400000, half = power >> 1;
  return p * __builtin_bit_cast(float, (half + 127) << 23) * __builtin_bit_cast(float, (power - half + 127) << 23);
}

/// tanh in the same manner: an odd polynomial near 0 (Cephes' tanhf), exp elsewhere.
SCALAR float hyperbolic_tangent(float x) {
  const float size = std::fabs(x), z = x * x, far = 1 - 2 / (exponential(2 * size) + 1);
  float p = -5.70498872745e-3f;
  p = p * z + 2.06390887954e-2f, p = p * z - 5.37397155531e-2f, p = p * z + 1.33314422036e-1f, p = p * z - 3.33332819422e-1f;
  return size < 0.625f ? x + x * z * p : x < 0 ? -far : far;
}
#endif

}  // namespace rescunet::scalar

#define UNARY_FUNCTIONS(FUNCTION)                                                       \
  FUNCTION(neg, -x)                                                                     \
  FUNCTION(abs, std::fabs(x))                                                           \
  FUNCTION(sign, float(x > 0) - float(x < 0))                                           \
  FUNCTION(exp, exponential(x))                                                         \
  FUNCTION(log, std::log(x))                                                            \
  FUNCTION(sqrt, std::sqrt(x))                                                          \
  FUNCTION(sigmoid, 1 / (1 + exponential(-x)))                                          \
  FUNCTION(tanh, hyperbolic_tangent(x))                                                 \
  FUNCTION(relu, x < 0 ? 0 : x) /* NaN passes through */                                \
  FUNCTION(softplus, (x > 0 ? x : 0) + std::log1p(exponential(-std::fabs(x))))          \
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
