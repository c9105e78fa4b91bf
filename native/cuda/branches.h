// A recorded list as branches that run side by side: what waits for what, by the bytes that instructions read and write, and which of a few streams each
// goes to. Plain C++: the emulation shuffles lists by the same dependencies that a card's streams obey.
#pragma once
#include <vector>
#include "../device.h"

namespace rescunet {

/// For each instruction the earlier ones that must have ended: those that wrote what it touches, and those that read what it writes (buffers of one arena
/// lie where others lay). No more of them than are needed: what follows from others is left out. Ascending.
std::vector<std::vector<int>> dependencies(const std::vector<std::vector<Access>>& list);

/// Where an instruction runs; `waits`: earlier instructions of other streams that it has to wait for by an event.
struct Branch {
  int stream;
  std::vector<int> waits;
};

/// Each instruction, in the order of the list, goes to the stream where it can begin first, were `costs` the times they take.
std::vector<Branch> spread(const std::vector<std::vector<int>>& dependencies, const std::vector<double>& costs, int streams);

/// What an instruction is taken to cost: the bytes it touches, and as many for its launch as a card moves meanwhile.
double cost(const std::vector<Access>& accesses);

/// RESCUNET_STREAMS=1 to 8, 4 unless set: streams of a captured step. Throws std::runtime_error for anything else.
int wanted_streams();

}  // namespace rescunet
