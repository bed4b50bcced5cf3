// The functions of decoding that exist once an instruction set, and the weight layout they share.
//
// A matrix of R rows and K columns is stored in panels of 16 rows: panel p holds rows 16p .. 16p+15, missing rows as zeros.
//   float32: element (r, k) at [r / 16][k][r % 16]
//   int8:    element (r, k) at [r / 16][k / N][r % 16][k % N], K filled up with zeros to a multiple of kStep; N is `together`
// So a product with a vector reads the weights once, in one ascending stream, and never adds across lanes.
// Every array of weights starts at a multiple of 64 bytes.
#pragma once
#include "api.h"

namespace ostinato {

constexpr int64_t kPanel = 16;  // rows of a panel, and hidden units of a block
constexpr int64_t kStep = 64;   // columns of int8 weights are filled up to a multiple of this

inline int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

enum Cell : int32_t { kRnn = 0, kRnnRelu = 1, kGru = 2, kLstm = 3 };

struct DecodeTable {
  // y[b][16p + r] = bias[16p + r] + sum over k of w[p][k][r] * x[b][k], for `rows` vectors x of `k` floats, `ldx` apart.
  // y: `ldy` floats apart, 16 * panels written a row. bias may be null.
  void (*panels_f32)(const float* w, int64_t k, int64_t panels, const float* bias, const float* x, int64_t ldx, int64_t rows,
                     float* y, int64_t ldy);

  // The same with int8 weights: y = bias + scale[row] * x_scale[b] * (start[row] + w . x), x from `quantize`, `ldx` bytes apart.
  // k: a multiple of kStep. start[row] is -x_offset * (sum of the row's weights).
  void (*panels_i8)(const int8_t* w, int64_t k, int64_t panels, const float* scale, const int32_t* start, const float* bias,
                    const uint8_t* x, int64_t ldx, const float* x_scale, int64_t rows, float* y, int64_t ldy);

  // Rounds x, n floats (a multiple of 16), to whole numbers q from -127 to 127; returns the scale with x = scale * q.
  // out: 2 * n bytes, of which a set with x_offset 128 fills n with q + 128.
  float (*quantize)(const float* x, int64_t n, uint8_t* out);
  int32_t x_offset;
  int32_t together;  // int8 weights of one row that lie side by side, as the products take them: 4 or 8

  // One step of 16 units of a cell (Cell is the index). gx, gh: input and recurrent products, 16 floats a gate in torch's
  // order, all biases in gx but for b_hn (16 floats), which belongs to GRU's recurrent product of the candidate.
  // c: cell state, changed in place (LSTM). h: old state; out: new state, another place than h.
  void (*gates[4])(const float* gx, const float* gh, const float* b_hn, float* c, const float* h, float* out);

  float (*largest)(const float* x, int64_t n);       // NaN where any is NaN; n > 0
  double (*log_sum_exp)(const float* x, int64_t n);  // n > 0
  void (*weights)(const float* x, int64_t n, double temperature, double top, double* w);  // w = exp(x / temperature - top)
  double (*sum)(const double* x, int64_t n);
};

extern const DecodeTable kDecodePortable;
extern const DecodeTable kDecodeAvx2;
extern const DecodeTable kDecodeAvx512;
extern const DecodeTable kDecodeVnni;
extern const DecodeTable kDecodeAmx;
extern const DecodeTable kDecodeNeon;
extern const DecodeTable kDecodeDotprod;
extern const DecodeTable kDecodeMmla;

}  // namespace ostinato
