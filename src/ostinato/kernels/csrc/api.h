// What every file of this folder shares: the export macro and the CPU's instruction sets.
#pragma once
#include <cstdint>

#if defined(_WIN32)
#define OSTINATO_API extern "C" __declspec(dllexport)
#else
#define OSTINATO_API extern "C" __attribute__((visibility("default")))
#endif

namespace ostinato {

// Raised whenever an exported function changes; kernels/load.py holds the same number and refuses another one.
constexpr int32_t kInterfaceVersion = 4;

// Instruction sets, each including those of its architecture before it: x86-64 up to kAmx, then ARM64. The numbers are those
// of ISAS in kernels/load.py.
enum Isa : int32_t { kPortable = 0, kAvx2, kAvx512, kVnni, kAmx, kNeon, kDotprod, kMmla, kLastIsa = kMmla };

// Whether this CPU and operating system can run `isa`, and this library holds code for it.
bool supports(Isa isa);

// Whether this CPU multiplies bfloat16 numbers with AVX-512, which is no level of its own: some CPUs with kVnni do.
bool has_bfloat();

// The best instruction set that `supports` is true for.
Isa best_isa();

}  // namespace ostinato
