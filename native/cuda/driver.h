// Why no card can be used. Plain C++, so that it is tested without one.
#pragma once
#include <string>

namespace rescunet {

/// A sentence that says what to do, or nothing where a card can be used. Versions as the runtime gives them: 12040 is 12.4, and a driver of 0
/// is none; `cards` is how many it counted.
std::string driver_problem(int driver, int runtime, int cards);

}  // namespace rescunet
