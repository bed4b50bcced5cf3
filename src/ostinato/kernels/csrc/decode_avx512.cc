// Decoding with AVX-512 (F, BW, DQ, VL) without VNNI.
#define LANES 16
#define UNROLL 4
#define ROWS 4
#define ROWS_I8 4
#include <immintrin.h>
#include "simd.h"

namespace {
inline I madd(I a, I b) { return (I)_mm512_madd_epi16((__m512i)a, (__m512i)b); }
inline void put(uint8_t* out, int64_t i, I q) {
  const __m256i s = _mm512_cvtepi32_epi16((__m512i)q);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 2 * i), _mm256_shufflehi_epi16(_mm256_shufflelo_epi16(s, 0xd8), 0xd8));
}
}  // namespace

#include "decode_madd.h"
#include "decode_bytes.h"

const ostinato::DecodeTable ostinato::kDecodeAvx512 = OSTINATO_DECODE_TABLE(panels_i8);
