// The precision that the environment asks for.
#include "precision.h"
#include <cstdlib>
#include <stdexcept>
#include <string>

namespace rescunet::cuda {

Precision wanted_precision() {
  const char* wish = std::getenv("RESCUNET_PRECISION");
  const std::string name = wish && *wish ? wish : "f32";
  if (name == "f32") return Precision::f32;
  if (name == "tf32") return Precision::tf32;
  if (name == "bf16") return Precision::bf16;
  throw std::runtime_error("RESCUNET_PRECISION: f32, tf32 or bf16, got '" + name + "'");
}

}  // namespace rescunet::cuda
