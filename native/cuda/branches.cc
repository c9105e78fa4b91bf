#include "branches.h"
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <stdexcept>
#include <string>

namespace rescunet {
namespace {

/// Bytes up to `end` that have been touched alike so far.
struct Segment {
  const char* end;
  int writer = -1;
  std::vector<int> readers;  // since it was written
};
using Segments = std::map<const char*, Segment>;

/// Makes `at` the start of a segment where it lies inside one.
void cut(Segments& segments, const char* at) {
  auto after = segments.upper_bound(at);
  if (after == segments.begin()) return;
  auto [start, segment] = *std::prev(after);
  if (start == at || segment.end <= at) return;
  std::prev(after)->second.end = at;
  segments.emplace(at, std::move(segment));
}

void touch(Segments& segments, const Access& access, int i, std::vector<int>& found) {
  const char *begin = access.begin, *end = begin + access.bytes;
  cut(segments, begin), cut(segments, end);
  auto at = segments.lower_bound(begin);
  if (access.written) {
    for (; at != segments.end() && at->first < end; at = segments.erase(at)) {
      found.push_back(at->second.writer);
      found.insert(found.end(), at->second.readers.begin(), at->second.readers.end());
    }
    segments[begin] = {end, i, {}};
    return;
  }
  for (const char* here = begin; here < end;) {
    if (at == segments.end() || at->first > here)  // never touched before
      at = segments.emplace(here, Segment{at == segments.end() ? end : std::min(end, at->first), -1, {}}).first;
    found.push_back(at->second.writer);
    at->second.readers.push_back(i);
    here = at->second.end, ++at;
  }
}

/// Instructions as bits.
class Reached {
 public:
  explicit Reached(size_t count) : words_((count + 63) / 64) {}
  bool has(int i) const { return words_[i / 64] >> (i % 64) & 1; }
  void add(int i) { words_[i / 64] |= uint64_t(1) << (i % 64); }
  void add(const Reached& other) {
    for (size_t w = 0; w < words_.size(); w++) words_[w] |= other.words_[w];
  }

 private:
  std::vector<uint64_t> words_;
};

}  // namespace

std::vector<std::vector<int>> dependencies(const std::vector<std::vector<Access>>& list) {
  Segments segments;
  std::vector<std::vector<int>> result;
  std::vector<Reached> reached(list.size(), Reached(list.size()));
  for (size_t i = 0; i < list.size(); i++) {
    std::vector<int> found, needed;
    for (const bool written : {false, true})  // what it reads, it reads before it writes
      for (const Access& access : list[i])
        if (access.written == written && access.bytes > 0) touch(segments, access, int(i), found);
    std::sort(found.begin(), found.end(), std::greater<>());
    for (const int before : found) {
      if (before < 0 || before == int(i) || reached[i].has(before)) continue;
      needed.push_back(before);
      reached[i].add(before), reached[i].add(reached[before]);
    }
    std::reverse(needed.begin(), needed.end());
    result.push_back(std::move(needed));
  }
  return result;
}

std::vector<Branch> spread(const std::vector<std::vector<int>>& dependencies, const std::vector<double>& costs, int streams) {
  const size_t count = dependencies.size();
  std::vector<Branch> result(count);
  std::vector<double> ends(count), free(streams);
  // The last instruction of each stream that is known to have ended: when an instruction ends, and when a stream goes on.
  std::vector<std::vector<int>> known(count), seen(streams, std::vector<int>(streams, -1));
  for (size_t i = 0; i < count; i++) {
    double ready = 0;
    for (const int before : dependencies[i]) ready = std::max(ready, ends[before]);
    const int home = dependencies[i].empty() ? 0 : result[dependencies[i].back()].stream;  // no event is needed there
    int best = home;
    for (int s = 0; s < streams; s++)
      if (std::max(free[s], ready) < std::max(free[best], ready)) best = s;
    Branch& branch = result[i];
    branch.stream = best;
    for (auto before = dependencies[i].rbegin(); before != dependencies[i].rend(); ++before) {
      const int from = result[*before].stream;
      if (from == best || seen[best][from] >= *before) continue;
      branch.waits.push_back(*before);
      for (int s = 0; s < streams; s++) seen[best][s] = std::max(seen[best][s], known[*before][s]);
    }
    seen[best][best] = int(i);
    known[i] = seen[best];
    free[best] = ends[i] = std::max(free[best], ready) + costs[i];
  }
  return result;
}

double cost(const std::vector<Access>& accesses) {
  double bytes = 4 << 20;  // a microsecond of 4 TB/s
  for (const Access& access : accesses) bytes += double(access.bytes);
  return bytes;
}

int wanted_streams() {
  const char* wish = std::getenv("RESCUNET_STREAMS");
  if (!wish || !*wish) return 4;
  const int streams = std::atoi(wish);
  if (streams < 1 || streams > 8) throw std::runtime_error(std::string("RESCUNET_STREAMS: 1 to 8, got '") + wish + "'");
  return streams;
}

}  // namespace rescunet
