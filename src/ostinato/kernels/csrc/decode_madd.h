// int8 products without VNNI: columns 0 and 2, then 1 and 3, as 16-bit pairs for the multiply-and-add instruction (exact,
// where the 8-bit one would saturate). Quantized x is kept in the order 0, 2, 1, 3 to match. Needs `madd(I, I)`; `put` is
// the includer's too.
#pragma once
#include "simd.h"

namespace {

constexpr int kBytes = 2, kOffset = 0;
struct Weights {
  I even, odd;
};
inline Weights unpack(const int8_t* p) {
  typedef int16_t S __attribute__((vector_size(4 * LANES)));
  const S w = *reinterpret_cast<const S*>(p);
  return {(I)((S)(w << 8) >> 8), (I)(w >> 8)};
}
inline I dot(I sum, Weights w, const uint8_t* x) {
  const int32_t* pairs = reinterpret_cast<const int32_t*>(x);
  return sum + madd(w.even, all<I>(pairs[0])) + madd(w.odd, all<I>(pairs[1]));
}

}  // namespace
