// The forward pass of a recurrent layer over time, on any engine E of matrix products.
#pragma once
#include "train_layer_pass.h"

namespace ostinato::train {
namespace {

template <class E, int64_t kCell>
struct LayerForward : LayerPass<E, kCell> {
  using Pass = LayerPass<E, kCell>;
  using typename Pass::Element;
  using Pass::call, Pass::s, Pass::step;
  using Pass::blocks_at_once, Pass::put, Pass::gate, Pass::load_row, Pass::load_before, Pass::clear_state;
  using Pass::Pass;

  struct Memory {
    Element *w_ih, *w_hh, *x, *state[2];
    float *gates, *bias, *bias_n;
    int32_t* gate_rows;
    int64_t bytes;
  };
  Memory memory(void* start) const {
    Arena arena(start);
    Memory f;
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

  static void run(const LayerCall& call) {
    const LayerForward pass(call);
    const Memory memory = pass.memory(call.workspace);
    pass.s.list_gate_rows(memory.gate_rows);
    Team team(call.threads);
    pass.run_on(team, memory);
  }

  void run_on(Team& team, const Memory& f) const {
    float* gates = keeps_gates() ? call.gates : f.gates;
    clear_state(f.state, s.H);
    team.share(s.blocks, [&](int64_t block) { prepare(block, f); });
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
        one_step(i, blocks, f, gates);
      });
    last_state();
  }

  // One block's biases, weights and first state.
  void prepare(int64_t block, const Memory& f) const {
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
  void given_products(Range rows, const Memory& f, float* gates) const {
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
  void one_step(int64_t i, Range blocks, const Memory& f, float* gates) const {
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

  void units_forward(int64_t i, int64_t block, int64_t tile, const float* c, const Memory& f, float* gates) const {
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
  void bias(Range blocks, const Memory& f) const {
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

  static void add_store(float* to, const float* c, const Block& bias) {
    for (int v = 0; v < kBlock / kWidth; ++v) store(to + v * kWidth, load(c + v * kWidth) + bias.part[v]);
  }
};

}  // namespace
}  // namespace ostinato::train
