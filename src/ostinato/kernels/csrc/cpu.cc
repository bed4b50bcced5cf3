// Which instruction sets this CPU has, this operating system saves, and this library was built for.
#include "api.h"

#if defined(__x86_64__)  // GCC and Clang, on Windows as well
#define OSTINATO_X86 1
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#elif defined(__aarch64__)
#if defined(__linux__)
#include <sys/auxv.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#elif defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#endif
#endif

namespace ostinato {
namespace {

#if defined(OSTINATO_X86)
struct Registers {
  uint32_t a = 0, b = 0, c = 0, d = 0;
};

Registers cpuid(uint32_t leaf, uint32_t subleaf) {
  Registers r;
  __get_cpuid_count(leaf, subleaf, &r.a, &r.b, &r.c, &r.d);
  return r;
}

// Register state the operating system saves at a task switch (XCR0): bits 1-2 SSE and AVX, 5-7 AVX-512, 17-18 AMX tiles.
uint64_t saved_state() {
  if (!(cpuid(1, 0).c >> 27 & 1)) return 0;  // OSXSAVE
  uint32_t low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t(high) << 32 | low;
}

// Linux gives a process the 8 KB of tile registers only on request; the grant holds for all its threads.
bool ask_for_tiles() {
#if defined(__linux__)
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

Isa detect() {
  constexpr uint64_t kAvxState = 0x6, kAvx512State = 0xe6, kTileState = 0x60000;
  const uint64_t saved = saved_state();
  const Registers one = cpuid(1, 0), seven = cpuid(7, 0), seven1 = cpuid(7, 1);
  auto all = [](uint32_t bits, uint32_t wanted) { return (bits & wanted) == wanted; };
  // AVX2 (leaf 7 ebx 5), FMA (leaf 1 ecx 12), F16C (29)
  if ((saved & kAvxState) != kAvxState || !all(one.c, 1u << 12 | 1u << 29) || !all(seven.b, 1u << 5)) return kPortable;
  // AVX-512 F (16), DQ (17), BW (30), VL (31)
  if ((saved & kAvx512State) != kAvx512State || !all(seven.b, 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31)) return kAvx2;
  if (!all(seven.c, 1u << 11)) return kAvx512;  // AVX512_VNNI (leaf 7 ecx 11)
  // AVX512_BF16 (leaf 7.1 eax 5), AMX bf16 (leaf 7 edx 22), tile (24), int8 (25)
  if ((saved & kTileState) != kTileState || !all(seven1.a, 1u << 5) || !all(seven.d, 1u << 22 | 1u << 24 | 1u << 25) ||
      !ask_for_tiles())
    return kVnni;
  return kAmx;
}
#elif defined(__aarch64__)
// NEON belongs to every ARM64 CPU. Dot products of bytes came with ARMv8.2, matrix products of bytes and of bfloat16 numbers,
// both at once, with ARMv8.6; CPUs of older versions may have them.
#if defined(__APPLE__)
bool has(const char* feature) {
  int found = 0;
  size_t size = sizeof found;
  return sysctlbyname(feature, &found, &size, nullptr, 0) == 0 && found;
}
bool has_dotprod() { return has("hw.optional.arm.FEAT_DotProd"); }
bool has_mmla() { return has("hw.optional.arm.FEAT_I8MM") && has("hw.optional.arm.FEAT_BF16"); }
#elif defined(__linux__)
bool has_dotprod() {
  constexpr unsigned long kAsimdDp = 1ul << 20;  // HWCAP_ASIMDDP
  return getauxval(AT_HWCAP) & kAsimdDp;
}
bool has_mmla() {
  constexpr unsigned long kBoth = 1ul << 13 | 1ul << 14;  // HWCAP2_I8MM, HWCAP2_BF16
  return (getauxval(AT_HWCAP2) & kBoth) == kBoth;
}
#elif defined(_WIN32)
bool has_dotprod() {
  constexpr DWORD kDotProducts = 43;  // PF_ARM_V82_DP_INSTRUCTIONS_AVAILABLE
  return IsProcessorFeaturePresent(kDotProducts);
}
bool has_mmla() {
  constexpr DWORD kBytes = 66, kBfloat = 68;  // PF_ARM_V82_I8MM_, PF_ARM_V86_BF16_INSTRUCTIONS_AVAILABLE
  return IsProcessorFeaturePresent(kBytes) && IsProcessorFeaturePresent(kBfloat);
}
#else
bool has_dotprod() { return false; }
bool has_mmla() { return false; }
#endif

Isa detect() { return !has_dotprod() ? kNeon : has_mmla() ? kMmla : kDotprod; }
#else
Isa detect() { return kPortable; }
#endif

bool built(Isa isa) {
  switch (isa) {
    case kPortable: return true;
#if defined(OSTINATO_X86)
#if defined(OSTINATO_HAVE_AVX2)
    case kAvx2: return true;
#endif
#if defined(OSTINATO_HAVE_AVX512)
    case kAvx512: return true;
#endif
#if defined(OSTINATO_HAVE_VNNI)
    case kVnni: return true;
#endif
#if defined(OSTINATO_HAVE_AMX)
    case kAmx: return true;
#endif
#endif
#if defined(OSTINATO_HAVE_NEON)
    case kNeon: return true;
#endif
#if defined(OSTINATO_HAVE_DOTPROD)
    case kDotprod: return true;
#endif
#if defined(OSTINATO_HAVE_MMLA)
    case kMmla: return true;
#endif
    default: return false;
  }
}

}  // namespace

bool supports(Isa isa) {
  static const Isa found = detect();
  return isa <= found && built(isa);
}

bool has_bfloat() {
#if defined(OSTINATO_X86)
  return supports(kVnni) && cpuid(7, 1).a >> 5 & 1;  // AVX512_BF16 (leaf 7.1 eax 5)
#else
  return false;
#endif
}

Isa best_isa() {
  for (int32_t isa = kLastIsa; isa > kPortable; --isa)
    if (supports(Isa(isa))) return Isa(isa);
  return kPortable;
}

}  // namespace ostinato

OSTINATO_API int32_t ostinato_interface_version() { return ostinato::kInterfaceVersion; }

OSTINATO_API int32_t ostinato_supports(int32_t isa) {
  return isa >= ostinato::kPortable && isa <= ostinato::kLastIsa && ostinato::supports(ostinato::Isa(isa));
}

OSTINATO_API int32_t ostinato_best_isa() { return ostinato::best_isa(); }
