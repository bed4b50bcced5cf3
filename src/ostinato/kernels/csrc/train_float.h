// Matrix products in float32. Left operands are packed in panels of R rows, [k][R]; right ones in panels of 16 columns,
// [k][16]; a product's tile is R rows by one or two panels, held in registers.
#pragma once
#include "train_turn.h"

namespace ostinato::train {
namespace {

struct FloatEngine {
  using Element = float;
#if defined(__AVX512F__)
  static constexpr int kRows = 14, kPanels = 2, kGroup = 7;
  static constexpr int64_t kDepth = 128;
#elif defined(__AVX2__)
  static constexpr int kRows = 6, kPanels = 1, kGroup = 16;
  static constexpr int64_t kDepth = 256;
#elif defined(OSTINATO_NEON)
  static constexpr int kRows = 6, kPanels = 1, kGroup = 16;  // 24 sums, a panel's row and 6 of the left, of 32 registers
  static constexpr int64_t kDepth = 256;
#else
  static constexpr int kRows = 4, kPanels = 1, kGroup = 24;
  static constexpr int64_t kDepth = 256;
#endif
  // kRows by kPanels: what the registers hold. kDepth: the depth over which panels stay in the L1 cache.
  static constexpr int kTiles = 1, kWide = 4;
  static constexpr int64_t kStrip = 64;
  static constexpr int64_t kKept = 64 << 20;  // bytes of a head's exponentials that are kept

  static int64_t depth(int64_t k) { return k; }
  static int64_t stride(int64_t k) { return k; }                        // between rows of a left operand, on average
  static int64_t panel(int64_t k) { return k * kBlock; }                // elements of a right operand's panel
  static int64_t left_size(int64_t m, int64_t k) { return round_up(m, kRows) * k; }
  static float* left_tile(float* left, int64_t tile, int64_t rows, int64_t k) { return left + tile * rows * k; }
  static int64_t slice_tiles(int64_t k) { return k > 1024 ? kGroup : 2 * kGroup; }
  static int64_t slice_panels(int64_t k) { return k > 1024 ? kWide : 2 * kWide; }
  static void configure(int) {}
  static void release() {}

  static constexpr bool kUneven = true;  // tiles of a time step need not have the same number of rows
  static constexpr int kRowStep = 1;

  // Puts 16 columns of a tile of `rows` rows, the first of them `first`, into a left operand.
  static void put(float* left, int64_t first, int64_t rows, int64_t k, int64_t column, const Block* values) {
    float* to = left + first * k + column * rows;
    put_columns(to, rows, least(kBlock, k - column), [&](int64_t r) { return values[r]; });
  }

  // A record keeps rows for products after the time loop.
  static int64_t record_stride(int64_t columns) { return columns; }
  static void put_record(float* record, int64_t stride, int64_t row, int64_t column, const Block& b) {
    store_block(record + row * stride + column, b);
  }
  static Block get_record(const float* record, int64_t stride, int64_t row, int64_t column) {
    return load_block(record + row * stride + column);
  }

  // Left operand tiles [begin, end) of kRows rows from rows that lie in memory (row(i) is null past the end).
  template <class Row>
  static void pack_left(float* left, Range tiles, int64_t k, Row row) {
    for (int64_t tile = tiles.begin; tile < tiles.end; ++tile)
      pack_rows<kRows>(left + tile * kRows * k, tile * kRows, k, row);
  }
  // Right operand panels from rows that run along k: right[k][n] = row(n)[k].
  template <class Row>
  static void pack_right_transposed(float* right, Range panels, int64_t k, Row row) {
    for (int64_t p = panels.begin; p < panels.end; ++p) pack_rows<kBlock>(right + p * panel(k), p * kBlock, k, row);
  }
  // Right operand panels from rows that run along n: right[k][n] = row(k)[n], n < columns.
  template <class Row>
  static void pack_right(float* right, Range panels, int64_t k, int64_t columns, Row row) {
    const float* from[kStrip];
    for (int64_t first = 0; first < k; first += kStrip) {
      const int64_t count = least(kStrip, k - first);
      for (int64_t i = 0; i < count; ++i) from[i] = row(first + i);
      for (int64_t p = panels.begin; p < panels.end; ++p)
        for (int64_t i = 0; i < count; ++i) {
          const Block b = from[i] ? load_block(from[i] + p * kBlock, columns - p * kBlock) : Block{};
          store_block(right + p * panel(k) + (first + i) * kBlock, b);
        }
    }
  }
  // The record of a layer's gates lies in panels of 16 columns, as a right operand. pack_gates makes a left one of it, of m rows
  // and depth k, a multiple of 16.
  static constexpr bool kRightRecords = true;
  static int64_t gates_size(int64_t rows, int64_t gates) { return rows * gates; }
  static void put_gates(float* record, int64_t rows, int64_t, int64_t row, int64_t column, const Block& b) {
    store_block(record + column * rows + row * kBlock, b);
  }
  static void pack_gates(float* left, Range tiles, const float* record, int64_t m, int64_t k) {
    for (int64_t column = 0; column < k; column += kBlock)
      for (int64_t tile = tiles.begin; tile < tiles.end; ++tile) {
        const float* from = record + column * m + tile * kRows * kBlock;
        const int64_t rows = m - tile * kRows;
        put_columns(left + tile * kRows * k + column * kRows, kRows, kBlock,
                    [=](int64_t r) { return r < rows ? load_block(from + r * kBlock) : Block{}; });
      }
  }

  // left[m][k] = row(k)[m]; rows of the matrix that are null count as zeros.
  template <class Row>
  static void pack_left_columns(float* left, Range tiles, int64_t m, int64_t k, Row row) {
    // By strips of rows: rows lie far apart, so that all tiles take their share of a line while it is in the cache.
    const float* from[kStrip];
    for (int64_t first = 0; first < k; first += kStrip) {
      const int64_t count = least(kStrip, k - first);
      for (int64_t i = 0; i < count; ++i) from[i] = row(first + i);
      for (int64_t tile = tiles.begin; tile < tiles.end; ++tile) {
        const int64_t rows = least(kRows, m - tile * kRows);
        float* to = left + tile * kRows * k + first * kRows;
        for (int64_t i = 0; i < count; ++i, to += kRows) {
          if (from[i] && rows == kRows) memcpy(to, from[i] + tile * kRows, kRows * sizeof(float));
          else
            for (int r = 0; r < kRows; ++r) to[r] = from[i] && r < rows ? from[i][tile * kRows + r] : 0.0f;
        }
      }
    }
  }

  // left[m][k] = from[k][m], rows of `from` `stride` floats apart.
  static void pack_left_transposed(float* left, Range tiles, const float* from, int64_t stride, int64_t m, int64_t k) {
    pack_left_columns(left, tiles, m, k, [=](int64_t i) { return from + i * stride; });
  }

  // A tile of d (`words` x 16·wide, 16·kWide floats a row) into d as left operand, depth `n`, and as right one, depth `k`.
  static void put_strip(float* left, float* right, int64_t word, int64_t words, int64_t k, int64_t panel_, int wide, int64_t n, const float* d) {
    for (int64_t p = panel_; p < panel_ + wide; ++p, d += kBlock) {
      put_columns(left + word * n + p * kBlock * kRows, kRows, least(kBlock, n - p * kBlock),
                  [=](int64_t r) { return r < words ? load_block(d + r * kWide * kBlock, kBlock) : Block{}; });
      for (int64_t i = 0; i < words; ++i) memcpy(right + p * panel(k) + (word + i) * kBlock, d + i * kWide * kBlock, kBlock * sizeof(float));
    }
  }

  // c = left · right over k: `tiles` tiles, the first `full` of `rows` rows and the others of one row less, by 16·panels columns.
  // Sums over kDepth steps each are added one by one.
  static void group(const float* left, int tiles, int full, int64_t rows, const float* right, int panels, int64_t k, float* c, int64_t stride) {
    for (int64_t i = 0; i < k; i += kDepth) {
      const int64_t depth = least(kDepth, k - i);
      for (int p = 0; p < panels; p += kPanels) {
        const float *a = left, *b = right + p * panel(k) + i * kBlock;
        float* to = c + p * kBlock;
        for (int t = 0; t < tiles; ++t) {
          const int64_t tall = rows - (t >= full);
          if (kPanels == 2 && panels - p >= 2) by_rows<kRows, 2>(a + i * tall, tall, b, panel(k), depth, to, stride, i > 0);
          else by_rows<kRows, 1>(a + i * tall, tall, b, panel(k), depth, to, stride, i > 0);
          a += tall * k;
          to += tall * stride;
        }
      }
    }
  }

 private:
  template <int kR, class Row>
  static void pack_rows(float* to, int64_t first, int64_t k, Row row) {
    const float* from[kR];
    for (int r = 0; r < kR; ++r) from[r] = row(first + r);
    for (int64_t i = 0; i < k; i += kBlock)
      put_columns(to + i * kR, kR, least(kBlock, k - i), [&](int64_t r) { return from[r] ? load_block(from[r] + i, k - i) : Block{}; });
  }

  template <int kR, int kP>
  static void by_rows(const float* a, int64_t rows, const float* b, int64_t next, int64_t depth, float* c, int64_t stride, bool add) {
    if (rows == kR) multiply<kR, kP>(a, b, b + next, depth, c, stride, add);
    else if constexpr (kR > 1) by_rows<kR - 1, kP>(a, rows, b, next, depth, c, stride, add);
  }

  // c[kR][16·kP] (+)= a[depth][kR] · (b | second)[depth][16]
  template <int kR, int kP>
  __attribute__((noinline)) static void multiply(const float* a, const float* b, const float* second, int64_t depth, float* c, int64_t stride,
                                                 bool add) {
    constexpr int kVectors = kBlock / kWidth;
    V sum[kR][kP * kVectors] = {};
    if (add) {
#pragma GCC unroll 16
      for (int r = 0; r < kR; ++r)
#pragma GCC unroll 8
        for (int v = 0; v < kP * kVectors; ++v) sum[r][v] = load(c + r * stride + v * kWidth);
    }
    for (int64_t i = 0; i < depth; ++i) {
      V right[kP * kVectors];
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        right[v] = load(b + i * kBlock + v * kWidth);
        if (kP == 2) right[kP * kVectors - kVectors + v] = load(second + i * kBlock + v * kWidth);
      }
#pragma GCC unroll 16
      for (int r = 0; r < kR; ++r) {
        const V left = splat(a[i * kR + r]);
#pragma GCC unroll 8
        for (int v = 0; v < kP * kVectors; ++v) sum[r][v] += left * right[v];
      }
    }
#pragma GCC unroll 16
    for (int r = 0; r < kR; ++r)
#pragma GCC unroll 8
      for (int v = 0; v < kP * kVectors; ++v) store(c + r * stride + v * kWidth, sum[r][v]);
  }
};

}  // namespace
}  // namespace ostinato::train
