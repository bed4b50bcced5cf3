// Recurrent layers over time, on any engine E of matrix products (train_product.h says what an engine must have).
//
// Units are handled in blocks of 16. Inside, a row of gates is [block][slot][16], so that a block's gates lie side by side;
// slots are torch's gates in order, and for a GRU W_hn h + b_hn in a fourth. Within a time step threads take blocks; each
// begins where it began in the last one, so that its recurrent weights stay in its cache, and only h (backward: the
// gates' gradients) crosses threads. Equations: src/ostinato/cells.
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

template <class E, int64_t kCell>
struct CellLayer {
  using Element = typename E::Element;
  const LayerCall& call;
  const Shape<kCell> s;
  const StepTiles<E> step;

  explicit CellLayer(const LayerCall& given) : call(given), s(given), step(given.batch) {}

  struct Forward {
    Element *w_ih, *w_hh, *x, *state[2];
    float *gates, *bias, *bias_n;
    int32_t* gate_rows;
    int64_t bytes;
  };
  Forward forward_memory(void* start) const {
    Arena arena(start);
    Forward f;
    f.w_ih = arena.take<Element>(call.w_ih ? s.panel_width() / kBlock * E::panel(s.I) : 0);
    f.w_hh = arena.take<Element>(s.panel_width() / kBlock * E::panel(s.H));
    f.x = arena.take<Element>(call.w_ih ? E::left_size(s.rows, s.I) : 0);
    for (auto& state : f.state) state = arena.take<Element>(step.size(s.H));
    f.gates = arena.take<float>(keeps_gates() ? 0 : s.rows * s.gate_width());
    f.bias = arena.take<float>(s.panel_width());
    f.bias_n = arena.take<float>(s.width());
    f.gate_rows = arena.take<int32_t>(s.panel_width());
    f.bytes = arena.used();
    return f;
  }
  bool keeps_gates() const { return kCell >= kGru; }

  struct Backward {
    Element *w_ih, *w_hh, *state[2], *record, *record_h, *left, *left_h, *x, *h, *dx_left;
    float *dc, *dh, *db;
    int32_t* gate_rows;
    int64_t bytes;
  };
  Backward backward_memory(void* start) const {
    Arena arena(start);
    Backward b;
    const int64_t gates = s.panel_width(), record = E::gates_size(s.rows, gates);
    const int64_t left = E::kRightRecords ? 0 : E::left_size(gates, s.rows);
    const bool gru = kCell == kGru;
    b.w_ih = arena.take<Element>(call.w_ih ? ceil_div(s.I, kBlock) * E::panel(gates) : 0);
    b.w_hh = arena.take<Element>(s.blocks * E::panel(gates));
    for (auto& state : b.state) state = arena.take<Element>(step.size(gates));
    b.record = arena.take<Element>(record);
    b.record_h = gru ? arena.take<Element>(record) : b.record;
    b.left = arena.take<Element>(left);
    b.left_h = gru ? arena.take<Element>(left) : b.left;
    b.x = arena.take<Element>(call.w_ih ? E::kRightRecords ? E::left_size(s.I, s.rows) : ceil_div(s.I, kBlock) * E::panel(s.rows) : 0);
    b.h = arena.take<Element>(E::kRightRecords ? E::left_size(s.H, s.rows) : s.blocks * E::panel(s.rows));
    b.dx_left = arena.take<Element>(call.w_ih && E::kRightRecords ? E::left_size(s.rows, gates) : 0);
    b.dc = arena.take<float>(s.B * s.width());
    b.dh = arena.take<float>(s.B * s.width());
    b.db = arena.take<float>(s.gate_width());
    b.gate_rows = arena.take<int32_t>(gates);
    b.bytes = arena.used();
    return b;
  }

  static void sizes(const LayerCall& call, LayerSizes& sizes) {
    const CellLayer layer(call);
    sizes.gates = layer.keeps_gates() ? layer.s.rows * layer.s.gate_width() * 4 : 0;
    sizes.cells = kCell == kLstm ? (layer.s.T + 1) * layer.s.B * layer.s.width() * 4 : 0;
    sizes.forward = layer.forward_memory(nullptr).bytes;
    sizes.backward = layer.backward_memory(nullptr).bytes;
  }

  // h before time step `i` for row b: h0 (null for zeros) or the output of the step before.
  const float* h_before(int64_t i, int64_t b) const {
    if (i == 0) return call.h0 ? call.h0 + b * s.H : nullptr;
    return call.y + (s.time(i - 1) * s.B + b) * s.H;
  }

  // ---- forward ----

  static void forward(const LayerCall& call) {
    const CellLayer layer(call);
    const Forward memory = layer.forward_memory(call.workspace);
    layer.s.list_gate_rows(memory.gate_rows);
    Team team(call.threads);
    layer.forward_on(team, memory);
  }

  void forward_on(Team& team, const Forward& f) const {
    float* gates = keeps_gates() ? call.gates : f.gates;
    clear_state(f.state, s.H);
    team.share(s.blocks, [&](int64_t block) { prepare_forward(block, f); });
    if (call.w_ih) {
      team.share_ranges(round_up(ceil_div(s.rows, E::kRows), E::kTiles), 8 * E::kTiles, [&](Range tiles) {
        E::pack_left(f.x, tiles, s.I, [&](int64_t row) { return row < s.rows ? call.x + row * s.I : nullptr; });
      });
      product<E>(team, f.x, s.rows, f.w_ih, s.blocks * s.G, s.I, [&](int64_t row, int64_t rows, int64_t panel, int wide, const float* c) {
        for (int p = 0; p < wide; ++p) {
          const int64_t block = (panel + p) / s.G, slot = (panel + p) % s.G;
          const Block bias = load_block(f.bias + (panel + p) * kBlock, kBlock);
          for (int64_t r = 0; r < rows; ++r)
            add_store(gates + s.gate_at(row + r, block) + slot * kBlock, c + r * kColumns<E> + p * kBlock, bias);
        }
      });
    } else {
      team.share_ranges(s.rows, 16, [&](Range rows) { given_products(rows, f, gates); });
    }
    for (int64_t i = 0; i < s.T; ++i)
      team.share_ranges(s.blocks, blocks_at_once(1), [&](Range blocks) {
        const Tiles<E> on(step.rows);
        forward_step(i, blocks, f, gates);
      });
    last_state();
  }

  // Blocks of a time step that a thread takes at once, a multiple of `least_blocks`: enough to be worth the asking.
  int64_t blocks_at_once(int64_t least_blocks) const {
    constexpr int64_t kWorth = 1 << 20;  // multiplications
    const int64_t wanted = ceil_div(kWorth, s.B * s.H * s.G * kBlock);
    return round_up(most(1, least(wanted, ceil_div(s.blocks, 2 * most(call.threads, 1)))), least_blocks);
  }

  // One block's biases, weights and first state.
  void prepare_forward(int64_t block, const Forward& f) const {
    const Range panels{block * s.G, (block + 1) * s.G};
    bias({block, block + 1}, f);
    if (call.w_ih) E::pack_right_transposed(f.w_ih, panels, s.I, [&](int64_t i) { return gate(call.w_ih, f.gate_rows[i], s.I); });
    E::pack_right_transposed(f.w_hh, panels, s.H, [&](int64_t i) { return gate(call.w_hh, f.gate_rows[i], s.H); });
    for (int64_t b = 0; kCell == kLstm && b < s.B; ++b)
      store_block(call.cells + s.cell_at(0, b, block), load_row(call.c0, b, block));
    for (int64_t tile = 0; tile < step.n; ++tile) {
      Block h[kBlock];
      for (int64_t r = 0; r < step.rows_in(tile); ++r) h[r] = load_row(call.h0, step.first(tile) + r, block);
      put(f.state[0], tile, s.H, block * kBlock, h);
    }
  }

  // The gates' input products where x holds them, with the biases.
  void given_products(Range rows, const Forward& f, float* gates) const {
    for (int64_t row = rows.begin; row < rows.end; ++row)
      for (int64_t i = 0; i < s.blocks * s.G; ++i) {
        const int64_t block = i / s.G, slot = i % s.G;
        const Block given = load_block(call.x + row * s.G * s.H + slot * s.H + block * kBlock, s.units(block));
        alignas(64) float values[kBlock];
        memcpy(values, &given, sizeof given);
        add_store(gates + s.gate_at(row, block) + slot * kBlock, values, load_block(f.bias + i * kBlock));
      }
  }

  // The gates of one group of tiles are computed while the products of the next one run, from the other half of the
  // double-buffered scratch: see `product`.
  void forward_step(int64_t i, Range blocks, const Forward& f, float* gates) const {
    alignas(64) float scratch[2][kGroupRows<E> * 4 * kBlock];
    int turn = 0;
    int64_t ready_block = -1, ready_tile = 0;
    for (int64_t block = blocks.begin; block < blocks.end; ++block)
      for (int64_t tile = 0; tile < step.n; tile += E::kGroup) {
        const int tall = int(least(E::kGroup, step.n - tile));
        E::group(f.state[i & 1] + step.first(tile) * E::stride(s.H), tall, int(step.full_in(tile, tall)), step.rows, f.w_hh + block * s.G * E::panel(s.H), int(s.G), s.H,
                 scratch[turn], s.G * kBlock);
        turn ^= 1;
        if (ready_block >= 0) units_forward(i, ready_block, ready_tile, scratch[turn], f, gates);
        ready_block = block;
        ready_tile = tile;
      }
    if (ready_block >= 0) units_forward(i, ready_block, ready_tile, scratch[turn ^ 1], f, gates);
  }

  void units_forward(int64_t i, int64_t block, int64_t tile, const float* c, const Forward& f, float* gates) const {
    const int64_t t = s.time(i), units = s.units(block);
    const float* bias_n = f.bias_n + block * kBlock;
    for (int64_t each = tile; each < least(tile + E::kGroup, step.n); ++each) {
      Block h[kBlock];
      for (int64_t r = 0; r < step.rows_in(each); ++r, c += s.G * kBlock) {
        const int64_t b = step.first(each) + r, row = t * s.B + b;
        h[r] = unit_forward(i, b, block, c, gates + s.gate_at(row, block), bias_n);
        store_block(call.y + row * s.H + block * kBlock, h[r], units);
      }
      put(f.state[(i + 1) & 1], each, s.H, block * kBlock, h);
    }
  }

  // Puts the rows of one tile and 16 columns into a step's left operand.
  void put(Element* left, int64_t tile, int64_t k, int64_t column, Block* values) const {
    for (int64_t r = step.rows_in(tile); r < step.rows_put(tile); ++r) values[r] = Block{};
    E::put(left, step.first(tile), step.rows_put(tile), k, column, values);
  }

  // One row of one block: the recurrent products `c` and the input products in `gate` to h, gates kept in place.
  Block unit_forward(int64_t i, int64_t b, int64_t block, const float* c, float* gate, const float* bias_n) const {
    Block h;
    const Block before = kCell == kGru ? load_before(i, b, block) : Block{};
    for (int v = 0; v < kBlock / kWidth; ++v) {
      const int at = v * kWidth;
      auto sum = [&](int slot) { return load(c + slot * kBlock + at) + load(gate + slot * kBlock + at); };
      if constexpr (kCell == kLstm) {
        float* cell = call.cells + s.cell_at(i, b, block) + at;
        const V in = sigmoid(sum(0)), forget = sigmoid(sum(1)), candidate = tanh_v(sum(2)), out = sigmoid(sum(3));
        const V cell_new = forget * load(cell) + in * candidate;
        store(cell + s.B * kBlock, cell_new);
        h.part[v] = out * tanh_v(cell_new);
        store(gate + at, in), store(gate + kBlock + at, forget), store(gate + 2 * kBlock + at, candidate), store(gate + 3 * kBlock + at, out);
      } else if constexpr (kCell == kGru) {
        const V reset = sigmoid(sum(0)), update = sigmoid(sum(1)), recurrent = load(c + 2 * kBlock + at) + load(bias_n + at);
        const V candidate = tanh_v(load(gate + 2 * kBlock + at) + reset * recurrent);
        h.part[v] = candidate + update * (before.part[v] - candidate);
        store(gate + at, reset), store(gate + kBlock + at, update), store(gate + 2 * kBlock + at, candidate), store(gate + 3 * kBlock + at, recurrent);
      } else {
        const V a = sum(0);
        h.part[v] = kCell == kTanh ? tanh_v(a) : a < 0.0f ? V{} : a;
      }
    }
    return h;
  }

  // Sums the two biases by panel, but for b_hn of a GRU, which r multiplies: that goes to bias_n.
  void bias(Range blocks, const Forward& f) const {
    for (int64_t i = blocks.begin * s.G * kBlock; i < blocks.end * s.G * kBlock; ++i) {
      const int64_t row = f.gate_rows[i];
      const float ih = row >= 0 && call.b_ih ? call.b_ih[row] : 0.0f, hh = row >= 0 && call.b_hh ? call.b_hh[row] : 0.0f;
      const bool n = kCell == kGru && i / kBlock % s.G == 2;
      f.bias[i] = n ? ih : ih + hh;
      if (n) f.bias_n[i / (s.G * kBlock) * kBlock + i % kBlock] = hh;
    }
  }

  void last_state() const {
    for (int64_t b = 0; b < s.B; ++b)
      for (int64_t block = 0; block < s.blocks; ++block) {
        const int64_t at = b * s.H + block * kBlock;
        store_block(call.h_last + at, load_before(s.T, b, block), s.units(block));
        if constexpr (kCell == kLstm)
          store_block(call.c_last + at, load_block(call.cells + s.cell_at(s.T, b, block)), s.units(block));
      }
  }

  // ---- backward ----

  static void backward(const LayerCall& call) {
    const CellLayer layer(call);
    const Backward memory = layer.backward_memory(call.workspace);
    layer.s.list_gate_rows(memory.gate_rows);
    Team team(call.threads);
    layer.backward_on(team, memory);
  }

  void backward_on(Team& team, const Backward& m) const {
    clear_state(m.state, s.panel_width());
    team.share(s.blocks, [&](int64_t block) { prepare_backward(block, m); });
    if (E::depth(s.panel_width()) > s.panel_width()) team.share_ranges(s.rows, 64, [&](Range rows) { clear_record(rows, m); });
    for (int64_t i = s.T - 1; i >= -1; --i)
      team.share_ranges(s.blocks, blocks_at_once(E::kPanels), [&](Range blocks) {
        const Tiles<E> on(step.rows);
        if (i < s.T - 1) through_weights(i + 1, blocks, m);
        for (int64_t block = blocks.begin; block < blocks.end; ++block) {
          if (i >= 0) block_backward(i, block, m);
          else first_gradients(block, m);
        }
      });
    weight_gradients(team, m);
  }

  // One block's recurrent weights, and what comes from the time after the last.
  void prepare_backward(int64_t block, const Backward& m) const {
    E::pack_right(m.w_hh, {block, block + 1}, s.panel_width(), s.H, [&](int64_t i) { return gate(call.w_hh, m.gate_rows[i], s.H); });
    for (int64_t b = 0; b < s.B; ++b) {
      store_block(m.dh + s.state_at(b, block), load_row(call.dh_last, b, block));
      if constexpr (kCell == kLstm) store_block(m.dc + s.state_at(b, block), load_row(call.dc_last, b, block));
    }
    for (int64_t i = block * s.slots * kBlock; i < (block + 1) * s.slots * kBlock; ++i) m.db[i] = 0.0f;
  }

  // One block's gradients of the first state.
  void first_gradients(int64_t block, const Backward& m) const {
    for (int64_t b = 0; b < s.B; ++b) {
      const int64_t at = b * s.H + block * kBlock, inside = s.state_at(b, block);
      if (call.dh0) store_block(call.dh0 + at, load_block(m.dh + inside), s.units(block));
      if (call.dc0) store_block(call.dc0 + at, load_block(m.dc + inside), s.units(block));
    }
  }

  // dh += W_hh^T d(gates of step i): what step i - 1 gets through the recurrent weights.
  void through_weights(int64_t i, Range blocks, const Backward& m) const {
    constexpr int64_t kStride = E::kPanels * kBlock;
    alignas(64) float scratch[2][kGroupRows<E> * kStride];
    const int64_t gates = s.panel_width();
    int turn = 0;
    int64_t ready_block = -1, ready_tile = 0;
    auto add = [&](const float* c) {
      const int64_t first = step.first(ready_tile), last = least(step.first(ready_tile + E::kGroup), s.B);
      for (int64_t p = 0; p < least(E::kPanels, blocks.end - ready_block); ++p)
        for (int64_t b = first; b < last; ++b) {
          float* dh = m.dh + s.state_at(b, ready_block + p);
          const float* each = c + (b - first) * kStride + p * kBlock;
          for (int at = 0; at < kBlock; at += kWidth) store(dh + at, load(dh + at) + load(each + at));
        }
    };
    for (int64_t block = blocks.begin; block < blocks.end; block += E::kPanels)
      for (int64_t tile = 0; tile < step.n; tile += E::kGroup) {
        const int tall = int(least(E::kGroup, step.n - tile)), wide = int(least(E::kPanels, blocks.end - block));
        E::group(m.state[i & 1] + step.first(tile) * E::stride(gates), tall, int(step.full_in(tile, tall)), step.rows, m.w_hh + block * E::panel(gates), wide, gates,
                 scratch[turn], kStride);
        turn ^= 1;
        if (ready_block >= 0) add(scratch[turn]);
        ready_block = block;
        ready_tile = tile;
      }
    if (ready_block >= 0) add(scratch[turn ^ 1]);
  }

  // Step i of one block: from dh (and dc) to the gradients of the gates' sums; dh is left with what bypasses the weights.
  void block_backward(int64_t i, int64_t block, const Backward& m) const {
    const int64_t t = s.time(i), gates = s.panel_width(), column = block * s.G * kBlock;
    V bias[4][kBlock / kWidth];
    for (int64_t k = 0; k < s.slots; ++k)
      for (int v = 0; v < kBlock / kWidth; ++v) bias[k][v] = load(m.db + (block * s.slots + k) * kBlock + v * kWidth);
    for (int64_t tile = 0; tile < step.n; ++tile) {
      Block recurrent[Shape<kCell>::G][kBlock];
      for (int64_t r = 0; r < step.rows_in(tile); ++r) {
        const int64_t b = step.first(tile) + r, row = t * s.B + b;
        Block d[4];
        unit_backward(i, b, block, m, d);
        for (int64_t k = 0; k < s.slots; ++k)
          for (int v = 0; v < kBlock / kWidth; ++v) bias[k][v] += d[k].part[v];
        for (int64_t k = 0; k < s.G; ++k) {
          recurrent[k][r] = kCell == kGru && k == 2 ? d[3] : d[k];
          E::put_gates(m.record, s.rows, gates, row, column + k * kBlock, d[k]);
          if (kCell == kGru) E::put_gates(m.record_h, s.rows, gates, row, column + k * kBlock, recurrent[k][r]);
          if (!call.w_ih && call.dx) store_block(call.dx + row * s.G * s.H + k * s.H + block * kBlock, d[k], s.units(block));
        }
      }
      for (int64_t k = 0; k < s.G; ++k) put(m.state[i & 1], tile, gates, column + k * kBlock, recurrent[k]);
    }
    for (int64_t k = 0; k < s.slots; ++k)
      for (int v = 0; v < kBlock / kWidth; ++v) store(m.db + (block * s.slots + k) * kBlock + v * kWidth, bias[k][v]);
  }

  // d[slot]: gradients of the sums inside the gates; for a GRU d[3] is that of W_hn h + b_hn.
  void unit_backward(int64_t i, int64_t b, int64_t block, const Backward& m, Block (&d)[4]) const {
    const int64_t row = s.time(i) * s.B + b, units = s.units(block);
    const Block given = call.dy ? load_block(call.dy + row * call.dy_stride + block * kBlock, units) : Block{};
    const Block before = kCell == kGru ? load_before(i, b, block) : Block{};
    const Block y = kCell < kGru ? load_block(call.y + row * s.H + block * kBlock, units) : Block{};
    for (int v = 0; v < kBlock / kWidth; ++v) {
      const int64_t inside = s.state_at(b, block) + v * kWidth;
      const float* gate = call.gates + s.gate_at(row, block) + v * kWidth;
      const V dh = load(m.dh + inside) + given.part[v];
      if constexpr (kCell == kLstm) {
        const float* cell = call.cells + s.cell_at(i, b, block) + v * kWidth;
        const V in = load(gate), forget = load(gate + kBlock), candidate = load(gate + 2 * kBlock), out = load(gate + 3 * kBlock);
        const V squashed = tanh_v(load(cell + s.B * kBlock));
        const V dc = load(m.dc + inside) + dh * out * (1.0f - squashed * squashed);
        d[0].part[v] = dc * candidate * in * (1.0f - in);
        d[1].part[v] = dc * load(cell) * forget * (1.0f - forget);
        d[2].part[v] = dc * in * (1.0f - candidate * candidate);
        d[3].part[v] = dh * squashed * out * (1.0f - out);
        store(m.dc + inside, dc * forget);
        store(m.dh + inside, V{});
      } else if constexpr (kCell == kGru) {
        const V reset = load(gate), update = load(gate + kBlock), candidate = load(gate + 2 * kBlock), recurrent = load(gate + 3 * kBlock);
        const V dn = dh * (1.0f - update) * (1.0f - candidate * candidate);
        d[0].part[v] = dn * recurrent * reset * (1.0f - reset);
        d[1].part[v] = dh * (before.part[v] - candidate) * update * (1.0f - update);
        d[2].part[v] = dn;
        d[3].part[v] = dn * reset;
        store(m.dh + inside, dh * update);
      } else {
        const V out = y.part[v];
        d[0].part[v] = kCell == kTanh ? dh * (1.0f - out * out) : out > 0.0f ? dh : V{};
        store(m.dh + inside, V{});
      }
    }
  }

  // The products over all time steps. Each number is a sum over the rows in their order, whichever operand they are.
  void weight_gradients(Team& team, const Backward& m) const {
    const int64_t gates = s.panel_width(), inputs = ceil_div(s.I, kBlock);
    bias_gradients(m);
    auto h = [&](int64_t row) {
      const int64_t t = row / s.B;
      return h_before(s.reverse ? s.T - 1 - t : t, row % s.B);
    };
    auto x = [&](int64_t row) { return call.x + row * s.I; };
    if constexpr (E::kRightRecords) {
      columns_by_gates(team, m.h, s.H, h, m.record_h, m, call.dw_hh);
      if (call.w_ih) columns_by_gates(team, m.x, s.I, x, m.record, m, call.dw_ih);
    } else {
      team.share_ranges(ceil_div(gates, E::kRows), 2, [&](Range tiles) {
        E::pack_record_transposed(m.left, tiles, m.record, gates, s.rows);
        if (kCell == kGru) E::pack_record_transposed(m.left_h, tiles, m.record_h, gates, s.rows);
      });
      gates_by_columns(team, m.left_h, m.h, s.H, h, m, call.dw_hh);
      if (call.w_ih) gates_by_columns(team, m.left, m.x, s.I, x, m, call.dw_ih);
    }
    if (!call.w_ih || !call.dx) return;
    team.share_ranges(inputs, 4, [&](Range panels) {
      E::pack_right(m.w_ih, panels, gates, s.I, [&](int64_t i) { return gate(call.w_ih, m.gate_rows[i], s.I); });
    });
    const Element* left = m.record;
    if constexpr (E::kRightRecords) {
      left = m.dx_left;
      team.share_ranges(ceil_div(s.rows, E::kRows), 32, [&](Range tiles) { E::pack_gates(m.dx_left, tiles, m.record, s.rows, gates); });
    }
    product<E>(team, left, s.rows, m.w_ih, inputs, gates, [&](int64_t row, int64_t rows, int64_t panel, int wide, const float* c) {
      for (int64_t r = 0; r < rows; ++r) copy(call.dx + (row + r) * s.I, c + r * kColumns<E>, panel, wide, s.I);
    });
  }

  // to (G·H, columns) = d^T · matrix, by way of its transpose: the record of d is a right operand as it lies. `row` are the
  // matrix's rows, `packed` is room for it.
  template <class Row>
  void columns_by_gates(Team& team, Element* packed, int64_t columns, const Row& row, const Element* record, const Backward& m, float* to) const {
    team.share_ranges(ceil_div(columns, E::kRows), most(kBlock / E::kRows * 4, 2), [&](Range tiles) {
      E::pack_left_columns(packed, tiles, columns, s.rows, row);
    });
    product<E>(team, packed, columns, record, s.panel_width() / kBlock, s.rows, [&](int64_t first, int64_t rows, int64_t panel, int wide, const float* c) {
      for (int p = 0; p < wide; ++p)
        for (int64_t r = 0; r < rows; r += kBlock) {
          float* each[kBlock];
          for (int u = 0; u < kBlock; ++u) {
            const int64_t at = m.gate_rows[(panel + p) * kBlock + u];
            each[u] = at < 0 ? nullptr : to + at * columns + first + r;
          }
          E::turn(c + r * kColumns<E> + p * kBlock, kColumns<E>, least(kBlock, rows - r), each);
        }
    });
  }

  // The same with d as a left operand.
  template <class Row>
  void gates_by_columns(Team& team, const Element* d, Element* packed, int64_t columns, const Row& row, const Backward& m, float* to) const {
    const int64_t panels = ceil_div(columns, kBlock);
    team.share_ranges(panels, 4, [&](Range some) { E::pack_right(packed, some, s.rows, columns, row); });
    product<E>(team, d, s.panel_width(), packed, panels, s.rows, [&](int64_t first, int64_t rows, int64_t panel, int wide, const float* c) {
      for (int64_t r = 0; r < rows; ++r) {
        const int64_t at = m.gate_rows[first + r];
        if (at >= 0) copy(to + at * columns, c + r * kColumns<E>, panel, wide, columns);
      }
    });
  }

  void bias_gradients(const Backward& m) const {
    for (int64_t i = 0; call.db && i < s.panel_width(); ++i) {
      const int64_t at = m.gate_rows[i], block = i / (s.G * kBlock), gate = i / kBlock % s.G;
      if (at < 0) continue;
      const float* db = m.db + block * s.slots * kBlock + i % kBlock;
      call.db[at] = db[gate * kBlock];
      call.db_hh[at] = db[(kCell == kGru && gate == 2 ? 3 : gate) * kBlock];
    }
  }

  // ---- shared ----

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
  // The record's columns beyond the gates, which whole tiles read.
  void clear_record(Range rows, const Backward& m) const {
    const int64_t gates = s.panel_width(), stride = E::record_stride(gates);
    for (int64_t row = rows.begin; row < rows.end; ++row) {
      memset(m.record + row * stride + gates, 0, size_t(stride - gates) * sizeof(Element));
      memset(m.record_h + row * stride + gates, 0, size_t(stride - gates) * sizeof(Element));
    }
  }
  static void add_store(float* to, const float* c, const Block& bias) {
    for (int v = 0; v < kBlock / kWidth; ++v) store(to + v * kWidth, load(c + v * kWidth) + bias.part[v]);
  }
  static void copy(float* to, const float* c, int64_t panel, int wide, int64_t columns) {
    for (int p = 0; p < wide; ++p) {
      const int64_t at = (panel + p) * kBlock;
      store_block(to + at, load_block(c + p * kBlock, kBlock), columns - at);
    }
  }
};

// The layer of a call's cell.
template <class E>
struct Layer {
  static void sizes(const LayerCall& call, LayerSizes& sizes) {
    by_cell(call, [&](auto layer) { decltype(layer)::sizes(call, sizes); });
  }
  static void forward(const LayerCall& call) {
    by_cell(call, [&](auto layer) { decltype(layer)::forward(call); });
  }
  static void backward(const LayerCall& call) {
    by_cell(call, [&](auto layer) { decltype(layer)::backward(call); });
  }

 private:
  template <class Use>
  static void by_cell(const LayerCall& call, const Use& use) {
    if (call.cell == kLstm) use(CellLayer<E, kLstm>(call));
    else if (call.cell == kGru) use(CellLayer<E, kGru>(call));
    else if (call.cell == kRelu) use(CellLayer<E, kRelu>(call));
    else use(CellLayer<E, kTanh>(call));
  }
};

}  // namespace
}  // namespace ostinato::train
