// int8 on ARM64: signed bytes, weights and inputs both. The products are the includer's; one by dot products has 4 rows of 4
// columns a vector.
#pragma once
#include <arm_neon.h>

#include <cstring>

#include "simd.h"

namespace {

constexpr int kBytes = 1, kOffset = 0;
typedef int8x16_t Weights;
inline Weights unpack(const int8_t* p) { return vld1q_s8(p); }
inline int8x16_t four_bytes(const uint8_t* x) {
  int32_t four;
  memcpy(&four, x, sizeof four);
  return vreinterpretq_s8_s32(vdupq_n_s32(four));
}
inline void put(uint8_t* out, int64_t i, I q) {
  const int16x4_t s = vmovn_s32((int32x4_t)q);
  const int8x8_t bytes = vmovn_s16(vcombine_s16(s, s));
  memcpy(out + i, &bytes, 4);
}

}  // namespace
