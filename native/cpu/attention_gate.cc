// The attention gate behind its two products. Nothing of [n, h, w, f] is kept: what psi takes is computed again from the products wherever it is needed.
// The work is by lines of the smaller map, with the pixels that one of its pixels stands for, its children: four where g was of half the size, else one.
// Sums are of lines, then over lines in f64, in order.
#include <cmath>
#include "../scalar.h"
#include "ending.h"

namespace rescunet::cpu::RESCUNET_ISA {

namespace {

constexpr int64_t kPixels = 256;  // in a part, whose sums are f64

// One pixel's place in the branches: its norms' centres and scales, and the sum of their biases, per channel.
struct Branches {
  const float *px, *pg, *mean_x, *mean_g, *psi;
  float *scale_x, *scale_g, *bias;  // [f]
  int64_t f, w, step, lines;

  template <class Args> Branches(const Args& p, float* room)
      : px(p.px), pg(p.pg), mean_x(p.mean_x), mean_g(p.mean_g), psi(p.psi), scale_x(room), scale_g(room + p.f), bias(room + 2 * p.f), f(p.f), w(p.w),
        step(p.half ? 2 : 1), lines(p.n * p.h / step) {
    for (int64_t j = 0; j < f; j++) {
      scale_x[j] = float(p.weight_x[j] / std::sqrt(double(p.variance_x[j]) + p.eps_x));
      scale_g[j] = float(p.weight_g[j] / std::sqrt(double(p.variance_g[j]) + p.eps_g));
      bias[j] = p.bias_x[j] + p.bias_g[j];
    }
  }

  int64_t across() const { return w / step; }
  int64_t children() const { return step * step; }
  int64_t child(int64_t line, int64_t x, int64_t k) const { return (line * step + k / step) * w + x * step + k % step; }

  // Channels [j, j + kLanes) of both branches at a small pixel: g's is read once for its children.
  struct Channels {
    const Branches& b;
    int64_t j, count;
    Vec mean_x, mean_g, scale_x, scale_g, bias, psi, g, shift;

    Channels(const Branches& b, int64_t j)
        : b(b), j(j), count(b.f - j), mean_x(load(b.mean_x + j, count)), mean_g(load(b.mean_g + j, count)), scale_x(load(b.scale_x + j, count)),
          scale_g(load(b.scale_g + j, count)), bias(load(b.bias + j, count)), psi(load(b.psi + j, count)) {}
    void at(int64_t small) { g = load(b.pg + small * b.f + j, count) - mean_g, shift = g * scale_g + bias; }
    Vec centred(int64_t pixel) const { return load(b.px + pixel * b.f + j, count) - mean_x; }
    Vec sum(Vec centred) const { return centred * scale_x + shift; }
  };
};

// Mean and biased variance of numbers, in f64.
void moments(const float* p, int64_t count, Pool& pool, float* mean, float* variance, double* parts) {
  const auto over = [&](auto value) {
    pool.split(count, kPixels, [&](int64_t begin, int64_t end) {
      double sum = 0;
      for (int64_t i = begin; i < end; i++) sum += value(double(p[i]));
      parts[begin / kPixels] = sum;
    });
    double sum = 0;
    for (int64_t i = 0; i < (count + kPixels - 1) / kPixels; i++) sum += parts[i];
    return sum / double(count);
  };
  const double centre = over([](double v) { return v; });
  *mean = float(centre), *variance = float(over([=](double v) { return (v - centre) * (v - centre); }));
}

}  // namespace

void attention_gate(const attention_gate_args& p, Pool& pool) {
  const int64_t rows = p.n * p.h * p.w, parts = (rows + kPixels - 1) / kPixels;
  double* sums = reinterpret_cast<double*>(p.scratch);
  const Branches branches(p, p.scratch + 2 * parts);
  const float shift = p.bias ? *p.bias : 0.f;
  pool.split(branches.lines, 1, [&](int64_t line, int64_t) {
    for (int64_t x = 0; x < branches.across(); x++) {
      Vec sum[4] = {};
      for (int64_t j = 0; j < p.f; j += kLanes) {
        Branches::Channels c(branches, j);
        c.at(line * branches.across() + x);
        for (int64_t k = 0; k < branches.children(); k++) sum[k] += activated<kRelu>(c.sum(c.centred(branches.child(line, x, k))), Vec{}) * c.psi;
      }
      for (int64_t k = 0; k < branches.children(); k++) p.p[branches.child(line, x, k)] = total(sum[k]) + shift;
    }
  });
  moments(p.p, rows, pool, p.mean_p, p.variance_p, sums);
  const float scale = float(*p.weight_p / std::sqrt(double(*p.variance_p) + p.eps_p));
  pool.split(rows, kPixels, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) p.map[i] = 1 / (1 + scalar::exponential(-((p.p[i] - *p.mean_p) * scale + *p.bias_p)));
    for (int64_t i = begin; i < end; i++)
      for (int64_t j = 0; j < p.c; j++) p.y[i * p.c + j] = p.x[i * p.c + j] * p.map[i];
  });
}

// A norm's gradient is w/s (dz - mean(dz) - xhat mean(dz xhat)), s = sqrt(variance + eps), where dz is what comes to its result.
void attention_gate_grad(const attention_gate_grad_args& p, Pool& pool) {
  const int64_t rows = p.n * p.h * p.w, parts = (rows + kPixels - 1) / kPixels;
  double *sums = reinterpret_cast<double*>(p.scratch), *products = sums + parts;
  float* dp = p.scratch + 4 * parts;  // [rows]: of psi's norm's result, then of p
  const Branches branches(p, dp + rows);
  float *mean = branches.bias + p.f, *product_x = mean + p.f, *product_g = product_x + p.f, *of_lines = product_g + p.f;  // [f] each; [line][4][f]
  const double inverse = 1 / std::sqrt(double(*p.variance_p) + p.eps_p);
  pool.split(rows, kPixels, [&](int64_t begin, int64_t end) {
    double sum = 0, product = 0;
    for (int64_t i = begin; i < end; i++) {
      const float map = p.map[i];
      Vec along = {};
      for (int64_t j = 0; j < p.c; j += kLanes) {
        const Vec dy = load(p.dy + i * p.c + j, p.c - j);
        along += dy * load(p.x + i * p.c + j, p.c - j);
        store(p.dx + i * p.c + j, dy * map, p.c - j);
      }
      dp[i] = total(along) * map * (1 - map);
      sum += double(dp[i]), product += double(dp[i]) * (double(p.p[i]) - double(*p.mean_p)) * inverse;
    }
    sums[begin / kPixels] = sum, products[begin / kPixels] = product;
  });
  for (int64_t i = 1; i < parts; i++) sums[0] += sums[i], products[0] += products[i];
  *p.dbias_p = float(sums[0]), *p.dweight_p = float(products[0]);
  const float scale = float(*p.weight_p * inverse), centre = float(sums[0] / double(rows)), slope = float(products[0] / double(rows) * inverse);

  pool.split(branches.lines, 1, [&](int64_t line, int64_t) {
    const int64_t first = branches.child(line, 0, 0);
    for (int64_t i = first; i < first + branches.step * p.w; i++) dp[i] = scale * (dp[i] - centre - (p.p[i] - *p.mean_p) * slope);
    for (int64_t j = 0; j < p.f; j += kLanes) {
      Branches::Channels c(branches, j);
      Vec all = {}, with_x = {}, with_g = {}, with_p = {};
      for (int64_t x = 0; x < branches.across(); x++) {
        c.at(line * branches.across() + x);
        for (int64_t k = 0; k < branches.children(); k++) {
          const int64_t pixel = branches.child(line, x, k);
          const Vec centred = c.centred(pixel), z = c.sum(centred), dz = z > 0 ? dp[pixel] * c.psi : Vec{};
          all += dz, with_x += dz * centred, with_g += dz * c.g, with_p += dp[pixel] * activated<kRelu>(z, Vec{});
        }
      }
      float* to = of_lines + line * 4 * p.f + j;
      for (const Vec& v : {all, with_x, with_g, with_p}) store(to, v, c.count), to += p.f;
    }
  });
  pool.split(p.f, 8, [&](int64_t begin, int64_t end) {
    for (int64_t j = begin; j < end; j++) {
      double sum[4] = {};
      for (int64_t line = 0; line < branches.lines; line++)
        for (int64_t i = 0; i < 4; i++) sum[i] += double(of_lines[(line * 4 + i) * p.f + j]);
      const double square_x = double(p.variance_x[j]) + p.eps_x, square_g = double(p.variance_g[j]) + p.eps_g;
      p.dbias[j] = float(sum[0]), p.dweight_x[j] = float(sum[1] / std::sqrt(square_x)), p.dweight_g[j] = float(sum[2] / std::sqrt(square_g)), p.dpsi[j] = float(sum[3]);
      mean[j] = float(sum[0] / double(rows)), product_x[j] = float(sum[1] / double(rows) / square_x), product_g[j] = float(sum[2] / double(rows) / square_g);
    }
  });
  pool.split(branches.lines, 1, [&](int64_t line, int64_t) {
    const float children = float(branches.children());
    for (int64_t j = 0; j < p.f; j += kLanes) {
      Branches::Channels c(branches, j);
      const Vec m = load(mean + j, c.count), along_x = load(product_x + j, c.count), along_g = load(product_g + j, c.count);
      for (int64_t x = 0; x < branches.across(); x++) {
        const int64_t small = line * branches.across() + x;
        c.at(small);
        Vec all = {};
        for (int64_t k = 0; k < branches.children(); k++) {
          const int64_t pixel = branches.child(line, x, k);
          const Vec centred = c.centred(pixel), dz = c.sum(centred) > 0 ? dp[pixel] * c.psi : Vec{};
          all += dz;
          store(p.dpx + pixel * p.f + j, c.scale_x * (dz - m - centred * along_x), c.count);
        }
        store(p.dpg + small * p.f + j, c.scale_g * (all - children * (m + c.g * along_g)), c.count);
      }
    }
  });
}

}  // namespace rescunet::cpu::RESCUNET_ISA
