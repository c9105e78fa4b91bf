#include "driver.h"

namespace rescunet {

std::string driver_problem(int driver, int runtime, int cards) {
  const auto version = [](int v) { return std::to_string(v / 1000) + "." + std::to_string(v % 1000 / 10); };
  if (driver == 0) return "there is no NVIDIA driver here; install one for CUDA " + version(runtime) + " or later, or use the device 'cpu'";
  // Within a major version the runtime works with older drivers.
  if (driver / 1000 < runtime / 1000)
    return "the NVIDIA driver is for CUDA " + version(driver) + ", the kernels were built with " + version(runtime) +
           "; install a newer driver, build with an older nvcc, or use the device 'cpu'";
  if (cards == 0) return "the NVIDIA driver finds no card (CUDA_VISIBLE_DEVICES may hide them); use the device 'cpu'";
  return {};
}

}  // namespace rescunet
