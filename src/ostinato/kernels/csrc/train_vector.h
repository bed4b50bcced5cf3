// Vectors of kWidth floats (the widest the file is compiled for) and the functions of gates on them.
#pragma once
#include <cstring>

#include "train_team.h"
#if defined(OSTINATO_NEON)  // train_neon.cc: what ARM64 can do beyond portable code
#include <arm_neon.h>
#endif
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12's own intrinsics start from values they leave unset on purpose.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

namespace ostinato::train {
namespace {

#if defined(__AVX512F__)
constexpr int kWidth = 16;
#elif defined(__AVX2__)
constexpr int kWidth = 8;
#else
constexpr int kWidth = 4;
#endif
constexpr int kBlock = 16;  // hidden units, or columns of a product, that are handled together

typedef float V __attribute__((vector_size(4 * kWidth)));
typedef int32_t VI __attribute__((vector_size(4 * kWidth)));

inline V load(const float* p) {
  V v;
  memcpy(&v, p, sizeof v);
  return v;
}
inline void store(float* p, V v) { memcpy(p, &v, sizeof v); }
inline V splat(float f) { return f - V{}; }

inline V reciprocal(V d) {
#if defined(__AVX512F__)
  // 14 bits, doubled by one Newton step.
  const __m512 y = _mm512_rcp14_ps((__m512)d);
  return (V)_mm512_mul_ps(y, _mm512_fnmadd_ps((__m512)d, y, _mm512_set1_ps(2.0f)));
#else
  return 1.0f / d;
#endif
}

// e^x to about 1 unit in the last place, between the least and the greatest normal float. NaN stays NaN.
inline V exp_v(V x) {
  x = x > 88.37f ? splat(88.37f) : x;
  x = x < -87.33f ? splat(-87.33f) : x;
  constexpr float kMagic = 12582912.0f;  // 1.5 · 2^23: adding it rounds to an integer, held in the low bits
  const V shifted = x * 1.44269504f + kMagic;
  const V n = shifted - kMagic;
  const V r = (x - n * 0.693359375f) + n * 2.12194440e-4f;  // x - n ln 2, ln 2 in two parts
  // The minimax polynomial of Cephes' expf (S. Moshier) on |r| <= ln(2) / 2.
  V p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + (r + 1.0f);
  return (V)((VI)p + ((VI)shifted << 23));
}

inline V sigmoid(V x) { return reciprocal(1.0f + exp_v(-x)); }

inline V tanh_v(V x) {
  const VI sign = (VI)x & INT32_MIN;
  const V a = (V)((VI)x ^ sign);
  const V e = exp_v(a * -2.0f);
  const V large = (1.0f - e) * reciprocal(1.0f + e);
  // Near 0 that difference cancels: the polynomial of Cephes' tanhf.
  const V z = a * a;
  V p = z * -5.70498872745e-3f + 2.06390887954e-2f;
  p = p * z - 5.37397155531e-2f;
  p = p * z + 1.33314422036e-1f;
  p = p * z - 3.33332819422e-1f;
  const V small = p * z * a + a;
  return (V)((VI)(a < 0.625f ? small : large) | sign);
}

#if defined(__AVX512F__)
// Transposes 16 x 16 words of 32 bits.
inline void transpose(__m512i (&r)[16]) {
  __m512i t[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  // r[4 g + c] holds, in its quarter q, rows 4 g .. 4 g + 3 of column 4 q + c.
  for (int c = 0; c < 4; ++c) {
    t[c] = _mm512_shuffle_i32x4(r[c], r[4 + c], 0x88);
    t[4 + c] = _mm512_shuffle_i32x4(r[c], r[4 + c], 0xdd);
    t[8 + c] = _mm512_shuffle_i32x4(r[8 + c], r[12 + c], 0x88);
    t[12 + c] = _mm512_shuffle_i32x4(r[8 + c], r[12 + c], 0xdd);
  }
  for (int c = 0; c < 4; ++c) {
    r[c] = _mm512_shuffle_i32x4(t[c], t[8 + c], 0x88);
    r[8 + c] = _mm512_shuffle_i32x4(t[c], t[8 + c], 0xdd);
    r[4 + c] = _mm512_shuffle_i32x4(t[4 + c], t[12 + c], 0x88);
    r[12 + c] = _mm512_shuffle_i32x4(t[4 + c], t[12 + c], 0xdd);
  }
}
#elif defined(__AVX2__)
// Transposes 8 x 8 floats.
inline void transpose(__m256 (&r)[8]) {
  __m256 t[8];
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
    t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
  }
  for (int i = 0; i < 8; i += 4) {
    r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
    r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
    r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
    r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
  }
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x20);
    t[i + 4] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x31);
  }
  for (int i = 0; i < 8; ++i) r[i] = t[i];
}
#elif defined(OSTINATO_NEON)
// Transposes 4 x 4 floats.
inline void transpose(float32x4_t (&r)[4]) {
  const float32x4x2_t t = vtrnq_f32(r[0], r[1]), u = vtrnq_f32(r[2], r[3]);
  for (int i = 0; i < 2; ++i) {
    r[i] = vcombine_f32(vget_low_f32(t.val[i]), vget_low_f32(u.val[i]));
    r[2 + i] = vcombine_f32(vget_high_f32(t.val[i]), vget_high_f32(u.val[i]));
  }
}
#endif

// The kBlock values of one block, `count` of them in memory, the others 0.
struct Block {
  V part[kBlock / kWidth];
};

inline Block load_block(const float* p) {
  Block b;
  for (int v = 0; v < kBlock / kWidth; ++v) b.part[v] = load(p + v * kWidth);
  return b;
}
inline Block load_block(const float* p, int64_t count) {
  if (count >= kBlock) return load_block(p);
  float full[kBlock] = {};
  for (int64_t i = 0; i < count; ++i) full[i] = p[i];
  return load_block(full);
}

inline void store_block(float* p, const Block& b) {
  for (int v = 0; v < kBlock / kWidth; ++v) store(p + v * kWidth, b.part[v]);
}
inline void store_block(float* p, const Block& b, int64_t count) {
  if (count >= kBlock) return store_block(p, b);
  float full[kBlock];
  store_block(full, b);
  for (int64_t i = 0; i < count; ++i) p[i] = full[i];
}

}  // namespace
}  // namespace ostinato::train
