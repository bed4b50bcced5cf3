// Decoding with AVX2 and FMA. int8 products: the multiply-and-add instruction for bytes takes unsigned times signed ones, so x gives
// its sizes, and its signs go to the weights. Two products fit into 16 bits (2 · 127 · 127 < 2^15): the sums are exact.
#define LANES 8
#define UNROLL 2
#define ROWS 2
#define ROWS_I8 4
#include <immintrin.h>
#include "simd.h"

namespace {

constexpr int kBytes = 2, kOffset = 0;  // of four quantized values: four sizes, then the values
typedef __m256i Weights;
inline Weights unpack(const int8_t* p) { return _mm256_load_si256(reinterpret_cast<const __m256i*>(p)); }
inline I dot(I sum, Weights w, const uint8_t* x) {
  const int32_t* four = reinterpret_cast<const int32_t*>(x);
  const __m256i products = _mm256_maddubs_epi16(_mm256_set1_epi32(four[0]), _mm256_sign_epi8(w, _mm256_set1_epi32(four[1])));
  return sum + (I)_mm256_madd_epi16(products, _mm256_set1_epi16(1));
}
inline void put(uint8_t* out, int64_t i, I q) {
  const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128((__m256i)q), _mm256_extracti128_si256((__m256i)q, 1));
  const __m128i values = _mm_packs_epi16(words, words);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 2 * i), _mm_unpacklo_epi32(_mm_abs_epi8(values), values));
}

}  // namespace

#include "decode_bytes.h"

const ostinato::DecodeTable ostinato::kDecodeAvx2 = OSTINATO_DECODE_TABLE(panels_i8);
