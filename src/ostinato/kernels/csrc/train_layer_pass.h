// What the two passes of a recurrent layer share (train_layer_forward.h, train_layer_backward.h): where things lie, how a time
// step is cut into tiles, and how rows are read and written.
//
// Units are handled in blocks of 16. Inside, a row of gates is [block][slot][16], so that a block's gates lie side by side;
// slots are torch's gates in order, and for a GRU W_hn h + b_hn in a fourth.
#pragma once
#include "train_product.h"
#include "train_vector.h"

namespace ostinato::train {
namespace {

// Where things lie for one call. States and gates inside go block by block, so that a block's rows lie side by side.
template <int64_t kCell>
struct Shape {
  static constexpr int64_t G = kCell == kLstm ? 4 : kCell == kGru ? 3 : 1, slots = kCell >= kGru ? 4 : 1;
  int64_t T, B, I, H, blocks, rows;
  bool reverse;
  explicit Shape(const LayerCall& call)
      : T(call.steps), B(call.batch), I(call.input_size), H(call.hidden_size), blocks(ceil_div(H, kBlock)), rows(T * B),
        reverse(call.reverse != 0) {}
  int64_t gate_at(int64_t row, int64_t block) const { return (block * rows + row) * slots * kBlock; }
  int64_t cell_at(int64_t step, int64_t b, int64_t block) const { return (block * (T + 1) * B + step * B + b) * kBlock; }
  int64_t state_at(int64_t b, int64_t block) const { return (block * B + b) * kBlock; }
  int64_t width() const { return blocks * kBlock; }
  int64_t gate_width() const { return blocks * slots * kBlock; }
  int64_t panel_width() const { return blocks * G * kBlock; }
  int64_t time(int64_t step) const { return reverse ? T - 1 - step : step; }
  int64_t units(int64_t block) const { return least(kBlock, H - block * kBlock); }
  // The rows of a (G·H, ...) matrix in the order [block][gate][16]; -1 where there is none.
  void list_gate_rows(int32_t* to) const {
    for (int64_t block = 0; block < blocks; ++block)
      for (int64_t gate = 0; gate < G; ++gate)
        for (int64_t unit = block * kBlock; unit < (block + 1) * kBlock; ++unit) *to++ = unit < H ? int32_t(gate * H + unit) : -1;
  }
};

// Rows of a left operand for one time step: n tiles, the first `full` of `rows` rows, the others of one row less; or, where an
// engine's tiles are all the same, of `rows` rows, the last ones of which may be padding.
template <class E>
struct StepTiles {
  int64_t B, n, rows, full;
  explicit StepTiles(int64_t batch) : B(batch), n(ceil_div(B, E::kRows)), rows(round_up(ceil_div(B, n), E::kRowStep)), full(E::kUneven ? B - n * (rows - 1) : n) {}
  int64_t first(int64_t tile) const { return tile * rows - most(0, tile - full); }
  int64_t rows_in(int64_t tile) const { return E::kUneven ? rows - (tile >= full) : least(rows, B - tile * rows); }
  int64_t rows_put(int64_t tile) const { return E::kUneven ? rows_in(tile) : rows; }
  int64_t full_in(int64_t tile, int64_t tiles) const { return most(0, least(full - tile, tiles)); }
  int64_t size(int64_t k) const { return E::kUneven ? B * k : round_up(n, E::kTiles) * rows * E::stride(k); }
};

// A call on one cell. A pass adds its workspace and its way over the time steps.
template <class E, int64_t kCell>
struct LayerPass {
  using Element = typename E::Element;
  const LayerCall& call;
  const Shape<kCell> s;
  const StepTiles<E> step;

  explicit LayerPass(const LayerCall& given) : call(given), s(given), step(given.batch) {}

  // h before time step `i` for row b: h0 (null for zeros) or the output of the step before.
  const float* h_before(int64_t i, int64_t b) const {
    if (i == 0) return call.h0 ? call.h0 + b * s.H : nullptr;
    return call.y + (s.time(i - 1) * s.B + b) * s.H;
  }

  // Blocks of a time step that a thread takes at once, a multiple of `least_blocks`: enough to be worth the asking.
  int64_t blocks_at_once(int64_t least_blocks) const {
    constexpr int64_t kWorth = 1 << 20;  // multiplications
    const int64_t wanted = ceil_div(kWorth, s.B * s.H * s.G * kBlock);
    return round_up(most(1, least(wanted, ceil_div(s.blocks, 2 * most(call.threads, 1)))), least_blocks);
  }

  // Puts the rows of one tile and 16 columns into a step's left operand.
  void put(Element* left, int64_t tile, int64_t k, int64_t column, Block* values) const {
    for (int64_t r = step.rows_in(tile); r < step.rows_put(tile); ++r) values[r] = Block{};
    E::put(left, step.first(tile), step.rows_put(tile), k, column, values);
  }

  static const float* gate(const float* matrix, int64_t row, int64_t columns) { return row < 0 ? nullptr : matrix + row * columns; }
  Block load_row(const float* matrix, int64_t b, int64_t block) const {
    return matrix ? load_block(matrix + b * s.H + block * kBlock, s.units(block)) : Block{};
  }
  Block load_before(int64_t i, int64_t b, int64_t block) const {
    const float* h = h_before(i, b);
    return h ? load_block(h + block * kBlock, s.units(block)) : Block{};
  }
  // Both step operands zeroed: their padding is multiplied by zero weights, and must be finite.
  void clear_state(Element* const (&state)[2], int64_t k) const {
    for (Element* each : state) memset(each, 0, size_t(step.size(k)) * sizeof(Element));
  }
  static void copy(float* to, const float* c, int64_t panel, int wide, int64_t columns) {
    for (int p = 0; p < wide; ++p) {
      const int64_t at = (panel + p) * kBlock;
      store_block(to + at, load_block(c + p * kBlock, kBlock), columns - at);
    }
  }
};

}  // namespace
}  // namespace ostinato::train
