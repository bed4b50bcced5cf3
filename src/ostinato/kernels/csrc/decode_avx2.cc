// Decoding with AVX2 and FMA.
#define LANES 8
#define UNROLL 2
#define ROWS 2
#define ROWS_I8 4
#include <immintrin.h>
#include "simd.h"

namespace {
inline I madd(I a, I b) { return (I)_mm256_madd_epi16((__m256i)a, (__m256i)b); }
inline void put(uint8_t* out, int64_t i, I q) {
  const __m128i low = _mm256_castsi256_si128((__m256i)q), high = _mm256_extracti128_si256((__m256i)q, 1);
  const __m128i s = _mm_shufflehi_epi16(_mm_shufflelo_epi16(_mm_packs_epi32(low, high), 0xd8), 0xd8);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 2 * i), s);
}
}  // namespace

#include "decode_madd.h"
#include "decode_kernels.h"

const ostinato::DecodeTable ostinato::kDecodeAvx2 = OSTINATO_DECODE_TABLE(panels_i8);
