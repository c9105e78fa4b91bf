// Failures that a backend tells apart.
#pragma once
#include <stdexcept>

namespace rescunet {

/// The hardware is lost to this process: whatever is asked of it later fails too.
struct DeviceLost : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace rescunet
