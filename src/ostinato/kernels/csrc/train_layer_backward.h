// The backward pass of a recurrent layer: gradients of the gates step by step, from the last to the first, then those of the
// weights and the input as products over all steps.
#pragma once
#include "train_layer_pass.h"
#include "train_turn.h"

namespace ostinato::train {
namespace {

template <class E, int64_t kCell>
struct LayerBackward : LayerPass<E, kCell> {
  using Pass = LayerPass<E, kCell>;
  using typename Pass::Element;
  using Pass::call, Pass::s, Pass::step;
  using Pass::h_before, Pass::blocks_at_once, Pass::put, Pass::gate, Pass::load_row, Pass::load_before, Pass::clear_state, Pass::copy;
  using Pass::Pass;

  struct Memory {
    Element *w_ih, *w_hh, *state[2], *record, *record_h, *left, *left_h, *x, *h, *dx_left;
    float *dc, *dh, *db;
    int32_t* gate_rows;
    int64_t bytes;
  };
  Memory memory(void* start) const {
    Arena arena(start);
    Memory b;
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

  static void run(const LayerCall& call) {
    const LayerBackward pass(call);
    const Memory memory = pass.memory(call.workspace);
    pass.s.list_gate_rows(memory.gate_rows);
    Team team(call.threads);
    pass.run_on(team, memory);
  }

  void run_on(Team& team, const Memory& m) const {
    clear_state(m.state, s.panel_width());
    team.share(s.blocks, [&](int64_t block) { prepare(block, m); });
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
  void prepare(int64_t block, const Memory& m) const {
    E::pack_right(m.w_hh, {block, block + 1}, s.panel_width(), s.H, [&](int64_t i) { return gate(call.w_hh, m.gate_rows[i], s.H); });
    for (int64_t b = 0; b < s.B; ++b) {
      store_block(m.dh + s.state_at(b, block), load_row(call.dh_last, b, block));
      if constexpr (kCell == kLstm) store_block(m.dc + s.state_at(b, block), load_row(call.dc_last, b, block));
    }
    for (int64_t i = block * s.slots * kBlock; i < (block + 1) * s.slots * kBlock; ++i) m.db[i] = 0.0f;
  }

  // One block's gradients of the first state.
  void first_gradients(int64_t block, const Memory& m) const {
    for (int64_t b = 0; b < s.B; ++b) {
      const int64_t at = b * s.H + block * kBlock, inside = s.state_at(b, block);
      if (call.dh0) store_block(call.dh0 + at, load_block(m.dh + inside), s.units(block));
      if (call.dc0) store_block(call.dc0 + at, load_block(m.dc + inside), s.units(block));
    }
  }

  // dh += W_hh^T d(gates of step i): what step i - 1 gets through the recurrent weights.
  void through_weights(int64_t i, Range blocks, const Memory& m) const {
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
  void block_backward(int64_t i, int64_t block, const Memory& m) const {
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
  void unit_backward(int64_t i, int64_t b, int64_t block, const Memory& m, Block (&d)[4]) const {
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
  void weight_gradients(Team& team, const Memory& m) const {
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
  void columns_by_gates(Team& team, Element* packed, int64_t columns, const Row& row, const Element* record, const Memory& m, float* to) const {
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
          turn(c + r * kColumns<E> + p * kBlock, kColumns<E>, least(kBlock, rows - r), each);
        }
    });
  }

  // The same with d as a left operand.
  template <class Row>
  void gates_by_columns(Team& team, const Element* d, Element* packed, int64_t columns, const Row& row, const Memory& m, float* to) const {
    const int64_t panels = ceil_div(columns, kBlock);
    team.share_ranges(panels, 4, [&](Range some) { E::pack_right(packed, some, s.rows, columns, row); });
    product<E>(team, d, s.panel_width(), packed, panels, s.rows, [&](int64_t first, int64_t rows, int64_t panel, int wide, const float* c) {
      for (int64_t r = 0; r < rows; ++r) {
        const int64_t at = m.gate_rows[first + r];
        if (at >= 0) copy(to + at * columns, c + r * kColumns<E>, panel, wide, columns);
      }
    });
  }

  void bias_gradients(const Memory& m) const {
    for (int64_t i = 0; call.db && i < s.panel_width(); ++i) {
      const int64_t at = m.gate_rows[i], block = i / (s.G * kBlock), gate = i / kBlock % s.G;
      if (at < 0) continue;
      const float* db = m.db + block * s.slots * kBlock + i % kBlock;
      call.db[at] = db[gate * kBlock];
      call.db_hh[at] = db[(kCell == kGru && gate == 2 ? 3 : gate) * kBlock];
    }
  }

  // The record's columns beyond the gates, which whole tiles read.
  void clear_record(Range rows, const Memory& m) const {
    const int64_t gates = s.panel_width(), stride = E::record_stride(gates);
    for (int64_t row = rows.begin; row < rows.end; ++row) {
      memset(m.record + row * stride + gates, 0, size_t(stride - gates) * sizeof(Element));
      memset(m.record_h + row * stride + gates, 0, size_t(stride - gates) * sizeof(Element));
    }
  }
};

}  // namespace
}  // namespace ostinato::train
