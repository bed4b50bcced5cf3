// Training kernels: recurrent layers forward and backward, the softmax head, AdamW. Raw arrays; the caller allocates all.
//
// Each instruction set fills one Table (train_<set>.cc); train.cc chooses one and exports the functions.
#pragma once
#include <cstddef>
#include <cstdint>

namespace ostinato::train {

enum Cell : int64_t { kTanh = 0, kRelu = 1, kGru = 2, kLstm = 3 };

// One layer, one direction, all time steps. Rows of a (T, B, ...) array are t·B + b. float32, row-major, gates in torch's
// order. Null pointers: b_ih, b_hh, h0, c0 stand for zeros; dy, dh_last, dc_last likewise; of the results dx may be null.
// kernels/train.py mirrors this struct field for field.
struct LayerCall {
  int64_t cell, steps, batch, input_size, hidden_size, reverse, threads;
  int64_t dy_stride;             // floats between rows of dy (H, or more where it is part of a wider array)
  const float* x;                // (T·B, I); without w_ih the gates' input products (T·B, G·H)
  const float *w_ih, *w_hh;      // (G·H, I) or null, (G·H, H)
  const float *b_ih, *b_hh;      // (G·H,)
  const float *h0, *c0;          // (B, H)
  float* y;                      // (T·B, H): written forward, read backward
  float *h_last, *c_last;        // (B, H)
  float *gates, *cells;          // kept from forward for backward; sizes: layer_sizes
  const float *dy;               // (T·B, H), dy_stride between rows
  const float *dh_last, *dc_last;
  float *dx, *dw_ih, *dw_hh;     // shapes of x, w_ih, w_hh; overwritten
  float *db;                     // (G·H,): gradient of b_ih
  float *db_hh;                  // (G·H,): gradient of b_hh
  float *dh0, *dc0;
  void* workspace;               // scratch of at least the size layer_sizes gives, 64-byte aligned
};

// What a LayerCall needs, in bytes.
struct LayerSizes {
  int64_t gates, cells, forward, backward;
};

// Mean cross-entropy of a linear layer's softmax, with its gradients; at most 48 MB of exponentials are stored (64 in float32).
struct HeadCall {
  int64_t rows, features, vocabulary, threads, with_gradient;
  const float* x;                // (N, F)
  const float* weight;           // (V, F)
  const float* bias;             // (V,) or null
  const int64_t* targets;        // (N,), each in 0 .. V-1
  float* losses;                 // (N,): -log softmax(W x + b)[target], nats
  float *dx, *dweight, *dbias;   // gradients of the sum of losses times `scale`; shapes of x, weight, bias
  double scale;
  void* workspace;
};

// One parameter tensor of an AdamW step.
struct AdamTensor {
  float *parameter, *first, *second;
  const float* gradient;
  int64_t count;
  double weight_decay;
};

struct AdamCall {
  int64_t tensors, threads;
  const AdamTensor* list;
  double learning_rate, beta1, beta2, epsilon, clip;  // clip: largest global norm, 0 for none
  int64_t step;                                      // 1 for the first
  double* norm;                                      // result: the gradient's norm before clipping
};

struct Table {
  void (*layer_sizes)(const LayerCall&, LayerSizes&);
  void (*layer_forward)(const LayerCall&);
  void (*layer_backward)(const LayerCall&);
  int64_t (*head_workspace)(const HeadCall&);
  void (*head)(const HeadCall&);
  void (*adamw)(const AdamCall&);
  double (*peak)();  // GFLOP/s of independent multiply-adds on one thread, with this set's vectors
};

// Tables by precision and instruction set; adamw and peak are only in those of float32.
extern const Table kFloatPortable, kFloatAvx2, kFloatAvx512, kFloatNeon, kBfloatVnni, kBfloatAmx, kBfloatMmla;

}  // namespace ostinato::train
