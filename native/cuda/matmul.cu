// c [batch, m, n] = a b + bias; a as [m, k] or [k, m], b as [k, n] or [n, k].
#include "convolve.h"
#include "product.h"

namespace rescunet::cuda {
namespace {

template <bool kTa, bool kTb> void multiply_as(const matmul_args& p, Queue& queue) {
  const int64_t lda = kTa ? p.m : p.k, ldb = kTb ? p.k : p.n;
  const bool vectors = lda % 4 == 0 && ldb % 4 == 0 && p.astride % 4 == 0 && p.bstride % 4 == 0 && aligned16(p.a, p.b);
  product(queue, Matrix<!kTa>{p.a, lda, p.astride}, Matrix<kTb>{p.b, ldb, p.bstride}, Lines{p.c, p.n, p.m * p.n},
          {int(p.batch), int(p.m), int(p.n), int(p.k)}, Ending(p.bias), vectors);
}

}  // namespace

void matmul(const matmul_args& p, Queue& queue) {
  if (matmul_by_warpgroups(p, queue)) return;
  if (p.ta && p.tb) multiply_as<true, true>(p, queue);
  else if (p.ta) multiply_as<true, false>(p, queue);
  else if (p.tb) multiply_as<false, true>(p, queue);
  else multiply_as<false, false>(p, queue);
}

}  // namespace rescunet::cuda
