// Rows of a float32 matrix turned into columns, 16 x 16 numbers at a time.
#pragma once
#include "train_vector.h"

namespace ostinato::train {
namespace {

#if defined(__AVX2__) && !defined(__AVX512F__)
// At most 8 rows.
inline void put_column(float* to, int64_t rows, __m256 v) {
  if (rows >= 8) return _mm256_storeu_ps(to, v);
  __m128 part = _mm256_castps256_ps128(v);
  if (rows >= 4) {
    _mm_storeu_ps(to, part);
    part = _mm256_extractf128_ps(v, 1);
    to += 4, rows -= 4;
  }
  if (rows >= 4) return _mm_storeu_ps(to, part);
  if (rows >= 2) {
    _mm_storel_pi((__m64*)to, part);
    part = _mm_movehl_ps(part, part);
    to += 2, rows -= 2;
  }
  if (rows) _mm_store_ss(to, part);
}
#elif defined(OSTINATO_NEON)
// At most 4 rows.
inline void put_column(float* to, int64_t rows, float32x4_t v) {
  if (rows >= 4) return vst1q_f32(to, v);
  if (rows >= 2) vst1_f32(to, vget_low_f32(v));
  if (rows == 1) vst1q_lane_f32(to, v, 0);
  if (rows == 3) vst1q_lane_f32(to + 2, v, 2);
}
#endif

template <class Values>
inline void put_columns_by_value(float* to, int64_t rows, int64_t columns, Values values) {
  float v[kBlock][kBlock];
  for (int64_t r = 0; r < rows; ++r) {
    const Block b = values(r);
    memcpy(v[r], &b, sizeof b);
  }
  for (int64_t i = 0; i < columns; ++i)
    for (int64_t r = 0; r < rows; ++r) to[i * rows + r] = v[r][i];
}

// to[column][rows] = values(row)[column]
template <class Values>
inline void put_columns(float* to, int64_t rows, int64_t columns, Values values) {
#if defined(__AVX512F__)
  __m512i v[kBlock];
  for (int r = 0; r < kBlock; ++r) v[r] = r < rows ? (__m512i)values(r).part[0] : _mm512_setzero_si512();
  transpose(v);
  const __mmask16 mask = __mmask16((1u << rows) - 1);
  for (int i = 0; i < kBlock; ++i)
    if (i < columns) _mm512_mask_storeu_epi32(to + i * rows, mask, v[i]);
#elif defined(__AVX2__)
  const int64_t kept = least(columns, kBlock);
  for (int64_t first = 0; first < rows; first += 8) {
    __m256 v[2][8];
    for (int r = 0; r < 8; ++r) {
      const Block b = first + r < rows ? values(first + r) : Block{};
      v[0][r] = (__m256)b.part[0], v[1][r] = (__m256)b.part[1];
    }
    transpose(v[0]), transpose(v[1]);
    for (int64_t i = 0; i < kept; ++i) put_column(to + i * rows + first, rows - first, v[i / 8][i % 8]);
  }
#elif defined(OSTINATO_NEON)
  for (int64_t first = 0; first < rows; first += 4) {
    Block b[4];
    for (int r = 0; r < 4; ++r) b[r] = first + r < rows ? values(first + r) : Block{};
    for (int i = 0; i < least(columns, kBlock); i += 4) {
      float32x4_t v[4];
      for (int r = 0; r < 4; ++r) v[r] = (float32x4_t)b[r].part[i / 4];
      transpose(v);
      for (int j = 0; j < least(4, columns - i); ++j) put_column(to + (i + j) * rows + first, rows - first, v[j]);
    }
  }
#else
  put_columns_by_value(to, rows, columns, values);
#endif
}

// to[u][r] = c[r][u] for 16 columns u and `rows` <= 16 rows r that lie `stride` floats apart; to[u] may be null.
inline void turn(const float* c, int64_t stride, int64_t rows, float* const (&to)[kBlock]) {
  alignas(64) float turned[kBlock * kBlock];
  put_columns(turned, rows, kBlock, [=](int64_t r) { return load_block(c + r * stride); });
  for (int u = 0; u < kBlock; ++u) {
    if (to[u] && rows == kBlock) store_block(to[u], load_block(turned + u * kBlock));
    else if (to[u]) memcpy(to[u], turned + u * rows, size_t(rows) * sizeof(float));
  }
}

}  // namespace
}  // namespace ostinato::train
