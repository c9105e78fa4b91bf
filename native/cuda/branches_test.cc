// Tests of branches.cc on random lists over one arena: prints `name ok` or `name wrong: what`, one line each; test/sim_emulation.test.ts reads them.
#include "branches.h"
#include <cstdint>
#include <cstdio>
#include <string>

using namespace rescunet;

namespace {

char arena[64];
uint32_t seed = 1;
uint32_t draw(uint32_t below) {
  seed = seed * 1664525 + 1013904223;
  return (seed >> 8) % below;
}

std::vector<std::vector<Access>> random_list() {
  std::vector<std::vector<Access>> list(2 + draw(30));
  for (auto& accesses : list)
    for (uint32_t k = 1 + draw(4); k-- > 0;) {
      const uint32_t begin = draw(sizeof arena - 1);
      accesses.push_back({arena + begin, 1 + draw(std::min(12u, uint32_t(sizeof arena) - begin)), draw(3) == 0});
    }
  return list;
}

bool conflict(const std::vector<Access>& a, const std::vector<Access>& b) {
  for (const Access& x : a)
    for (const Access& y : b)
      if ((x.written || y.written) && x.begin < y.begin + y.bytes && y.begin < x.begin + x.bytes) return true;
  return false;
}

/// Who is certain to have ended when an instruction begins, by those it waits for.
using Edges = std::vector<std::vector<int>>;
std::vector<std::vector<bool>> closure(const Edges& before) {
  std::vector<std::vector<bool>> ended(before.size(), std::vector<bool>(before.size()));
  for (size_t i = 0; i < before.size(); i++)
    for (const int b : before[i]) {
      ended[i][b] = true;
      for (size_t k = 0; k < i; k++)
        if (ended[b][k]) ended[i][k] = true;
    }
  return ended;
}

std::string check_dependencies() {
  for (int round = 0; round < 500; round++) {
    const auto list = random_list();
    const Edges edges = dependencies(list);
    const auto ended = closure(edges);
    for (size_t i = 0; i < list.size(); i++)
      for (size_t k = 0; k < i; k++)
        if (conflict(list[i], list[k]) && !ended[i][k]) return std::to_string(i) + " does not wait for " + std::to_string(k);
    for (size_t i = 0; i < list.size(); i++)
      for (size_t e = 0; e < edges[i].size(); e++) {
        const int b = edges[i][e];
        Edges fewer = edges;
        fewer[i].erase(fewer[i].begin() + long(e));
        if (!conflict(list[i], list[b]) || closure(fewer)[i][b]) return std::to_string(i) + " waits for " + std::to_string(b) + " without need";
      }
  }
  return {};
}

std::string check_spread() {
  int parallel = 0;
  for (int round = 0; round < 500; round++) {
    const auto list = random_list();
    const Edges edges = dependencies(list);
    std::vector<double> costs;
    for (const auto& accesses : list) costs.push_back(cost(accesses));
    for (int streams = 1; streams <= 4; streams++) {
      const std::vector<Branch> branches = spread(edges, costs, streams);
      Edges kept(list.size());
      std::vector<int> newest(size_t(streams), -1);
      for (size_t i = 0; i < list.size(); i++) {
        kept[i] = branches[i].waits;
        int& last = newest.at(size_t(branches[i].stream));
        if (last >= 0) kept[i].push_back(last);
        last = int(i);
        if (streams == 1 && !branches[i].waits.empty()) return "one stream waits for an event";
        if (branches[i].stream > 0) parallel++;
      }
      const auto ended = closure(kept);
      for (size_t i = 0; i < list.size(); i++)
        for (const int b : edges[i])
          if (!ended[i][b]) return std::to_string(streams) + " streams: " + std::to_string(i) + " does not wait for " + std::to_string(b);
    }
  }
  return parallel > 0 ? "" : "nothing ran beside anything";
}

// Two chains that share their input and meet at the end: each has a stream, and one event joins them.
std::string check_fork() {
  const auto read = [](int at) { return Access{arena + at, 1, false}; };
  const auto write = [](int at) { return Access{arena + at, 1, true}; };
  const std::vector<std::vector<Access>> list = {{write(0)}, {read(0), write(1)}, {read(0), write(2)}, {read(1), write(3)}, {read(2), write(4)}, {read(3), read(4), write(5)}};
  const Edges edges = dependencies(list), wanted = {{}, {0}, {0}, {1}, {2}, {3, 4}};
  if (edges != wanted) return "other dependencies";
  const std::vector<Branch> branches = spread(edges, std::vector<double>(6, 1), 4);
  if (branches[1].stream == branches[2].stream || branches[1].stream != branches[3].stream || branches[2].stream != branches[4].stream) return "other streams";
  size_t events = 0;
  for (const Branch& branch : branches) events += branch.waits.size();
  return events == 2 ? "" : std::to_string(events) + " events";
}

void report(const char* name, const std::string& wrong) { std::printf("%s %s%s\n", name, wrong.empty() ? "ok" : "wrong: ", wrong.c_str()); }

}  // namespace

int main() {
  report("dependencies", check_dependencies());
  report("spread", check_spread());
  report("fork", check_fork());
}
