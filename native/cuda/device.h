// The devices that run the CUDA kernels: graphics cards, and their emulation in tests.
#pragma once
#include <memory>
#include <string>
#include "../device.h"

namespace rescunet {

#ifdef RESCUNET_CUDA
/// Cards that can be used; 0 without a card or a driver.
int cuda_device_count();
/// Why there are none, or nothing.
std::string cuda_device_problem();
std::unique_ptr<Backend> make_cuda_backend(int card);
#endif
#ifdef RESCUNET_SIM
/// RESCUNET_SIM_ORDER=ascending|descending|random: how threads take turns (sim.h). RESCUNET_SIM_ARCHITECTURE=80|90: what is emulated.
std::unique_ptr<Backend> make_sim_backend();
#endif

}  // namespace rescunet
