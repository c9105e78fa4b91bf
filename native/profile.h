// RESCUNET_PROFILE=1: where the device's time goes, one row per kernel and argument sizes, printed when the device ends.
// Times are the device thread's own (not of its helpers), so that neighbours on the machine count less: use RESCUNET_THREADS=1.
#pragma once
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <unordered_map>
#include <vector>
#include "kernels.h"

namespace rescunet {

class Profile {
 public:
  bool wanted() const { return wanted_; }

  /// Seconds of the calling thread; where the system does not tell, of the process.
  static double now() {
#ifdef CLOCK_THREAD_CPUTIME_ID
    timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return double(t.tv_sec) + double(t.tv_nsec) * 1e-9;
#else
    return double(std::clock()) / CLOCKS_PER_SEC;
#endif
  }

  /// `words`: the instruction's fields, as encoded.
  void add(int opcode, const double* words, double seconds) {
    std::string key(kKernels[opcode].name);
    double flops = 2, channels = 1;
    bool product = false;
    int64_t length = 0;
    for (int i = 0; i < kKernels[opcode].field_count; i++, words += length) {
      const Field& f = kKernels[opcode].fields[i];
      const bool list = f.kind == FieldKind::ins || f.kind == FieldKind::inouts || f.kind == FieldKind::counts;
      length = list ? 1 + int64_t(*words) : f.words;
      if (f.kind != FieldKind::integer && f.kind != FieldKind::integers) continue;
      key += std::string(" ") + f.name + " ";
      for (int j = 0; j < f.words; j++) key += (j ? "," : "") + std::to_string(int64_t(words[j]));
      for (const char* name : {"n", "oh", "ow", "oc", "kh", "kw", "ic", "batch", "m", "k"})
        if (!std::strcmp(f.name, name)) flops *= words[0];
      if (!std::strcmp(f.name, "groups")) flops /= words[0];
      if (!std::strcmp(f.name, "ic")) channels = words[0];
      if (!std::strcmp(f.name, "sc")) flops *= 1 + words[0] / channels;  // of a second source
      product = product || !std::strcmp(f.name, "ic") || !std::strcmp(f.name, "k");
    }
    if (key.rfind("winograd", 0) == 0) flops *= 9;
    Row& row = rows_[key];
    row.seconds += seconds, row.calls++, row.flops += product ? flops : 0;
    row.best = row.calls == 1 ? seconds : std::min(seconds, row.best);
    total_ += seconds;
  }

  ~Profile() {
    if (rows_.empty()) return;
    std::vector<std::pair<std::string, Row>> sorted(rows_.begin(), rows_.end());
    std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.second.seconds > b.second.seconds; });
    std::unordered_map<std::string, Row> kernels;
    for (const auto& [key, row] : sorted) {
      Row& sum = kernels[key.substr(0, key.find(' '))];
      sum.seconds += row.seconds, sum.calls += row.calls, sum.flops += row.flops, sum.best += row.best * double(row.calls);
    }
    std::vector<std::pair<std::string, Row>> summed(kernels.begin(), kernels.end());
    std::sort(summed.begin(), summed.end(), [](const auto& a, const auto& b) { return a.second.seconds > b.second.seconds; });
    std::fprintf(stderr, "%.1f ms in all; best: if every call were as quick as the quickest; GFLOP/s: products of the direct form, at best\n", total_ * 1e3);
    std::fprintf(stderr, "%8s %6s %8s %7s %8s\n", "ms", "%", "best ms", "calls", "GFLOP/s");
    for (const auto& [key, row] : summed) print(key, row, row.best);
    std::fprintf(stderr, "\n");
    for (const auto& [key, row] : sorted) print(key, row, row.best * double(row.calls));
  }

 private:
  struct Row { double seconds = 0, flops = 0, best = 0; int64_t calls = 0; };
  void print(const std::string& key, const Row& row, double best) const {
    if (row.seconds < total_ * 2e-3) return;
    std::fprintf(stderr, "%8.2f %6.2f %8.2f %7lld %8.1f  %s\n", row.seconds * 1e3, 100 * row.seconds / total_, best * 1e3,
                 static_cast<long long>(row.calls), row.flops / best * 1e-9, key.c_str());
  }
  const bool wanted_ = std::getenv("RESCUNET_PROFILE") && *std::getenv("RESCUNET_PROFILE") && std::strcmp(std::getenv("RESCUNET_PROFILE"), "0");
  std::unordered_map<std::string, Row> rows_;
  double total_ = 0;
};

}  // namespace rescunet
