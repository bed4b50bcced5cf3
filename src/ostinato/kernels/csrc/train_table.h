// The table of an engine's kernels. Compiled anew for every instruction set, like what it points at.
#pragma once
#include "train_head.h"
#include "train_layer.h"

namespace ostinato::train {
namespace {

template <class Engine>
constexpr Table table_of(decltype(Table::adamw) adamw, decltype(Table::peak) peak) {
  return {Layer<Engine>::sizes, Layer<Engine>::forward, Layer<Engine>::backward,
          Head<Engine>::workspace, Head<Engine>::compute, adamw, peak};
}

}  // namespace
}  // namespace ostinato::train
