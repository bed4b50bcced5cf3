// int8 products with VNNI: four unsigned times signed bytes a lane in one instruction, hence the offset of x.
#pragma once
#include <immintrin.h>
#include "simd.h"

namespace {

constexpr int kBytes = 1, kOffset = 128;
typedef I Weights;
inline Weights unpack(const int8_t* p) { return *reinterpret_cast<const I*>(p); }
inline I dot(I sum, Weights w, const uint8_t* x) {
  const I four = all<I>(*reinterpret_cast<const int32_t*>(x));
  return (I)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)four, (__m512i)w);
}
inline void put(uint8_t* out, int64_t i, I q) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i), _mm512_cvtepi32_epi8((__m512i)(q + kOffset)));
}

}  // namespace
