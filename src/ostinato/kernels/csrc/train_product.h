// Whole matrix products over packed operands, cut into tiles; what becomes of a tile is up to the caller.
#pragma once
#include "train_team.h"

namespace ostinato::train {
namespace {

constexpr int64_t kScratch = 32 * 32;  // floats of the largest tile

// For every tile of left[tiles] · right[panels] over depth k: use(row, rows, panel, panels, c), c with 32 floats a row.
// Rows of the last tile may reach past the matrix: `use` gets rows cut to `m`. A tile is used while the next one is
// computed: what the tile unit has just stored cannot be read at once.
template <class E, class Use>
void product(const typename E::Element* left, int64_t m, Range tiles, const typename E::Element* right, Range panels, int64_t k, Use use) {
  // Either operand's share of the other's reuse must stay in the L2 cache: rows go in chunks.
  const int64_t row_bytes = E::stride(k) * int64_t(sizeof(typename E::Element)) * E::kRows;
  const int64_t right_bytes = (panels.end - panels.begin) * E::panel(k) * int64_t(sizeof(typename E::Element));
  const int64_t chunk = right_bytes <= E::kChunkBytes ? E::kTiles : most(E::kTiles, E::kChunkBytes / row_bytes / E::kTiles * E::kTiles);
  alignas(64) float scratch[2][kScratch];
  struct Ready {
    int64_t row, rows, panel;
    int panels;
  } ready{0, 0, 0, 0};
  int turn = 0;
  for (int64_t first = tiles.begin; first < tiles.end; first += chunk) {
    const int64_t last = least(first + chunk, tiles.end);
    for (int64_t p = panels.begin; p < panels.end; p += E::kPanels) {
      const int wide = int(least(E::kPanels, panels.end - p));
      for (int64_t t = first; t < last; t += E::kTiles) {
        const int tall = int(least(E::kTiles, last - t));
        E::tile(left + t * E::kRows * E::stride(k), E::stride(k), tall, E::kRows, right + p * E::panel(k), wide, k, scratch[turn], 32);
        turn ^= 1;
        if (ready.rows) use(ready.row, ready.rows, ready.panel, ready.panels, scratch[turn]);
        ready = {t * E::kRows, least(tall * E::kRows, m - t * E::kRows), p, wide};
      }
    }
  }
  if (ready.rows) use(ready.row, ready.rows, ready.panel, ready.panels, scratch[turn ^ 1]);
}

}  // namespace
}  // namespace ostinato::train
