// Decoding on ARM64 with dot products of bytes.
#define LANES 4
#define UNROLL 2
#define ROWS 2
#define ROWS_I8 4
#include "decode_neon.h"

namespace {
inline I dot(I sum, Weights w, const uint8_t* x) { return (I)vdotq_s32((int32x4_t)sum, w, four_bytes(x)); }
}  // namespace

#include "decode_bytes.h"

const ostinato::DecodeTable ostinato::kDecodeDotprod = OSTINATO_DECODE_TABLE(panels_i8);
