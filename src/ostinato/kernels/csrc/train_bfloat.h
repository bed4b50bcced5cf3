// Matrix products of bfloat16 numbers with float32 sums (AMX tiles, or AVX512-BF16 dot products). Left operands are rows,
// padded to whole tiles; right ones are panels of 16 columns made of tiles [k/2][column][k%2] of 32 x 16 numbers.
#pragma once
#include "train_vector.h"

namespace ostinato::train {
namespace {

typedef uint16_t Bfloat;

struct BfloatEngine {
  using Element = Bfloat;
  static constexpr int kRows = 16, kPanels = 2, kTiles = 2, kGroup = kTiles, kWide = kPanels;
  static constexpr int64_t kDepth = 32, kTile = kDepth * kBlock;
  static constexpr int64_t kSliceBytes = 512 * 1024;  // of either operand of a product, for one thread at a time
  static constexpr int64_t kKept = 48 << 20;  // bytes of a head's exponentials that are kept

  static int64_t depth(int64_t k) { return round_up(k, kDepth); }
  // Rows a multiple of 1 KiB apart would fall into the same few sets of the caches.
  static int64_t stride(int64_t k) { return depth(k) + (depth(k) % 512 == 0 ? kDepth : 0); }
  static int64_t panel(int64_t k) { return depth(k) * kBlock; }
  static int64_t left_size(int64_t m, int64_t k) { return round_up(m, kTiles * kRows) * stride(k); }
  static Bfloat* left_tile(Bfloat* left, int64_t tile, int64_t rows, int64_t k) { return left + tile * rows * stride(k); }

  static int64_t slice_tiles(int64_t k) { return most(2 * kTiles, kSliceBytes / (stride(k) * 2 * kRows) / kTiles * kTiles); }
  static int64_t slice_panels(int64_t) { return 16; }

  // c[tiles·rows][16·panels] = left tiles of `rows` rows · right panels over k
  static void group(const Bfloat* left, int tiles, int, int64_t rows, const Bfloat* right, int panels, int64_t k, float* c, int64_t apart) {
    for (int t = 0; t < tiles; t += kTiles)
      for (int p = 0; p < panels; p += kPanels)
        tile(left + t * rows * stride(k), stride(k), int(least(kTiles, tiles - t)), rows, right + p * panel(k),
             int(least(kPanels, panels - p)), k, c + t * rows * apart + p * kBlock, apart);
  }

  static constexpr bool kUneven = false;  // all tiles have the same number of rows
  static constexpr int kRowStep = 1;

  // Puts 16 columns of a tile of `rows` rows, the first of them `first`, into a left operand.
  static void put(Bfloat* left, int64_t first, int64_t rows, int64_t k, int64_t column, const Block* values) {
    for (int64_t r = 0; r < rows; ++r) put_record(left, stride(k), first + r, column, values[r]);
  }
  static int64_t record_stride(int64_t columns) { return stride(columns); }
  static void put_record(Bfloat* record, int64_t stride, int64_t row, int64_t column, const Block& b) {
    _mm256_storeu_si256((__m256i*)(record + row * stride + column), (__m256i)_mm512_cvtneps_pbh((__m512)b.part[0]));
  }
  static Block get_record(const Bfloat* record, int64_t stride, int64_t row, int64_t column) {
    const __m512i wide = _mm512_cvtepu16_epi32(load_256(record + row * stride + column));
    return {(V)_mm512_slli_epi32(wide, 16)};
  }

  template <class Row>
  static void pack_left(Bfloat* left, Range tiles, int64_t k, Row row) {
    for (int64_t m = tiles.begin * kRows; m < tiles.end * kRows; ++m) {
      const float* from = row(m);
      for (int64_t i = 0; i < depth(k); i += kDepth) store_512(left + m * stride(k) + i, from ? row_32(from + i, k - i) : zero());
    }
  }

  template <class Row>
  static void pack_right_transposed(Bfloat* right, Range panels, int64_t k, Row row) {
    for (int64_t p = panels.begin; p < panels.end; ++p) {
      const float* from[kBlock];
      for (int n = 0; n < kBlock; ++n) from[n] = row(p * kBlock + n);
      for (int64_t i = 0; i < depth(k); i += kDepth) {
        __m512i pairs[kBlock];
        for (int n = 0; n < kBlock; ++n) pairs[n] = from[n] ? row_32(from[n] + i, k - i) : zero();
        transpose(pairs);
        for (int j = 0; j < kBlock; ++j) store_512(right + p * panel(k) + i * kBlock + j * kDepth, pairs[j]);
      }
    }
  }

  template <class Row>
  static void pack_right(Bfloat* right, Range panels, int64_t k, int64_t columns, Row row) {
    const float* from[kDepth];
    for (int64_t first = 0; first < k; first += kDepth) {
      for (int64_t i = 0; i < kDepth; ++i) from[i] = first + i < k ? row(first + i) : nullptr;
      for (int64_t p = panels.begin; p < panels.end; ++p) {
        const __mmask16 mask = mask_16(columns - p * kBlock);
        for (int64_t i = 0; i < kDepth; i += 2) {
          const __m512 low = from[i] ? _mm512_maskz_loadu_ps(mask, from[i] + p * kBlock) : _mm512_setzero_ps();
          const __m512 high = from[i + 1] ? _mm512_maskz_loadu_ps(mask, from[i + 1] + p * kBlock) : _mm512_setzero_ps();
          store_512(right + p * panel(k) + (first + i) * kBlock, interleave((__m512i)_mm512_cvtne2ps_pbh(high, low)));
        }
      }
    }
  }

  // The record of a layer's gates lies in rows, as a left operand, which is read in pairs of tiles.
  static constexpr bool kRightRecords = false;
  static int64_t gates_size(int64_t rows, int64_t gates) { return round_up(rows, kTiles * kRows) * stride(gates); }
  static void put_gates(Bfloat* record, int64_t, int64_t gates, int64_t row, int64_t column, const Block& b) {
    put_record(record, stride(gates), row, column, b);
  }

  static void pack_record_transposed(Bfloat* left, Range tiles, const Bfloat* record, int64_t gates, int64_t k) {
    const int64_t apart = stride(gates);
    for (int64_t tile = tiles.begin; tile < tiles.end; ++tile)
      for (int64_t i = 0; i < depth(k); i += kDepth) {
        __m512i pairs[kBlock];
        for (int j = 0; j < kBlock; ++j) {
          const Bfloat* from = record + (i + 2 * j) * apart + tile * kRows;
          const __m256i even = i + 2 * j < k ? load_256(from) : _mm256_setzero_si256();
          const __m256i odd = i + 2 * j + 1 < k ? load_256(from + apart) : _mm256_setzero_si256();
          pairs[j] = interleave(_mm512_inserti64x4(_mm512_castsi256_si512(even), odd, 1));
        }
        transpose(pairs);
        for (int r = 0; r < kRows; ++r) store_512(left + (tile * kRows + r) * stride(k) + i, pairs[r]);
      }
  }

  // left[m][k] = from[k][m], rows of `from` `apart` floats apart.
  static void pack_left_transposed(Bfloat* left, Range tiles, const float* from, int64_t apart, int64_t m, int64_t k) {
    for (int64_t tile = tiles.begin; tile < tiles.end; ++tile) {
      const __mmask16 mask = mask_16(m - tile * kRows);
      for (int64_t i = 0; i < depth(k); i += kDepth) {
        __m512i pairs[kBlock];
        for (int j = 0; j < kBlock; ++j) {
          const float* even = from + (i + 2 * j) * apart + tile * kRows;
          const __m512 low = _mm512_maskz_loadu_ps(i + 2 * j < k ? mask : 0, even);
          const __m512 high = _mm512_maskz_loadu_ps(i + 2 * j + 1 < k ? mask : 0, even + apart);
          pairs[j] = interleave((__m512i)_mm512_cvtne2ps_pbh(high, low));
        }
        transpose(pairs);
        for (int r = 0; r < kRows; ++r) store_512(left + (tile * kRows + r) * stride(k) + i, pairs[r]);
      }
    }
  }
  // A tile of d (`words` x 16·wide, 16·kWide floats a row) into d as left operand, depth `n`, and as right one, depth `k`.
  static void put_strip(Bfloat* left, Bfloat* right, int64_t word, int64_t words, int64_t k, int64_t panel_, int wide, int64_t n, const float* d) {
    for (int p = 0; p < wide; ++p, d += kBlock)
      for (int64_t i = 0; i < kDepth; i += 2) {
        const __m512 low = i < words ? _mm512_loadu_ps(d + i * 32) : _mm512_setzero_ps();
        const __m512 high = i + 1 < words ? _mm512_loadu_ps(d + (i + 1) * 32) : _mm512_setzero_ps();
        const __m512i both = (__m512i)_mm512_cvtne2ps_pbh(high, low);
        Bfloat* to = left + (word + i) * stride(n) + (panel_ + p) * kBlock;
        _mm256_storeu_si256((__m256i*)to, _mm512_castsi512_si256(both));
        _mm256_storeu_si256((__m256i*)(to + stride(n)), _mm512_extracti64x4_epi64(both, 1));
        store_512(right + (panel_ + p) * panel(k) + (word + i) * kBlock, interleave(both));
      }
  }

#if defined(__AMX_BF16__)
  // Sets the tile registers: 0-3 sums of `rows` rows, 4-5 left operands, 6-7 right operands.
  static void configure(int rows) {
    struct alignas(64) {
      uint8_t palette = 1, start = 0, reserved[14] = {};
      uint16_t bytes[16] = {};
      uint8_t rows[16] = {};
    } config;
    for (int t = 0; t < 8; ++t) config.bytes[t] = 64, config.rows[t] = uint8_t(t < 6 ? rows : 16);
    __asm__ volatile("ldtilecfg %0" ::"m"(config));
  }
  static void release() { __asm__ volatile("tilerelease"); }

  // c[rows·tiles][16·panels] = a · b over k; a's second tile follows its first, b's second panel lies panel(k) on.
  static void tile(const Bfloat* a, int64_t a_stride, int tiles, int64_t rows, const Bfloat* b, int panels, int64_t k, float* c,
                   int64_t stride) {
    const int64_t steps = depth(k) / kDepth, right = panel(k), below = rows * a_stride;
    __asm__ volatile("" ::: "memory");  // the tile instructions are not known to read and write memory
    if (tiles == 2 && panels == 2) {
      _tile_zero(0);
      _tile_zero(1);
      _tile_zero(2);
      _tile_zero(3);
      for (int64_t i = 0; i < steps; ++i, a += kDepth, b += kTile) {
        fetch(b + 2 * kTile);
        _tile_loadd(6, b, 64);
        _tile_loadd(4, a, a_stride * 2);
        _tile_dpbf16ps(0, 4, 6);
        fetch(b + right + 2 * kTile);
        _tile_loadd(7, b + right, 64);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(5, a + below, a_stride * 2);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
      }
      _tile_stored(0, c, stride * 4);
      _tile_stored(1, c + kBlock, stride * 4);
      _tile_stored(2, c + rows * stride, stride * 4);
      _tile_stored(3, c + rows * stride + kBlock, stride * 4);
    } else if (tiles == 2) {
      _tile_zero(0);
      _tile_zero(2);
      for (int64_t i = 0; i < steps; ++i, a += kDepth, b += kTile) {
        fetch(b + 2 * kTile);
        _tile_loadd(6, b, 64);
        _tile_loadd(4, a, a_stride * 2);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(5, a + below, a_stride * 2);
        _tile_dpbf16ps(2, 5, 6);
      }
      _tile_stored(0, c, stride * 4);
      _tile_stored(2, c + rows * stride, stride * 4);
    } else if (panels == 2) {
      _tile_zero(0);
      _tile_zero(1);
      for (int64_t i = 0; i < steps; ++i, a += kDepth, b += kTile) {
        _tile_loadd(4, a, a_stride * 2);
        fetch(b + 2 * kTile);
        _tile_loadd(6, b, 64);
        _tile_dpbf16ps(0, 4, 6);
        fetch(b + right + 2 * kTile);
        _tile_loadd(7, b + right, 64);
        _tile_dpbf16ps(1, 4, 7);
      }
      _tile_stored(0, c, stride * 4);
      _tile_stored(1, c + kBlock, stride * 4);
    } else {
      _tile_zero(0);
      for (int64_t i = 0; i < steps; ++i, a += kDepth, b += kTile) {
        _tile_loadd(4, a, a_stride * 2);
        fetch(b + 2 * kTile);
        _tile_loadd(6, b, 64);
        _tile_dpbf16ps(0, 4, 6);
      }
      _tile_stored(0, c, stride * 4);
    }
    __asm__ volatile("" ::: "memory");
  }
#else
  static void configure(int) {}
  static void release() {}

  static void tile(const Bfloat* a, int64_t a_stride, int tiles, int64_t rows, const Bfloat* b, int panels, int64_t k, float* c,
                   int64_t stride) {
    constexpr int kGroup = 12;  // rows whose sums stay in registers
    for (int64_t m = 0; m < rows * tiles; m += kGroup) {
      const int group = int(least(kGroup, rows * tiles - m));
      if (panels == 2) by_rows<kGroup, 2>(a + m * a_stride, a_stride, group, b, k, c + m * stride, stride);
      else by_rows<kGroup, 1>(a + m * a_stride, a_stride, group, b, k, c + m * stride, stride);
    }
  }
#endif

 private:
  // Asks for a tile that is needed soon: the panels mostly lie in L2, and a tile's load waits for all its 16 lines.
  static void fetch(const Bfloat* tile) {
#pragma GCC unroll 16
    for (int line = 0; line < 16; ++line) __builtin_prefetch(tile + line * kDepth);
  }
  static __m512i zero() { return _mm512_setzero_si512(); }
  static void store_512(Bfloat* p, __m512i v) { _mm512_storeu_si512(p, v); }
  static __m256i load_256(const Bfloat* p) { return _mm256_loadu_si256((const __m256i*)p); }
  static __mmask16 mask_16(int64_t count) { return count >= 16 ? 0xffff : count <= 0 ? 0 : __mmask16((1u << count) - 1); }

  // 32 floats as bfloat16, those past `count` zero.
  static __m512i row_32(const float* p, int64_t count) {
    const __m512 low = _mm512_maskz_loadu_ps(mask_16(count), p), high = _mm512_maskz_loadu_ps(mask_16(count - 16), p + 16);
    return (__m512i)_mm512_cvtne2ps_pbh(high, low);
  }
  // Numbers 0..15 and 16..31 as pairs (0, 16), (1, 17), ...
  static __m512i interleave(__m512i v) {
    alignas(64) static const uint16_t kOrder[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                                    8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    return _mm512_permutexvar_epi16(_mm512_load_si512(kOrder), v);
  }

#if !defined(__AMX_BF16__)
  template <int kR, int kP>
  static void by_rows(const Bfloat* a, int64_t a_stride, int rows, const Bfloat* b, int64_t k, float* c, int64_t stride) {
    if (rows == kR) multiply<kR, kP>(a, a_stride, b, k, c, stride);
    else if constexpr (kR > 1) by_rows<kR - 1, kP>(a, a_stride, rows, b, k, c, stride);
  }

  template <int kR, int kP>
  static void multiply(const Bfloat* a, int64_t a_stride, const Bfloat* b, int64_t k, float* c, int64_t stride) {
    __m512 sum[kR][kP];
    for (int r = 0; r < kR; ++r)
      for (int p = 0; p < kP; ++p) sum[r][p] = _mm512_setzero_ps();
    for (int64_t i = 0; i < depth(k); i += 2) {
      __m512bh right[kP];
      for (int p = 0; p < kP; ++p) right[p] = (__m512bh)_mm512_loadu_si512(b + p * panel(k) + i * kBlock);
#pragma GCC unroll 16
      for (int r = 0; r < kR; ++r) {
        int pair;
        memcpy(&pair, a + r * a_stride + i, sizeof pair);
        const __m512bh left = (__m512bh)_mm512_set1_epi32(pair);
        for (int p = 0; p < kP; ++p) sum[r][p] = _mm512_dpbf16_ps(sum[r][p], left, right[p]);
      }
    }
    for (int r = 0; r < kR; ++r)
      for (int p = 0; p < kP; ++p) _mm512_storeu_ps(c + r * stride + p * kBlock, sum[r][p]);
  }
#endif
};

}  // namespace
}  // namespace ostinato::train
