// Decoding on ARM64 with matrix products of bytes: two rows of x times two rows of weights over eight columns an instruction.
//
// Eight columns of a weight row lie side by side, so that a vector holds two rows. One row of x alone goes through dot products:
// a matrix product would take as many instructions for it, one for a vector of weights, and half of each result would be unused.
#define LANES 4
#define UNROLL 2
#define ROWS 2
#include "decode_neon.h"

namespace {
constexpr int kTogether = 8;
}

#include "decode_kernels.h"

namespace {

constexpr int kPairs = int(kPanel) / 2;  // vectors of weights: pairs of rows, eight columns each

// Loads stay on their side of this: no more weights are loaded than there are registers for, and two by one instruction.
inline void load_no_further() { __asm__ volatile("" ::: "memory"); }

inline void finish_panel(const int32x4_t (&totals)[kVectors], const float* scale, const int32_t* start, const float* bias, float x_scale, float* y) {
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) {
    const I total = (I)totals[v] + *reinterpret_cast<const UnalignedI*>(start + v * kLanes);
    finish(total, scale + v * kLanes, x_scale, bias ? bias + v * kLanes : nullptr, y + v * kLanes);
  }
}

// A sum holds, of two rows of weights, columns 0-3 and 4-7 each.
__attribute__((noinline)) void panel_row(const int8_t* w, int64_t k, const float* scale, const int32_t* start, const float* bias,
                                         const uint8_t* x, float x_scale, float* y) {
  int32x4_t sum[kPairs] = {};
  for (int64_t i = 0; i < k; i += kTogether, w += kTogether * kPanel) {
    int64_t eight;
    memcpy(&eight, x + i, sizeof eight);
    const int8x16_t twice = vreinterpretq_s8_s64(vdupq_n_s64(eight));
    int8x16_t weights[kPairs];
#pragma GCC unroll 8
    for (int j = 0; j < kPairs; ++j) weights[j] = vld1q_s8(w + j * 16);
    load_no_further();
#pragma GCC unroll 8
    for (int j = 0; j < kPairs; ++j) sum[j] = vdotq_s32(sum[j], weights[j], twice);
  }
  int32x4_t totals[kVectors];
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) totals[v] = vpaddq_s32(sum[2 * v], sum[2 * v + 1]);
  finish_panel(totals, scale, start, bias, x_scale, y);
}

inline int8x16_t eight_of_two(const uint8_t* one, const uint8_t* other) {
  const int64x2_t first = vcombine_s64(vreinterpret_s64_u8(vld1_u8(one)), vdup_n_s64(0));
  return vreinterpretq_s8_s64(vld1q_lane_s64(reinterpret_cast<const int64_t*>(other), first, 1));
}

// NB pairs of `rows` rows of x; where they are odd, the last one is taken twice, and its second result dropped. A sum holds
// the products of two rows of x by two rows of weights.
template <int NB>
void panel_pairs(const int8_t* w, int64_t k, const float* scale, const int32_t* start, const float* bias, const uint8_t* x, int64_t ldx,
                 const float* x_scale, int64_t rows, float* y, int64_t ldy) {
  int32x4_t sum[NB][kPairs] = {};
  const uint8_t* row[2 * NB];
#pragma GCC unroll 8
  for (int b = 0; b < 2 * NB; ++b) row[b] = x + (b < rows ? b : rows - 1) * ldx;
  for (int64_t i = 0; i < k; i += kTogether, w += kTogether * kPanel) {
    int8x16_t part[NB];
#pragma GCC unroll 4
    for (int b = 0; b < NB; ++b) part[b] = eight_of_two(row[2 * b] + i, row[2 * b + 1] + i);
#pragma GCC unroll 8
    for (int j = 0; j < kPairs; ++j) {
      if (j % 4 == 0) load_no_further();
      const int8x16_t weight = vld1q_s8(w + j * 16);
#pragma GCC unroll 4
      for (int b = 0; b < NB; ++b) sum[b][j] = vmmlaq_s32(sum[b][j], part[b], weight);
    }
  }
#pragma GCC unroll 8
  for (int b = 0; b < 2 * NB; ++b) {
    if (b >= rows) return;
    int32x4_t totals[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const int64x2_t one = vreinterpretq_s64_s32(sum[b / 2][2 * v]), other = vreinterpretq_s64_s32(sum[b / 2][2 * v + 1]);
      totals[v] = vreinterpretq_s32_s64(b % 2 ? vzip2q_s64(one, other) : vzip1q_s64(one, other));
    }
    finish_panel(totals, scale, start, bias, x_scale[b], y + b * ldy);
  }
}

void panels_mmla(const int8_t* w, int64_t k, int64_t panels, const float* scale, const int32_t* start, const float* bias, const uint8_t* x,
                 int64_t ldx, const float* x_scale, int64_t rows, float* y, int64_t ldy) {
  for (int64_t p = 0; p < panels; ++p, w += k * kPanel, scale += kPanel, start += kPanel, y += kPanel) {
    const float* here = bias ? bias + p * kPanel : nullptr;
    if (rows == 1) panel_row(w, k, scale, start, here, x, *x_scale, y);
    // Three pairs at once fill the registers; four are taken as two and two.
    for (int64_t b = 0, taken; rows > 1 && b < rows; b += taken) {
      const int64_t left = rows - b, pairs = (left + 1) / 2;
      taken = pairs == 3 || pairs > 4 ? 6 : pairs > 1 ? 4 : 2;
      const auto panel = taken == 6 ? panel_pairs<3> : taken == 4 ? panel_pairs<2> : panel_pairs<1>;
      panel(w, k, scale, start, here, x + b * ldx, ldx, x_scale + b, left < taken ? left : taken, y + b * ldy, ldy);
    }
  }
}

}  // namespace

const ostinato::DecodeTable ostinato::kDecodeMmla = OSTINATO_DECODE_TABLE(panels_mmla);
