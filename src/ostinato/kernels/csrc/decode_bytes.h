// int8 products by instructions that add up 4 columns of a row. Beside what decode_kernels.h asks for, a file of one instruction
// set defines ROWS_I8 (how many vectors go through a panel at once) and, before including this file:
//   struct Weights; Weights unpack(const int8_t* p): 4 columns of LANES rows
//   I dot(I sum, Weights w, const uint8_t* x): adds the products with 4 quantized values, each q + kOffset in kBytes bytes
#pragma once
namespace {
constexpr int kTogether = 4;
}
#include "decode_kernels.h"

namespace {

template <int NB, int PARTS>
void panel_i8(const int8_t* w, int64_t k, const float* scale, const int32_t* start, const float* bias, const uint8_t* x,
              int64_t ldx, const float* x_scale, float* y, int64_t ldy) {
  I sum[PARTS][NB][kVectors] = {};
  static_assert(kStep / 4 % PARTS == 0);
  for (int64_t i = 0; i < k / 4; i += PARTS)
#pragma GCC unroll 16
    for (int u = 0; u < PARTS; ++u)
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) {
        const Weights weight = unpack(w + (i + u) * 4 * kPanel + v * 4 * kLanes);
#pragma GCC unroll 16
        for (int b = 0; b < NB; ++b) sum[u][b][v] = dot(sum[u][b][v], weight, x + b * ldx + (i + u) * 4 * kBytes);
      }
#pragma GCC unroll 16
  for (int b = 0; b < NB; ++b)
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
      I total = sum[0][b][v] + *reinterpret_cast<const UnalignedI*>(start + v * kLanes);
#pragma GCC unroll 16
      for (int u = 1; u < PARTS; ++u) total += sum[u][b][v];
      finish(total, scale + v * kLanes, x_scale[b], bias ? bias + v * kLanes : nullptr, y + b * ldy + v * kLanes);
    }
}

template <int NB>
void rows_i8(const int8_t* w, int64_t k, const float* scale, const int32_t* start, const float* bias, const uint8_t*& x,
             int64_t ldx, const float*& x_scale, int64_t& rows, float*& y, int64_t ldy) {
  for (; rows >= NB; rows -= NB, x += NB * ldx, x_scale += NB, y += NB * ldy)
    panel_i8<NB, (NB * kVectors >= 8 ? 1 : 8 / (NB * kVectors))>(w, k, scale, start, bias, x, ldx, x_scale, y, ldy);
}

void panels_i8(const int8_t* w, int64_t k, int64_t panels, const float* scale, const int32_t* start, const float* bias,
               const uint8_t* x, int64_t ldx, const float* x_scale, int64_t rows, float* y, int64_t ldy) {
  for (int64_t p = 0; p < panels; ++p, w += k * kPanel, scale += kPanel, start += kPanel, y += kPanel) {
    const float* here = bias ? bias + p * kPanel : nullptr;
    const uint8_t* xs = x;
    const float* scales = x_scale;
    float* ys = y;
    int64_t left = rows;
    if constexpr (ROWS_I8 >= 16) rows_i8<16>(w, k, scale, start, here, xs, ldx, scales, left, ys, ldy);
    if constexpr (ROWS_I8 >= 4) rows_i8<4>(w, k, scale, start, here, xs, ldx, scales, left, ys, ldy);
    rows_i8<2>(w, k, scale, start, here, xs, ldx, scales, left, ys, ldy);
    rows_i8<1>(w, k, scale, start, here, xs, ldx, scales, left, ys, ldy);
  }
}

}  // namespace
