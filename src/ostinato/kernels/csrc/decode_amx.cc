// Decoding with AMX: int8 products of several rows go through the tile unit, the rest is as with VNNI.
#define LANES 16
#define UNROLL 4
#define ROWS 4
#define ROWS_I8 16
#include "decode_vnni.h"
#include "decode_bytes.h"

namespace {

constexpr int64_t kFewRows = 4;  // fewer are no faster in tiles (measured)

struct alignas(64) TileShape {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t bytes[16] = {};
  uint8_t rows[16] = {};
};

// Tiles 0-3: int32 sums, a row an x and a column a weight row, of four panels. 4: x. 5-6: weights, in turn.
void configure(int64_t rows) {
  TileShape shape;
  for (int t = 0; t < 7; ++t) {
    shape.bytes[t] = 64;
    shape.rows[t] = t < 5 ? uint8_t(rows) : 16;
  }
  _tile_loadconfig(&shape);
}

void finish_rows(const int32_t* sums, int64_t rows, const float* scale, const int32_t* start, const float* bias,
            const float* x_scale, float* y, int64_t ldy) {
  for (int64_t b = 0; b < rows; ++b) {
    const I total = *reinterpret_cast<const I*>(sums + b * kPanel) + *reinterpret_cast<const UnalignedI*>(start);
    finish(total, scale, x_scale[b], bias, y + b * ldy);
  }
}

// Up to 16 rows of x times all panels, four panels at a time so that each tile of x is used four times.
void tiles_i8(const int8_t* w, int64_t k, int64_t panels, const float* scale, const int32_t* start, const float* bias,
              const uint8_t* x, int64_t ldx, const float* x_scale, int64_t rows, float* y, int64_t ldy) {
  alignas(64) int32_t sums[4][16 * kPanel];
  const int64_t size = k * kPanel;  // bytes of a panel
  int64_t p = 0;
  for (; p + 4 <= panels; p += 4) {
    const int8_t* w0 = w + p * size;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int64_t i = 0; i < k; i += kStep) {
      const int8_t* here = w0 + i * kPanel;
      _tile_loadd(4, x + i, ldx);
      _tile_loadd(5, here, 64);
      _tile_dpbusd(0, 4, 5);
      _tile_loadd(6, here + size, 64);
      _tile_dpbusd(1, 4, 6);
      _tile_loadd(5, here + 2 * size, 64);
      _tile_dpbusd(2, 4, 5);
      _tile_loadd(6, here + 3 * size, 64);
      _tile_dpbusd(3, 4, 6);
    }
    _tile_stored(0, sums[0], 64);
    _tile_stored(1, sums[1], 64);
    _tile_stored(2, sums[2], 64);
    _tile_stored(3, sums[3], 64);
    for (int64_t q = 0; q < 4; ++q) {
      const int64_t row = (p + q) * kPanel;
      finish_rows(sums[q], rows, scale + row, start + row, bias ? bias + row : nullptr, x_scale, y + row, ldy);
    }
  }
  for (; p < panels; ++p) {
    _tile_zero(0);
    for (int64_t i = 0; i < k; i += kStep) {
      _tile_loadd(4, x + i, ldx);
      _tile_loadd(5, w + p * size + i * kPanel, 64);
      _tile_dpbusd(0, 4, 5);
    }
    _tile_stored(0, sums[0], 64);
    const int64_t row = p * kPanel;
    finish_rows(sums[0], rows, scale + row, start + row, bias ? bias + row : nullptr, x_scale, y + row, ldy);
  }
}

void panels_amx(const int8_t* w, int64_t k, int64_t panels, const float* scale, const int32_t* start, const float* bias,
                const uint8_t* x, int64_t ldx, const float* x_scale, int64_t rows, float* y, int64_t ldy) {
  int64_t b = 0;
  for (int64_t taken; rows - b >= kFewRows; b += taken) {
    taken = rows - b < 16 ? rows - b : 16;
    configure(taken);
    tiles_i8(w, k, panels, scale, start, bias, x + b * ldx, ldx, x_scale + b, taken, y + b * ldy, ldy);
  }
  if (b > 0) _tile_release();
  if (b < rows) panels_i8(w, k, panels, scale, start, bias, x + b * ldx, ldx, x_scale + b, rows - b, y + b * ldy, ldy);
}

}  // namespace

const ostinato::DecodeTable ostinato::kDecodeAmx = OSTINATO_DECODE_TABLE(panels_amx);
