// Decoding on ARM64. Products of bytes fit into 16 bits in pairs: 2 · 127 · 127 < 2^15.
#define LANES 4
#define UNROLL 2
#define ROWS 2
#define ROWS_I8 4
#include "decode_neon.h"

namespace {
inline I dot(I sum, Weights w, const uint8_t* x) {
  const int8x16_t four = four_bytes(x);
  const int16x8_t low = vmull_s8(vget_low_s8(w), vget_low_s8(four)), high = vmull_high_s8(w, four);
  return (I)vpadalq_s16((int32x4_t)sum, vpaddq_s16(low, high));
}
}  // namespace

#include "decode_bytes.h"

const ostinato::DecodeTable ostinato::kDecodeNeon = OSTINATO_DECODE_TABLE(panels_i8);
