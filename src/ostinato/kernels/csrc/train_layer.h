// Recurrent layers over time, on any engine of matrix products.
//
// Units are handled in blocks of 16. Inside, a row of gates is [block][slot][16], so that a block's gates lie side by side;
// slots are torch's gates in order, and for a GRU W_hn h + b_hn in a fourth. A thread owns a range of blocks for the
// whole call: their recurrent weights stay in its cache, and only h (backward: the gates' gradients) crosses threads,
// once a time step. Equations: src/ostinato/cells.
#pragma once
#include "train_product.h"
#include "train_vector.h"

namespace ostinato::train {
namespace {

// Where things lie for one call.
struct Shape {
  int64_t T, B, I, H, G, slots, blocks, rows;
  bool reverse;
  explicit Shape(const LayerCall& call)
      : T(call.steps), B(call.batch), I(call.input_size), H(call.hidden_size),
        G(call.cell == kLstm ? 4 : call.cell == kGru ? 3 : 1), slots(call.cell >= kGru ? 4 : 1), blocks(ceil_div(H, kBlock)),
        rows(T * B), reverse(call.reverse != 0) {}
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

// Rows of a left operand for one time step: n tiles of `rows` rows.
template <class E>
struct StepTiles {
  int64_t B, n, rows;
  explicit StepTiles(int64_t batch) : B(batch), n(ceil_div(B, E::kRows)), rows(ceil_div(B, n)) {}
  int64_t rows_in(int64_t tile) const { return least(rows, B - tile * rows); }
  int64_t size(int64_t k) const { return round_up(n, E::kTiles) * rows * E::stride(k); }
};

template <class E>
struct Layer {
  using Element = typename E::Element;
  const LayerCall& call;
  const Shape s;
  const StepTiles<E> step;

  explicit Layer(const LayerCall& given) : call(given), s(given), step(given.batch) {}

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
  bool keeps_gates() const { return call.cell >= kGru; }

  struct Backward {
    Element *w_ih, *w_hh, *state[2], *record, *record_h, *left, *left_h, *x, *h, *dx_left;
    float *dc, *dh, *db;
    int32_t* gate_rows;
    int64_t bytes;
  };
  Backward backward_memory(void* start) const {
    Arena arena(start);
    Backward b;
    const int64_t gates = s.panel_width(), record = round_up(s.rows, 32) * E::record_stride(gates);
    const bool gru = call.cell == kGru;
    b.w_ih = arena.take<Element>(call.w_ih ? ceil_div(s.I, kBlock) * E::panel(gates) : 0);
    b.w_hh = arena.take<Element>(s.blocks * E::panel(gates));
    for (auto& state : b.state) state = arena.take<Element>(step.size(gates));
    b.record = arena.take<Element>(record);
    b.record_h = gru ? arena.take<Element>(record) : b.record;
    b.left = arena.take<Element>(E::left_size(gates, s.rows));
    b.left_h = gru ? arena.take<Element>(E::left_size(gates, s.rows)) : b.left;
    b.x = arena.take<Element>(call.w_ih ? ceil_div(s.I, kBlock) * E::panel(s.rows) : 0);
    b.h = arena.take<Element>(s.blocks * E::panel(s.rows));
    b.dx_left = arena.take<Element>(call.w_ih ? E::left_size(s.rows, gates) : 0);
    b.dc = arena.take<float>(s.B * s.width());
    b.dh = arena.take<float>(s.B * s.width());
    b.db = arena.take<float>(s.gate_width());
    b.gate_rows = arena.take<int32_t>(gates);
    b.bytes = arena.used();
    return b;
  }

  static void sizes(const LayerCall& call, LayerSizes& sizes) {
    const Layer layer(call);
    sizes.gates = layer.keeps_gates() ? layer.s.rows * layer.s.gate_width() * 4 : 0;
    sizes.cells = call.cell == kLstm ? (layer.s.T + 1) * layer.s.B * layer.s.width() * 4 : 0;
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
    const Layer layer(call);
    const Forward memory = layer.forward_memory(call.workspace);
    layer.s.list_gate_rows(memory.gate_rows);
    run(call.threads, [&](const Team& team) { layer.forward_on(team, memory); });
  }

  void forward_on(const Team& team, const Forward& f) const {
    const Range blocks = team.share(s.blocks);
    float* gates = keeps_gates() ? call.gates : f.gates;
    bias(blocks, f);
    if (call.w_ih) {
      E::pack_left(f.x, team.share(round_up(ceil_div(s.rows, E::kRows), E::kTiles)), s.I,
                   [&](int64_t row) { return row < s.rows ? call.x + row * s.I : nullptr; });
      const Range panels{blocks.begin * s.G, blocks.end * s.G};
      E::pack_right_transposed(f.w_ih, panels, s.I, [&](int64_t i) { return gate(call.w_ih, f.gate_rows[i], s.I); });
      team.wait();
      E::configure(E::kRows);
      product<E>(f.x, s.rows, {0, ceil_div(s.rows, E::kRows)}, f.w_ih, panels, s.I,
                 [&](int64_t row, int64_t rows, int64_t panel, int wide, const float* c) {
                   for (int p = 0; p < wide; ++p) {
                     const int64_t block = (panel + p) / s.G, slot = (panel + p) % s.G;
                     const Block bias = load_block(f.bias + (panel + p) * kBlock, kBlock);
                     for (int64_t r = 0; r < rows; ++r)
                       add_store(gates + (row + r) * s.gate_width() + (block * s.slots + slot) * kBlock, c + r * 32 + p * kBlock, bias);
                   }
                 });
    } else {
      for (int64_t row = 0; row < s.rows; ++row)
        for (int64_t i = blocks.begin * s.G; i < blocks.end * s.G; ++i) {
          const int64_t block = i / s.G, slot = i % s.G;
          const Block given = load_block(call.x + row * s.G * s.H + slot * s.H + block * kBlock, s.units(block));
          alignas(64) float values[kBlock];
          memcpy(values, &given, sizeof given);
          add_store(gates + row * s.gate_width() + (block * s.slots + slot) * kBlock, values, load_block(f.bias + i * kBlock, kBlock));
        }
    }
    E::pack_right_transposed(f.w_hh, {blocks.begin * s.G, blocks.end * s.G}, s.H, [&](int64_t i) { return gate(call.w_hh, f.gate_rows[i], s.H); });
    first_state(team, f.state, s.H, blocks);
    for (int64_t block = blocks.begin; call.cell == kLstm && block < blocks.end; ++block)
      for (int64_t b = 0; b < s.B; ++b)
        store_block(call.cells + b * s.width() + block * kBlock, load_row(call.c0, b, block), kBlock);
    for (int64_t block = blocks.begin; block < blocks.end; ++block)
      for (int64_t tile = 0; tile < step.n; ++tile) {
        Block h[kBlock] = {};
        for (int64_t r = 0; r < step.rows_in(tile); ++r) h[r] = load_row(call.h0, tile * step.rows + r, block);
        E::put(f.state[0], tile, step.rows, s.H, block * kBlock, h);
      }
    team.wait();
    E::configure(int(step.rows));
    for (int64_t i = 0; i < s.T; ++i) {
      forward_step(i, blocks, f, gates);
      team.wait();
    }
    E::release();
    last_state(blocks);
  }

  // The gates of one block and tile are computed while the next one's products are: see `product`.
  void forward_step(int64_t i, Range blocks, const Forward& f, float* gates) const {
    alignas(64) float scratch[2][2 * 16 * 4 * kBlock];
    int turn = 0;
    int64_t ready_block = -1, ready_tile = 0;
    for (int64_t block = blocks.begin; block < blocks.end; ++block)
      for (int64_t tile = 0; tile < step.n; tile += E::kTiles) {
        const int tall = int(least(E::kTiles, step.n - tile));
        const Element* left = f.state[i & 1] + tile * step.rows * E::stride(s.H);
        for (int64_t p = 0; p < s.G; p += E::kPanels)
          E::tile(left, E::stride(s.H), tall, step.rows, f.w_hh + (block * s.G + p) * E::panel(s.H), int(least(E::kPanels, s.G - p)),
                  s.H, scratch[turn] + p * kBlock, s.G * kBlock);
        turn ^= 1;
        if (ready_block >= 0) units_forward(i, ready_block, ready_tile, scratch[turn], f, gates);
        ready_block = block;
        ready_tile = tile;
      }
    if (ready_block >= 0) units_forward(i, ready_block, ready_tile, scratch[turn ^ 1], f, gates);
  }

  void units_forward(int64_t i, int64_t block, int64_t tile, const float* c, const Forward& f, float* gates) const {
    const int64_t t = s.time(i);
    for (int64_t each = tile; each < least(tile + E::kTiles, step.n); ++each) {
      Block h[kBlock] = {};
      for (int64_t r = 0; r < step.rows_in(each); ++r, c += s.G * kBlock) {
        const int64_t b = each * step.rows + r;
        float* gate = gates + (t * s.B + b) * s.gate_width() + block * s.slots * kBlock;
        h[r] = unit_forward(i, b, block, c, gate, f.bias_n + block * kBlock);
        store_block(call.y + (t * s.B + b) * s.H + block * kBlock, h[r], s.units(block));
      }
      E::put(f.state[(i + 1) & 1], each, step.rows, s.H, block * kBlock, h);
    }
  }

  // One row of one block: the recurrent products `c` and the input products in `gate` to h, gates kept in place.
  Block unit_forward(int64_t i, int64_t b, int64_t block, const float* c, float* gate, const float* bias_n) const {
    Block h;
    const Block before = call.cell == kGru ? load_before(i, b, block) : Block{};
    for (int v = 0; v < kBlock / kWidth; ++v) {
      const int at = v * kWidth;
      auto sum = [&](int slot) { return load(c + slot * kBlock + at) + load(gate + slot * kBlock + at); };
      if (call.cell == kLstm) {
        float* cell = call.cells + (i * s.B + b) * s.width() + block * kBlock + at;
        const V in = sigmoid(sum(0)), forget = sigmoid(sum(1)), candidate = tanh_v(sum(2)), out = sigmoid(sum(3));
        const V cell_new = forget * load(cell) + in * candidate;
        store(cell + s.B * s.width(), cell_new);
        h.part[v] = out * tanh_v(cell_new);
        store(gate + at, in), store(gate + kBlock + at, forget), store(gate + 2 * kBlock + at, candidate), store(gate + 3 * kBlock + at, out);
      } else if (call.cell == kGru) {
        const V reset = sigmoid(sum(0)), update = sigmoid(sum(1)), recurrent = load(c + 2 * kBlock + at) + load(bias_n + at);
        const V candidate = tanh_v(load(gate + 2 * kBlock + at) + reset * recurrent);
        h.part[v] = candidate + update * (before.part[v] - candidate);
        store(gate + at, reset), store(gate + kBlock + at, update), store(gate + 2 * kBlock + at, candidate), store(gate + 3 * kBlock + at, recurrent);
      } else {
        const V a = sum(0);
        h.part[v] = call.cell == kTanh ? tanh_v(a) : a < 0.0f ? V{} : a;
      }
    }
    return h;
  }

  // Sums the two biases by panel, but for b_hn of a GRU, which r multiplies: that goes to bias_n.
  void bias(Range blocks, const Forward& f) const {
    for (int64_t i = blocks.begin * s.G * kBlock; i < blocks.end * s.G * kBlock; ++i) {
      const int64_t row = f.gate_rows[i];
      const float ih = row >= 0 && call.b_ih ? call.b_ih[row] : 0.0f, hh = row >= 0 && call.b_hh ? call.b_hh[row] : 0.0f;
      const bool n = call.cell == kGru && i / kBlock % s.G == 2;
      f.bias[i] = n ? ih : ih + hh;
      if (n) f.bias_n[i / (s.G * kBlock) * kBlock + i % kBlock] = hh;
    }
  }

  void last_state(Range blocks) const {
    for (int64_t b = 0; b < s.B; ++b)
      for (int64_t block = blocks.begin; block < blocks.end; ++block) {
        const int64_t at = b * s.H + block * kBlock;
        store_block(call.h_last + at, load_before(s.T, b, block), s.units(block));
        if (call.cell == kLstm)
          store_block(call.c_last + at, load_block(call.cells + (s.T * s.B + b) * s.width() + block * kBlock, kBlock), s.units(block));
      }
  }

  // ---- backward ----

  static void backward(const LayerCall& call) {
    const Layer layer(call);
    const Backward memory = layer.backward_memory(call.workspace);
    layer.s.list_gate_rows(memory.gate_rows);
    run(call.threads, [&](const Team& team) { layer.backward_on(team, memory); });
  }

  void backward_on(const Team& team, const Backward& m) const {
    const Range blocks = team.share(s.blocks);
    const int64_t gates = s.panel_width();
    E::pack_right(m.w_hh, blocks, gates, s.H, [&](int64_t i) { return gate(call.w_hh, m.gate_rows[i], s.H); });
    first_state(team, m.state, gates, blocks);
    clear_record(team, m);
    for (int64_t b = 0; b < s.B; ++b)
      for (int64_t block = blocks.begin; block < blocks.end; ++block) {
        store_block(m.dh + b * s.width() + block * kBlock, load_row(call.dh_last, b, block), kBlock);
        if (call.cell == kLstm) store_block(m.dc + b * s.width() + block * kBlock, load_row(call.dc_last, b, block), kBlock);
      }
    for (int64_t i = blocks.begin * s.slots * kBlock; i < blocks.end * s.slots * kBlock; ++i) m.db[i] = 0.0f;
    team.wait();
    E::configure(int(step.rows));
    for (int64_t i = s.T - 1; i >= 0; --i) {
      if (i < s.T - 1) through_weights(i + 1, blocks, m);
      for (int64_t block = blocks.begin; block < blocks.end; ++block) block_backward(i, block, m);
      team.wait();
    }
    through_weights(0, blocks, m);
    for (int64_t b = 0; b < s.B; ++b)
      for (int64_t block = blocks.begin; block < blocks.end; ++block) {
        const int64_t at = b * s.H + block * kBlock, inside = b * s.width() + block * kBlock;
        if (call.dh0) store_block(call.dh0 + at, load_block(m.dh + inside, kBlock), s.units(block));
        if (call.dc0) store_block(call.dc0 + at, load_block(m.dc + inside, kBlock), s.units(block));
      }
    weight_gradients(team, blocks, m);
    E::release();
  }

  // dh += W_hh^T d(gates of step i): what step i - 1 gets through the recurrent weights.
  void through_weights(int64_t i, Range blocks, const Backward& m) const {
    alignas(64) float scratch[2][kScratch];
    const int64_t gates = s.panel_width();
    int turn = 0;
    int64_t ready_block = -1, ready_tile = 0;
    auto add = [&](const float* c) {
      const int64_t first = ready_tile * step.rows, last = least(first + E::kTiles * step.rows, s.B);
      const int64_t wide = least(E::kPanels, blocks.end - ready_block) * kBlock;
      for (int64_t b = first; b < last; ++b, c += 32) {
        float* dh = m.dh + b * s.width() + ready_block * kBlock;
        for (int64_t at = 0; at < wide; at += kWidth) store(dh + at, load(dh + at) + load(c + at));
      }
    };
    for (int64_t block = blocks.begin; block < blocks.end; block += E::kPanels)
      for (int64_t tile = 0; tile < step.n; tile += E::kTiles) {
        const int tall = int(least(E::kTiles, step.n - tile)), wide = int(least(E::kPanels, blocks.end - block));
        E::tile(m.state[i & 1] + tile * step.rows * E::stride(gates), E::stride(gates), tall, step.rows,
                m.w_hh + block * E::panel(gates), wide, gates, scratch[turn], 32);
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
      Block recurrent[4][kBlock] = {};
      for (int64_t r = 0; r < step.rows_in(tile); ++r) {
        const int64_t b = tile * step.rows + r, row = t * s.B + b;
        Block d[4];
        unit_backward(i, b, block, m, d);
        for (int64_t k = 0; k < s.slots; ++k)
          for (int v = 0; v < kBlock / kWidth; ++v) bias[k][v] += d[k].part[v];
        for (int64_t k = 0; k < s.G; ++k) {
          recurrent[k][r] = call.cell == kGru && k == 2 ? d[3] : d[k];
          E::put_record(m.record, E::record_stride(gates), row, column + k * kBlock, d[k]);
          if (call.cell == kGru) E::put_record(m.record_h, E::record_stride(gates), row, column + k * kBlock, recurrent[k][r]);
          if (!call.w_ih && call.dx) store_block(call.dx + row * s.G * s.H + k * s.H + block * kBlock, d[k], s.units(block));
        }
      }
      for (int64_t k = 0; k < s.G; ++k) E::put(m.state[i & 1], tile, step.rows, gates, column + k * kBlock, recurrent[k]);
    }
    for (int64_t k = 0; k < s.slots; ++k)
      for (int v = 0; v < kBlock / kWidth; ++v) store(m.db + (block * s.slots + k) * kBlock + v * kWidth, bias[k][v]);
  }

  // d[slot]: gradients of the sums inside the gates; for a GRU d[3] is that of W_hn h + b_hn.
  void unit_backward(int64_t i, int64_t b, int64_t block, const Backward& m, Block (&d)[4]) const {
    const int64_t row = s.time(i) * s.B + b, units = s.units(block);
    const Block given = call.dy ? load_block(call.dy + row * call.dy_stride + block * kBlock, units) : Block{};
    const Block before = call.cell == kGru ? load_before(i, b, block) : Block{};
    const Block y = call.cell < kGru ? load_block(call.y + row * s.H + block * kBlock, units) : Block{};
    for (int v = 0; v < kBlock / kWidth; ++v) {
      const int64_t inside = b * s.width() + block * kBlock + v * kWidth;
      const float* gate = call.gates + row * s.gate_width() + block * s.slots * kBlock + v * kWidth;
      const V dh = load(m.dh + inside) + given.part[v];
      if (call.cell == kLstm) {
        const float* cell = call.cells + i * s.B * s.width() + inside;
        const V in = load(gate), forget = load(gate + kBlock), candidate = load(gate + 2 * kBlock), out = load(gate + 3 * kBlock);
        const V squashed = tanh_v(load(cell + s.B * s.width()));
        const V dc = load(m.dc + inside) + dh * out * (1.0f - squashed * squashed);
        d[0].part[v] = dc * candidate * in * (1.0f - in);
        d[1].part[v] = dc * load(cell) * forget * (1.0f - forget);
        d[2].part[v] = dc * in * (1.0f - candidate * candidate);
        d[3].part[v] = dh * squashed * out * (1.0f - out);
        store(m.dc + inside, dc * forget);
        store(m.dh + inside, V{});
      } else if (call.cell == kGru) {
        const V reset = load(gate), update = load(gate + kBlock), candidate = load(gate + 2 * kBlock), recurrent = load(gate + 3 * kBlock);
        const V dn = dh * (1.0f - update) * (1.0f - candidate * candidate);
        d[0].part[v] = dn * recurrent * reset * (1.0f - reset);
        d[1].part[v] = dh * (before.part[v] - candidate) * update * (1.0f - update);
        d[2].part[v] = dn;
        d[3].part[v] = dn * reset;
        store(m.dh + inside, dh * update);
      } else {
        const V out = y.part[v];
        d[0].part[v] = call.cell == kTanh ? dh * (1.0f - out * out) : out > 0.0f ? dh : V{};
        store(m.dh + inside, V{});
      }
    }
  }

  void weight_gradients(const Team& team, Range blocks, const Backward& m) const {
    const int64_t gates = s.panel_width(), stride = E::record_stride(gates);
    const bool gru = call.cell == kGru;
    const Range inputs = team.share(ceil_div(s.I, kBlock)), tiles = team.share(ceil_div(gates, E::kRows));
    for (int64_t i = blocks.begin * s.G * kBlock; i < blocks.end * s.G * kBlock; ++i) {
      const int64_t at = m.gate_rows[i], block = i / (s.G * kBlock), gate = i / kBlock % s.G;
      if (at < 0 || !call.db) continue;
      const float* db = m.db + block * s.slots * kBlock + i % kBlock;
      call.db[at] = db[gate * kBlock];
      call.db_hh[at] = db[(gru && gate == 2 ? 3 : gate) * kBlock];
    }
    E::pack_right(m.h, blocks, s.rows, s.H, [&](int64_t row) {
      const int64_t t = row / s.B;
      return h_before(s.reverse ? s.T - 1 - t : t, row % s.B);
    });
    E::pack_record_transposed(m.left, tiles, m.record, stride, gates, s.rows);
    if (gru) E::pack_record_transposed(m.left_h, tiles, m.record_h, stride, gates, s.rows);
    const Element* left = m.record;
    const int64_t row_tiles = ceil_div(s.rows, E::kRows);
    if (call.w_ih) {
      E::pack_right(m.x, inputs, s.rows, s.I, [&](int64_t row) { return call.x + row * s.I; });
      if (call.dx) {
        E::pack_right(m.w_ih, inputs, gates, s.I, [&](int64_t i) { return gate(call.w_ih, m.gate_rows[i], s.I); });
        left = E::pack_record(m.dx_left, team.share(row_tiles), m.record, stride, s.rows, gates);
      }
    }
    E::configure(E::kRows);
    team.wait();
    auto rows_of = [&](float* to, int64_t columns) {
      return [=, &m](int64_t row, int64_t rows, int64_t panel, int wide, const float* c) {
        for (int64_t r = 0; r < rows; ++r) {
          const int64_t at = m.gate_rows[row + r];
          if (at >= 0) copy(to + at * columns, c + r * 32, panel, wide, columns);
        }
      };
    };
    product<E>(m.left_h, gates, tiles, m.h, {0, s.blocks}, s.rows, rows_of(call.dw_hh, s.H));
    if (!call.w_ih) return;
    product<E>(m.left, gates, tiles, m.x, {0, ceil_div(s.I, kBlock)}, s.rows, rows_of(call.dw_ih, s.I));
    if (call.dx)
      product<E>(left, s.rows, {0, row_tiles}, m.w_ih, inputs, gates,
                 [&](int64_t row, int64_t rows, int64_t panel, int wide, const float* c) {
                   for (int64_t r = 0; r < rows; ++r) copy(call.dx + (row + r) * s.I, c + r * 32, panel, wide, s.I);
                 });
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
  void first_state(const Team& team, Element* const (&state)[2], int64_t k, Range) const {
    const Range share = team.share(step.size(k));
    for (Element* each : state) memset(each + share.begin, 0, size_t(share.end - share.begin) * sizeof(Element));
    team.wait();
  }
  // The record's columns beyond the gates, which whole tiles read.
  void clear_record(const Team& team, const Backward& m) const {
    const int64_t gates = s.panel_width(), stride = E::record_stride(gates);
    const Range rows = team.share(s.rows);
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

}  // namespace
}  // namespace ostinato::train
