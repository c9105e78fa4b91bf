// What the addon reports about the CPU.
#pragma once

namespace rescunet {
bool cpu_multiplies_bf16();
const char* cpu_instruction_set();  // "baseline", "avx2" or "avx512"
int cpu_threads();                  // RESCUNET_THREADS, or the number of cores
}  // namespace rescunet
