// Recurrent layers over time, on any engine E of matrix products (train_product.h says what an engine must have).
//
// Within a time step threads take blocks of 16 units; each begins where it began in the last one, so that its recurrent
// weights stay in its cache, and only h (backward: the gates' gradients) crosses threads. Equations: src/ostinato/cells.
#pragma once
#include "train_layer_backward.h"
#include "train_layer_forward.h"

namespace ostinato::train {
namespace {

// The layer of a call's cell.
template <class E>
struct Layer {
  static void sizes(const LayerCall& call, LayerSizes& sizes) {
    by_cell(call, [&](auto cell) {
      const LayerForward<E, cell> forward(call);
      const Shape<cell>& s = forward.s;
      sizes.gates = forward.keeps_gates() ? s.rows * s.gate_width() * 4 : 0;
      sizes.cells = cell == kLstm ? (s.T + 1) * s.B * s.width() * 4 : 0;
      sizes.forward = forward.memory(nullptr).bytes;
      sizes.backward = LayerBackward<E, cell>(call).memory(nullptr).bytes;
    });
  }
  static void forward(const LayerCall& call) {
    by_cell(call, [&](auto cell) { LayerForward<E, cell>::run(call); });
  }
  static void backward(const LayerCall& call) {
    by_cell(call, [&](auto cell) { LayerBackward<E, cell>::run(call); });
  }

 private:
  // Calls `use` with the cell as a constant of a type of its own.
  template <int64_t kCell>
  struct Constant {
    constexpr operator int64_t() const { return kCell; }
  };
  template <class Use>
  static void by_cell(const LayerCall& call, const Use& use) {
    if (call.cell == kLstm) use(Constant<kLstm>{});
    else if (call.cell == kGru) use(Constant<kGru>{});
    else if (call.cell == kRelu) use(Constant<kRelu>{});
    else use(Constant<kTanh>{});
  }
};

}  // namespace
}  // namespace ostinato::train
