// A recurrent language model on packed weights: its step, and the loops over it.
#pragma once
#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "buffer.h"
#include "decode_table.h"
#include "pool.h"

namespace ostinato {

enum Status : int32_t { kFine = 0, kOutOfMemory, kBadShape, kNotFinite, kBadId, kBadScores, kNothingAllowed };

constexpr int64_t kChunkBytes = 32 << 10;  // of weights that a thread takes at a time: some hundred nanoseconds of work
constexpr int64_t kRows = 64;  // entries (rows of a batch, or steps of a text) taken through the model at once

struct Shape {  // as in kernels/native.py
  int32_t cell, layers, hidden, embedding, vocabulary, tied, int8, isa;
  int64_t table_bytes;  // how much memory may be spent on input products of whole tokens
};

enum Tensor : int32_t { kEmbedding, kInput, kRecurrent, kInputBias, kRecurrentBias, kProjection, kHead, kHeadBias };

// A matrix in panels (decode_table.h), float32 or int8.
struct Matrix {
  int64_t columns = 0, panels = 0, depth = 0, together = 0;  // depth: columns stored
  bool int8 = false;
  Buffer<float> values, scale;
  Buffer<int8_t> quantized;
  Buffer<int32_t> start;

  Matrix() = default;
  Matrix(int64_t columns, int64_t panels, bool int8, int64_t together);
  bool ready() const;
  void set_row(int64_t place, const float* row, int32_t x_offset);
  void get_row(int64_t place, float* out) const;
  int64_t at(int64_t place, int64_t k) const;  // of element (place, k)
  int64_t panel_bytes() const { return depth * kPanel * (int8 ? 1 : 4); }
};

// Input vectors as a product wants them: floats, filled up with zeros to `stride`, and their quantized form.
struct Vectors {
  int64_t stride = 0;
  bool int8 = false;
  Buffer<float> values, scale;
  Buffer<uint8_t> quantized;  // 2 * stride bytes per row

  Vectors() = default;
  Vectors(int64_t rows, int64_t columns, bool int8);
  bool ready() const { return values.data() && (!int8 || (scale.data() && quantized.data())); }
  float* row(int64_t i) const { return values.data() + i * stride; }
  void copy_row(int64_t from, int64_t to) const;
};

// What one call needs beside the weights.
struct Workspace {
  int64_t capacity = 0;         // entries
  bool backward = false;        // direction in which weights are read next
  std::vector<Vectors> hidden;  // a layer: the old state of every row, then the states after every entry
  std::vector<Buffer<float>> cell;
  Vectors input, projected;
  Buffer<float> products;            // input products of the entries
  std::vector<const float*> source;  // where each entry's input product is
  std::vector<int64_t> missing;
  Buffer<float> logits;     // (capacity, vocabulary)
  Buffer<double> weights;   // (kMaxThreads, vocabulary)
};

class Model {
 public:
  explicit Model(const Shape& shape);
  static bool valid(const Shape& shape);
  bool ready() const;

  // Takes rows first .. first + count - 1 of a tensor (of a bias, its elements), biases before matrices.
  Status set(Tensor tensor, int32_t layer, int64_t first, int64_t count, const float* rows);

  const Shape& shape() const { return shape_; }
  const DecodeTable& table() const { return table_; }
  bool knows(int64_t count, const uint32_t* ids) const;

  std::unique_ptr<Workspace> borrow(int64_t entries, bool logits);  // null: out of memory
  void give_back(std::unique_ptr<Workspace> work);

  // Row `at` of the workspace from and to row `row` of a state of `rows` rows: (states, rows, hidden) floats, h of all
  // layers, then c of all layers (LSTM). After `advance` the state is in the old state's place again.
  void load(const Workspace& work, int64_t at, const float* state, int64_t rows, int64_t row) const;
  void save(const Workspace& work, int64_t at, float* state, int64_t rows, int64_t row) const;
  void move(const Workspace& work, int64_t from, int64_t to) const;

  // Reads ids (steps, rows) in order of time. The last layer's states are then in work.hidden.back(), rows `rows` and on.
  void advance(Session& session, Workspace& work, int64_t steps, int64_t rows, const uint32_t* ids);
  // Logits of `count` states of the last layer, `first` and on. logits: (count, vocabulary).
  void head(Session& session, const Workspace& work, int64_t first, int64_t count, float* logits) const;

 private:
  int64_t place(int64_t row) const;
  void quantize(const Vectors& x, int64_t first, int64_t count) const;
  void multiply(Session& session, bool backward, const Matrix& m, const float* bias, const Vectors& x, int64_t first, int64_t count,
                float* y, int64_t ldy, int64_t width) const;
  void product(const Matrix& m, int64_t panel, int64_t panels, const float* bias, const Vectors& x, int64_t first, int64_t count,
               float* y, int64_t ldy) const;
  void embed(uint32_t id, float* out) const;
  void find_inputs(Session& session, Workspace& work, int64_t count, const uint32_t* ids);
  void recur(Session& session, Workspace& work, int64_t layer, int64_t step, int64_t rows) const;

  struct Layer {
    Matrix input, recurrent;
    Buffer<float> bias;       // in the order of the packed rows
    Buffer<float> candidate;  // GRU: b_hn
  };

  Shape shape_;
  const DecodeTable& table_;
  int64_t gates_, blocks_, row_size_;  // row_size_: floats of all gates' products
  std::vector<Layer> layers_;
  Matrix projection_, head_;
  Buffer<float> embedding_, head_bias_;

  // Input products of whole tokens, biases included: of every token (one-hot), or of those met first, as many as fit.
  Buffer<float> rows_;
  int64_t row_limit_ = 0;
  std::vector<std::atomic<int32_t>> slots_;  // token -> row + 1; 0: not met yet; -1: none
  std::atomic<int64_t> rows_taken_{0};

  std::mutex mutex_;
  std::vector<std::unique_ptr<Workspace>> spare_;
};

// The functions of an instruction set that `supports` is true for.
const DecodeTable& decode_table(int32_t isa);

}  // namespace ostinato
