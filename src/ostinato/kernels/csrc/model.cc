#include "model.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>

namespace ostinato {
namespace {

bool finite(const float* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i)
    if (!std::isfinite(x[i])) return false;
  return true;
}

}  // namespace

const DecodeTable& decode_table(int32_t isa) {
  switch (isa) {
#if defined(OSTINATO_HAVE_AVX2)
    case kAvx2: return kDecodeAvx2;
#endif
#if defined(OSTINATO_HAVE_AVX512)
    case kAvx512: return kDecodeAvx512;
#endif
#if defined(OSTINATO_HAVE_VNNI)
    case kVnni: return kDecodeVnni;
#endif
#if defined(OSTINATO_HAVE_AMX)
    case kAmx: return kDecodeAmx;
#endif
#if defined(OSTINATO_HAVE_NEON)
    case kNeon: return kDecodeNeon;
#endif
#if defined(OSTINATO_HAVE_DOTPROD)
    case kDotprod: return kDecodeDotprod;
#endif
#if defined(OSTINATO_HAVE_MMLA)
    case kMmla: return kDecodeMmla;
#endif
    default: return kDecodePortable;
  }
}

Matrix::Matrix(int64_t columns, int64_t panels, bool int8, int64_t together)
    : columns(columns), panels(panels), depth(int8 ? round_up(columns, kStep) : columns), together(int8 ? together : 1), int8(int8) {
  if (int8) {
    quantized = Buffer<int8_t>(panels * depth * kPanel);
    scale = Buffer<float>(panels * kPanel);
    start = Buffer<int32_t>(panels * kPanel);
  } else {
    values = Buffer<float>(panels * depth * kPanel);
  }
}

bool Matrix::ready() const { return int8 ? quantized.data() && scale.data() && start.data() : panels == 0 || values.data(); }

int64_t Matrix::at(int64_t place, int64_t k) const {
  const int64_t first = place / kPanel * depth * kPanel, lane = place % kPanel;
  return first + (k & -together) * kPanel + lane * together + (k & (together - 1));  // together: a power of 2
}

void Matrix::set_row(int64_t place, const float* row, int32_t x_offset) {
  if (!int8) {
    for (int64_t k = 0; k < columns; ++k) values[at(place, k)] = row[k];
    return;
  }
  float largest = 0;
  for (int64_t k = 0; k < columns; ++k) largest = std::fmax(largest, std::fabs(row[k]));
  const float unit = largest > 1e-30f ? largest / 127 : 1, inverse = 1 / unit;
  int32_t sum = 0;
  for (int64_t k = 0; k < columns; ++k) {
    const int32_t q = int32_t(std::nearbyintf(row[k] * inverse));
    quantized[at(place, k)] = int8_t(q);
    sum += q;
  }
  scale[place] = unit;
  start[place] = -x_offset * sum;
}

void Matrix::get_row(int64_t place, float* out) const {
  for (int64_t k = 0; k < columns; ++k) out[k] = int8 ? scale[place] * quantized[at(place, k)] : values[at(place, k)];
}

Vectors::Vectors(int64_t rows, int64_t columns, bool int8)
    : stride(round_up(columns, kStep)), int8(int8), values(rows * stride) {
  if (!int8) return;
  scale = Buffer<float>(rows);
  quantized = Buffer<uint8_t>(rows * 2 * stride);
}

void Vectors::copy_row(int64_t from, int64_t to) const {
  std::memcpy(row(to), row(from), size_t(stride) * sizeof(float));
  if (!int8) return;
  scale[to] = scale[from];
  std::memcpy(&quantized[to * 2 * stride], &quantized[from * 2 * stride], size_t(2 * stride));
}

bool Model::valid(const Shape& s) {
  auto within = [](int32_t value, int32_t low, int32_t high) { return value >= low && value <= high; };
  return within(s.cell, kRnn, kLstm) && within(s.layers, 1, 64) && within(s.hidden, 1, 1 << 16) &&
         within(s.embedding, 0, 1 << 16) && within(s.vocabulary, 1, 1 << 28) && within(s.tied, 0, s.embedding > 0) &&
         within(s.int8, 0, 1) && within(s.isa, kPortable, kLastIsa) && supports(Isa(s.isa)) && s.table_bytes >= 0;
}

Model::Model(const Shape& s)
    : shape_(s),
      table_(decode_table(s.isa)),
      gates_(s.cell == kLstm ? 4 : s.cell == kGru ? 3 : 1),
      blocks_(round_up(s.hidden, kPanel) / kPanel),
      row_size_(blocks_ * gates_ * kPanel),
      layers_(size_t(s.layers)) {
  auto matrix = [&](int64_t columns, int64_t panels) { return Matrix(columns, panels, s.int8 != 0, table_.together); };
  for (int32_t l = 0; l < s.layers; ++l) {
    Layer& layer = layers_[size_t(l)];
    layer.recurrent = matrix(s.hidden, blocks_ * gates_);
    if (l > 0 || s.embedding > 0) layer.input = matrix(l > 0 ? s.hidden : s.embedding, blocks_ * gates_);
    layer.bias = Buffer<float>(row_size_);
    layer.candidate = Buffer<float>(blocks_ * kPanel);
  }
  if (s.tied && s.embedding != s.hidden) projection_ = matrix(s.hidden, round_up(s.embedding, kPanel) / kPanel);
  head_ = matrix(s.tied ? s.embedding : s.hidden, round_up(s.vocabulary, kPanel) / kPanel);
  head_bias_ = Buffer<float>(round_up(s.vocabulary, kPanel));
  if (s.embedding > 0 && !s.tied) embedding_ = Buffer<float>(int64_t(s.vocabulary) * s.embedding);
  row_limit_ = s.vocabulary;
  if (s.embedding > 0) row_limit_ = std::min(row_limit_, s.table_bytes / (row_size_ * int64_t(sizeof(float))));
  if (s.embedding > 0 && row_limit_ > 0) slots_ = std::vector<std::atomic<int32_t>>(size_t(s.vocabulary));
  if (row_limit_ > 0) rows_ = Buffer<float>(row_limit_ * row_size_);
}

bool Model::ready() const {
  bool fine = projection_.ready() && head_.ready() && head_bias_.data();
  for (const Layer& layer : layers_)
    fine = fine && layer.input.ready() && layer.recurrent.ready() && layer.bias.data() && layer.candidate.data();
  return fine && (shape_.embedding == 0 || shape_.tied || embedding_.data()) && (row_limit_ == 0 || rows_.data());
}

// Torch's row gate * H + unit among the packed rows: blocks of 16 units, in each the gates, in each the units.
int64_t Model::place(int64_t row) const {
  const int64_t gate = row / shape_.hidden, unit = row % shape_.hidden;
  return (unit / kPanel * gates_ + gate) * kPanel + unit % kPanel;
}

Status Model::set(Tensor tensor, int32_t index, int64_t first, int64_t count, const float* rows) {
  if (index < 0 || index >= shape_.layers || first < 0 || count < 0) return kBadShape;
  Layer& layer = layers_[size_t(index)];
  const int64_t gate_rows = gates_ * shape_.hidden, last = first + count, vocabulary = shape_.vocabulary;
  const bool one_hot = tensor == kInput && index == 0 && shape_.embedding == 0;
  int64_t columns = 1, limit = gate_rows;
  switch (tensor) {
    case kEmbedding: columns = shape_.embedding, limit = shape_.embedding > 0 ? vocabulary : 0; break;
    case kInput: columns = one_hot ? vocabulary : layer.input.columns; break;
    case kRecurrent: columns = shape_.hidden; break;
    case kInputBias:
    case kRecurrentBias: break;
    case kProjection: columns = projection_.columns, limit = projection_.panels ? shape_.embedding : 0; break;
    case kHead: columns = shape_.hidden, limit = shape_.tied ? 0 : vocabulary; break;
    case kHeadBias: limit = vocabulary; break;
    default: return kBadShape;
  }
  if (last > limit) return kBadShape;
  if (!finite(rows, count * columns)) return kNotFinite;
  for (int64_t r = first; r < last; ++r, rows += columns) {
    switch (tensor) {
      case kEmbedding:
        if (shape_.tied) head_.set_row(r, rows, table_.x_offset);
        else std::memcpy(&embedding_[r * columns], rows, size_t(columns) * sizeof(float));
        break;
      case kInput:
        if (!one_hot) layer.input.set_row(place(r), rows, table_.x_offset);
        for (int64_t v = 0; one_hot && v < vocabulary; ++v) rows_[v * row_size_ + place(r)] = rows[v] + layer.bias[place(r)];
        break;
      case kRecurrent: layer.recurrent.set_row(place(r), rows, table_.x_offset); break;
      case kInputBias: layer.bias[place(r)] += *rows; break;
      case kRecurrentBias:
        if (shape_.cell == kGru && r >= 2 * shape_.hidden) layer.candidate[r - 2 * shape_.hidden] = *rows;
        else layer.bias[place(r)] += *rows;
        break;
      case kProjection: projection_.set_row(r, rows, table_.x_offset); break;
      case kHead: head_.set_row(r, rows, table_.x_offset); break;
      case kHeadBias: head_bias_[r] = *rows; break;
    }
  }
  return kFine;
}

bool Model::knows(int64_t count, const uint32_t* ids) const {
  for (int64_t i = 0; i < count; ++i)
    if (ids[i] >= uint32_t(shape_.vocabulary)) return false;
  return true;
}

std::unique_ptr<Workspace> Model::borrow(int64_t entries, bool logits) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (size_t i = 0; i < spare_.size(); ++i) {
      if (spare_[i]->capacity < entries || (logits && !spare_[i]->logits.data())) continue;
      std::unique_ptr<Workspace> found = std::move(spare_[i]);
      spare_.erase(spare_.begin() + int64_t(i));
      return found;
    }
  }
  auto work = std::make_unique<Workspace>();
  const bool int8 = shape_.int8 != 0;
  work->capacity = entries;
  bool fine = true;
  for (int32_t l = 0; l < shape_.layers; ++l) {
    work->hidden.emplace_back(2 * entries, shape_.hidden, int8);
    work->cell.emplace_back(entries * blocks_ * kPanel);
    fine = fine && work->hidden.back().ready() && work->cell.back().data();
  }
  work->input = Vectors(entries, shape_.embedding, int8);
  work->projected = Vectors(entries, shape_.embedding, int8);
  work->products = Buffer<float>(entries * row_size_);
  work->source.resize(size_t(entries));
  fine = fine && work->input.ready() && work->projected.ready() && work->products.data();
  if (logits) {
    work->logits = Buffer<float>(entries * shape_.vocabulary);
    work->weights = Buffer<double>(kMaxThreads * int64_t(shape_.vocabulary));
    fine = fine && work->logits.data() && work->weights.data();
  }
  return fine ? std::move(work) : nullptr;
}

void Model::give_back(std::unique_ptr<Workspace> work) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (spare_.size() < 4) spare_.push_back(std::move(work));
}

void Model::load(const Workspace& work, int64_t at, const float* state, int64_t rows, int64_t row) const {
  const size_t bytes = size_t(shape_.hidden) * sizeof(float);
  for (int32_t l = 0; l < shape_.layers; ++l) {
    std::memcpy(work.hidden[size_t(l)].row(at), state + (l * rows + row) * shape_.hidden, bytes);
    quantize(work.hidden[size_t(l)], at, 1);
    if (shape_.cell == kLstm)
      std::memcpy(&work.cell[size_t(l)][at * blocks_ * kPanel],
                  state + ((shape_.layers + l) * rows + row) * shape_.hidden, bytes);
  }
}

void Model::save(const Workspace& work, int64_t at, float* state, int64_t rows, int64_t row) const {
  const size_t bytes = size_t(shape_.hidden) * sizeof(float);
  for (int32_t l = 0; l < shape_.layers; ++l) {
    std::memcpy(state + (l * rows + row) * shape_.hidden, work.hidden[size_t(l)].row(at), bytes);
    if (shape_.cell == kLstm)
      std::memcpy(state + ((shape_.layers + l) * rows + row) * shape_.hidden,
                  &work.cell[size_t(l)][at * blocks_ * kPanel], bytes);
  }
}

void Model::move(const Workspace& work, int64_t from, int64_t to) const {
  const int64_t size = blocks_ * kPanel;
  for (int32_t l = 0; l < shape_.layers; ++l) {
    work.hidden[size_t(l)].copy_row(from, to);
    std::memcpy(&work.cell[size_t(l)][to * size], &work.cell[size_t(l)][from * size], size_t(size) * sizeof(float));
  }
}

void Model::quantize(const Vectors& x, int64_t first, int64_t count) const {
  if (!x.int8) return;
  for (int64_t i = first; i < first + count; ++i)
    x.scale[i] = table_.quantize(x.row(i), x.stride, &x.quantized[i * 2 * x.stride]);
}

void Model::product(const Matrix& m, int64_t panel, int64_t panels, const float* bias, const Vectors& x, int64_t first,
                    int64_t count, float* y, int64_t ldy) const {
  const int64_t offset = panel * m.depth * kPanel;
  if (m.int8)
    table_.panels_i8(m.quantized.data() + offset, m.depth, panels, &m.scale[panel * kPanel], &m.start[panel * kPanel], bias,
                     &x.quantized[first * 2 * x.stride], 2 * x.stride, &x.scale[first], count, y, ldy);
  else
    table_.panels_f32(m.values.data() + offset, m.depth, panels, bias, x.row(first), x.stride, count, y, ldy);
}

// y (count, ldy) = m x + bias by all threads, the first `width` floats of each row of y.
void Model::multiply(Session& session, bool backward, const Matrix& m, const float* bias, const Vectors& x, int64_t first,
                     int64_t count, float* y, int64_t ldy, int64_t width) const {
  const int64_t size = std::max<int64_t>(1, kChunkBytes / m.panel_bytes());
  session.share((m.panels + size - 1) / size, backward, [&](int64_t chunk) {
    const int64_t begin = chunk * size, end = std::min(begin + size, m.panels), whole = std::min(end, width / kPanel);
    auto from = [bias](int64_t panel) { return bias ? bias + panel * kPanel : nullptr; };
    product(m, begin, whole - begin, from(begin), x, first, count, y + begin * kPanel, ldy);
    if (whole == end) return;
    float rest[kRows * kPanel];  // the last panel, of which y has room for some rows only
    product(m, whole, 1, from(whole), x, first, count, rest, kPanel);
    for (int64_t i = 0; i < count; ++i)
      std::memcpy(y + i * ldy + whole * kPanel, rest + i * kPanel, size_t(width % kPanel) * sizeof(float));
  });
}

void Model::embed(uint32_t id, float* out) const {
  if (shape_.tied) head_.get_row(id, out);
  else std::memcpy(out, &embedding_[int64_t(id) * shape_.embedding], size_t(shape_.embedding) * sizeof(float));
}

// Finds or computes the first layer's input product of every id, and keeps it while there is room.
void Model::find_inputs(Session& session, Workspace& work, int64_t count, const uint32_t* ids) {
  if (shape_.embedding == 0) {
    for (int64_t e = 0; e < count; ++e) work.source[size_t(e)] = &rows_[int64_t(ids[e]) * row_size_];
    return;
  }
  work.missing.clear();
  for (int64_t e = 0; e < count; ++e) {
    const int32_t slot = row_limit_ > 0 ? slots_[ids[e]].load(std::memory_order_acquire) : 0;
    if (slot > 0) {
      work.source[size_t(e)] = &rows_[(slot - 1) * row_size_];
      continue;
    }
    const int64_t at = int64_t(work.missing.size());
    embed(ids[e], work.input.row(at));
    work.source[size_t(e)] = &work.products[at * row_size_];
    work.missing.push_back(e);
  }
  const int64_t missing = int64_t(work.missing.size());
  if (missing == 0) return;
  const Layer& layer = layers_[0];
  quantize(work.input, 0, missing);
  multiply(session, work.backward, layer.input, layer.bias.data(), work.input, 0, missing, work.products.data(), row_size_, row_size_);
  for (int64_t e : work.missing) {
    int32_t none = 0;
    if (row_limit_ == 0 || !slots_[ids[e]].compare_exchange_strong(none, -1)) continue;
    const int64_t row = rows_taken_.fetch_add(1);
    if (row >= row_limit_) continue;  // full: the token stays at -1
    std::memcpy(&rows_[row * row_size_], work.source[size_t(e)], size_t(row_size_) * sizeof(float));
    slots_[ids[e]].store(int32_t(row + 1), std::memory_order_release);
  }
}

// One step of a layer for all rows: recurrent product and gates, a block of 16 units after the other.
void Model::recur(Session& session, Workspace& work, int64_t l, int64_t step, int64_t rows) const {
  const Layer& layer = layers_[size_t(l)];
  const Vectors& hidden = work.hidden[size_t(l)];
  const Buffer<float>& cell = work.cell[size_t(l)];
  const int64_t block_size = gates_ * kPanel, stride = blocks_ * kPanel;
  const int64_t fitting = kChunkBytes / (gates_ * layer.recurrent.panel_bytes());
  const int64_t size = std::max<int64_t>(1, std::min(fitting, kRows / rows));
  session.share((blocks_ + size - 1) / size, work.backward, [&](int64_t chunk) {
    float products[kRows * 4 * kPanel];
    const int64_t begin = chunk * size, count = std::min(size, blocks_ - begin), ld = count * block_size;
    product(layer.recurrent, begin * gates_, count * gates_, nullptr, hidden, step * rows, rows, products, ld);
    for (int64_t b = 0; b < rows; ++b) {
      const float* source = work.source[size_t(step * rows + b)] + begin * block_size;
      for (int64_t j = 0, unit = begin * kPanel; j < count; ++j, unit += kPanel)
        table_.gates[shape_.cell](source + j * block_size, products + b * ld + j * block_size, &layer.candidate[unit],
                                  &cell[b * stride + unit], hidden.row(step * rows + b) + unit,
                                  hidden.row((step + 1) * rows + b) + unit);
    }
  });
  quantize(hidden, (step + 1) * rows, rows);
}

void Model::advance(Session& session, Workspace& work, int64_t steps, int64_t rows, const uint32_t* ids) {
  const int64_t count = steps * rows;
  find_inputs(session, work, count, ids);
  for (int32_t l = 0; l < shape_.layers; ++l) {
    if (l > 0) {
      const Layer& layer = layers_[size_t(l)];
      multiply(session, work.backward, layer.input, layer.bias.data(), work.hidden[size_t(l - 1)], rows, count,
               work.products.data(), row_size_, row_size_);
      for (int64_t e = 0; e < count; ++e) work.source[size_t(e)] = &work.products[e * row_size_];
    }
    for (int64_t t = 0; t < steps; ++t) recur(session, work, l, t, rows);
  }
  for (const Vectors& hidden : work.hidden)
    for (int64_t b = 0; b < rows; ++b) hidden.copy_row(count + b, b);
  work.backward = !work.backward;
}

void Model::head(Session& session, const Workspace& work, int64_t first, int64_t count, float* logits) const {
  const Vectors* x = &work.hidden.back();
  if (projection_.panels > 0) {
    multiply(session, work.backward, projection_, nullptr, *x, first, count, work.projected.values.data(), work.projected.stride,
             projection_.panels * kPanel);
    quantize(work.projected, 0, count);
    x = &work.projected;
    first = 0;
  }
  multiply(session, work.backward, head_, head_bias_.data(), *x, first, count, logits, shape_.vocabulary, shape_.vocabulary);
}

}  // namespace ostinato
