// Matrix products of bfloat16 numbers with float32 sums by ARM64's matrix instruction: two rows times two columns, four steps
// of depth each (BFMMLA). Both operands lie as it takes them, in blocks of 2 x 4 numbers: left ones in pairs of rows,
// [row/2][k/4][row%2][k%4], right ones in panels of 16 columns, [k/4][column/2][column%2][k%4].
#pragma once
#include <arm_neon.h>

#include "train_vector.h"

namespace ostinato::train {
namespace {

typedef uint16_t Bfloat;

struct MmlaEngine {
  using Element = Bfloat;
  static constexpr int kRows = 16, kPanels = 1, kTiles = 1, kGroup = 6, kWide = 4;
  static constexpr int64_t kDepth = 512;      // over which panels stay in the L1 cache
  static constexpr int64_t kKept = 48 << 20;  // bytes of a head's exponentials that are kept
  static constexpr int kPairs = 3;            // pairs of rows whose sums are kept in registers: 24, with 3 of the left and 4 of the right

  static int64_t depth(int64_t k) { return round_up(k, kBlock); }
  // Pairs of rows a multiple of 1 KiB apart would fall into the same few sets of the caches.
  static int64_t stride(int64_t k) { return depth(k) + (depth(k) % 256 == 0 ? kBlock : 0); }
  static int64_t panel(int64_t k) { return depth(k) * kBlock; }
  static int64_t left_size(int64_t m, int64_t k) { return round_up(m, kRows) * stride(k); }
  static int64_t slice_tiles(int64_t k) { return k > 2048 ? kGroup : 2 * kGroup; }
  static int64_t slice_panels(int64_t k) { return k > 2048 ? kWide : 2 * kWide; }
  static void configure(int) {}
  static void release() {}

  static constexpr bool kUneven = false;  // all tiles have the same number of rows
  static constexpr int kRowStep = 2;

  // c[tiles·rows][16·panels] = left tiles of `rows` rows · right panels over k. Sums go over the depth from first to last.
  static void group(const Bfloat* left, int tiles, int, int64_t rows, const Bfloat* right, int panels, int64_t k, float* c, int64_t apart) {
    const int64_t pairs = tiles * rows / 2, parts = ceil_div(pairs, kPairs), next = 2 * stride(k);
    for (int64_t i = 0; i < depth(k); i += kDepth) {
      const int64_t deep = least(kDepth, depth(k) - i);
      for (int p = 0; p < panels; ++p)
        for (int64_t part = 0; part < parts; ++part) {
          const int64_t first = pairs * part / parts, count = pairs * (part + 1) / parts - first;
          by_pairs<kPairs>(left + first * next + 2 * i, next, count, right + p * panel(k) + i * kBlock, deep, c + 2 * first * apart + p * kBlock,
                           apart, i > 0);
        }
    }
  }

  // Puts 16 columns of a tile of `rows` rows, the first of them `first`, into a left operand.
  static void put(Bfloat* left, int64_t first, int64_t rows, int64_t k, int64_t column, const Block* values) {
    for (int64_t r = 0; r < rows; r += 2) put_pair(left + (first + r) * stride(k) + 2 * column, values[r], values[r + 1]);
  }

  // What a head keeps lies in plain rows.
  static int64_t record_stride(int64_t columns) { return columns; }
  static void put_record(Bfloat* record, int64_t stride, int64_t row, int64_t column, const Block& b) {
    Bfloat* to = record + row * stride + column;
    vst1q_u16(to, eight(b.part[0], b.part[1]));
    vst1q_u16(to + 8, eight(b.part[2], b.part[3]));
  }
  static Block get_record(const Bfloat* record, int64_t stride, int64_t row, int64_t column) {
    Block b;
    for (int v = 0; v < 4; ++v) b.part[v] = (V)vshll_n_u16(vld1_u16(record + row * stride + column + 4 * v), 16);
    return b;
  }

  // The record of a layer's gates is a left operand.
  static constexpr bool kRightRecords = false;
  static int64_t gates_size(int64_t rows, int64_t gates) { return left_size(rows, gates); }
  static void put_gates(Bfloat* record, int64_t, int64_t gates, int64_t row, int64_t column, const Block& b) {
    Bfloat* to = record + (row & ~int64_t(1)) * stride(gates) + row % 2 * 4 + 2 * column;
    for (int v = 0; v < 4; v += 2) {
      const uint16x8_t both = eight(b.part[v], b.part[v + 1]);
      vst1_u16(to + 8 * v, vget_low_u16(both));
      vst1_u16(to + 8 * v + 8, vget_high_u16(both));
    }
  }
  static void pack_record_transposed(Bfloat* left, Range tiles, const Bfloat* record, int64_t gates, int64_t k) {
    for (int64_t tile = tiles.begin; tile < tiles.end; ++tile)
      for (int64_t i = 0; i < depth(k); i += 4) {
        const Bfloat* from = record + i * stride(gates) + 2 * tile * kRows;
        for (int j = 0; j < kRows; j += 4) {
          const Square s = turned(two_rows(from + 2 * j, k - i), two_rows(from + 2 * stride(gates) + 2 * j, k - i - 2));
          put_square(left + (tile * kRows + j) * stride(k) + 2 * i, 2 * stride(k), s);
        }
      }
  }

  template <class Row>
  static void pack_left(Bfloat* left, Range tiles, int64_t k, Row row) {
    for (int64_t m = tiles.begin * kRows; m < tiles.end * kRows; m += 2) {
      const float *one = row(m), *other = row(m + 1);
      for (int64_t i = 0; i < depth(k); i += kBlock) put_pair(left + m * stride(k) + 2 * i, some(one, i, k), some(other, i, k));
    }
  }
  // left[m][k] = from[k][m], rows of `from` `apart` floats apart.
  static void pack_left_transposed(Bfloat* left, Range tiles, const float* from, int64_t apart, int64_t m, int64_t k) {
    for (int64_t tile = tiles.begin; tile < tiles.end; ++tile)
      for (int64_t i = 0; i < depth(k); i += 4)
        put_four(left + tile * kRows * stride(k) + 2 * i, 2 * stride(k),
                 [=](int64_t r) { return some(i + r < k ? from + (i + r) * apart : nullptr, tile * kRows, m); });
  }
  template <class Row>
  static void pack_right_transposed(Bfloat* right, Range panels, int64_t k, Row row) {
    for (int64_t p = panels.begin; p < panels.end; ++p)
      for (int n = 0; n < kBlock; n += 2) {
        const float *one = row(p * kBlock + n), *other = row(p * kBlock + n + 1);
        Bfloat* to = right + p * panel(k) + 4 * n;
        for (int64_t i = 0; i < depth(k); i += kBlock) {
          const Block a = some(one, i, k), b = some(other, i, k);
          for (int v = 0; v < 4; ++v) vst1q_u16(to + (i + 4 * v) * kBlock, eight(a.part[v], b.part[v]));
        }
      }
  }
  template <class Row>
  static void pack_right(Bfloat* right, Range panels, int64_t k, int64_t columns, Row row) {
    for (int64_t i = 0; i < depth(k); i += 4) {
      const float* from[4];
      for (int r = 0; r < 4; ++r) from[r] = i + r < k ? row(i + r) : nullptr;
      for (int64_t p = panels.begin; p < panels.end; ++p)
        put_four(right + p * panel(k) + i * kBlock, 8, [&](int64_t r) { return some(from[r], p * kBlock, columns); });
    }
  }

  // A tile of d (`words` x 16·wide, 16·kWide floats a row) into d as left operand, depth `n`, and as right one, depth `k`.
  static void put_strip(Bfloat* left, Bfloat* right, int64_t word, int64_t words, int64_t k, int64_t panel_, int wide, int64_t n, const float* d) {
    for (int64_t p = panel_; p < panel_ + wide; ++p, d += kBlock) {
      auto values = [=](int64_t r) { return r < words ? load_block(d + r * kWide * kBlock) : Block{}; };
      for (int64_t r = 0; r < kRows; r += 2) put_pair(left + (word + r) * stride(n) + 2 * p * kBlock, values(r), values(r + 1));
      for (int64_t i = 0; i < kRows; i += 4) put_four(right + p * panel(k) + (word + i) * kBlock, 8, [=](int64_t r) { return values(i + r); });
    }
  }

 private:
  // Numbers k .. k+15 of a row of `count`, those past its end 0; all 0 without a row.
  static Block some(const float* row, int64_t k, int64_t count) { return row ? load_block(row + k, count - k) : Block{}; }

  static uint16x8_t eight(V low, V high) {
    return vreinterpretq_u16_bf16(vcvtq_high_bf16_f32(vcvtq_low_bf16_f32((float32x4_t)low), (float32x4_t)high));
  }
  // 16 columns of a pair of rows of a left operand.
  static void put_pair(Bfloat* to, const Block& one, const Block& other) {
    for (int v = 0; v < 4; ++v) vst1q_u16(to + 8 * v, eight(one.part[v], other.part[v]));
  }

  // 4 x 4 numbers as two pairs of rows; turned, rows and columns are exchanged.
  struct Square {
    uint16x8_t pair[2];
  };
  static Square turned(uint16x8_t one, uint16x8_t other) {
    const uint16x8_t even = vuzp1q_u16(one, other), odd = vuzp2q_u16(one, other);  // columns 0 and 2, 1 and 3, of all four rows
    const uint16x8_t first = vuzp1q_u16(even, odd), second = vuzp2q_u16(even, odd);
    return {{first, second}};
  }
  static void put_square(Bfloat* to, int64_t next, const Square& s) {
    vst1q_u16(to, s.pair[0]);
    vst1q_u16(to + next, s.pair[1]);
  }
  // Four rows of 16 numbers turned into eight pairs of columns, `next` apart.
  template <class Values>
  static void put_four(Bfloat* to, int64_t next, Values values) {
    const Block a = values(0), b = values(1), c = values(2), d = values(3);
    for (int v = 0; v < 4; ++v) put_square(to + 2 * v * next, next, turned(eight(a.part[v], b.part[v]), eight(c.part[v], d.part[v])));
  }
  // Four columns of two rows of a left operand, of which `rows` are in memory, the others 0.
  static uint16x8_t two_rows(const Bfloat* from, int64_t rows) {
    if (rows >= 2) return vld1q_u16(from);
    return rows == 1 ? vcombine_u16(vld1_u16(from), vdup_n_u16(0)) : vdupq_n_u16(0);
  }

  template <int kP>
  static void by_pairs(const Bfloat* a, int64_t next, int64_t pairs, const Bfloat* b, int64_t k, float* c, int64_t stride, bool add) {
    if (pairs == kP) multiply<kP>(a, next, b, k, c, stride, add);
    else if constexpr (kP > 1) by_pairs<kP - 1>(a, next, pairs, b, k, c, stride, add);
  }

  // c[2·kP][16] (+)= a[2·kP][k] · b[k][16]; k a multiple of 4, pairs of rows of a `next` apart. A sum is 2 x 2 numbers.
  template <int kP>
  __attribute__((noinline)) static void multiply(const Bfloat* a, int64_t next, const Bfloat* b, int64_t k, float* c, int64_t stride, bool add) {
    constexpr int kAcross = kBlock / 2;
    float32x4_t sum[kP][kAcross] = {};
    if (add) {
#pragma GCC unroll 4
      for (int r = 0; r < kP; ++r)
#pragma GCC unroll 8
        for (int n = 0; n < kAcross; n += 2) exchange(vld1q_f32(c + 2 * r * stride + 2 * n), vld1q_f32(c + (2 * r + 1) * stride + 2 * n), sum[r] + n);
    }
    for (int64_t i = 0; i < k; i += 4, a += 8, b += 4 * kBlock) {
      bfloat16x8_t left[kP];
#pragma GCC unroll 4
      for (int r = 0; r < kP; ++r) left[r] = vreinterpretq_bf16_u16(vld1q_u16(a + r * next));
#pragma GCC unroll 8
      for (int n = 0; n < kAcross; ++n) {
        if (n % 4 == 0) __asm__ volatile("" ::: "memory");  // no more is loaded than there are registers for
        const bfloat16x8_t right = vreinterpretq_bf16_u16(vld1q_u16(b + 8 * n));
#pragma GCC unroll 4
        for (int r = 0; r < kP; ++r) sum[r][n] = vbfmmlaq_f32(sum[r][n], left[r], right);
      }
    }
#pragma GCC unroll 4
    for (int r = 0; r < kP; ++r)
#pragma GCC unroll 8
      for (int n = 0; n < kAcross; n += 2) {
        float32x4_t rows[2];
        exchange(sum[r][n], sum[r][n + 1], rows);
        vst1q_f32(c + 2 * r * stride + 2 * n, rows[0]);
        vst1q_f32(c + (2 * r + 1) * stride + 2 * n, rows[1]);
      }
  }
  // Two rows of four numbers to two squares side by side, or back.
  static void exchange(float32x4_t one, float32x4_t other, float32x4_t* to) {
    const float64x2_t a = vreinterpretq_f64_f32(one), b = vreinterpretq_f64_f32(other);
    to[0] = vreinterpretq_f32_f64(vzip1q_f64(a, b));
    to[1] = vreinterpretq_f32_f64(vzip2q_f64(a, b));
  }
};

}  // namespace
}  // namespace ostinato::train
