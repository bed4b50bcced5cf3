# %% [en]
# # Lesson 1: looking inside
#
# A recurrent layer reads a sequence step by step. It keeps a *hidden state*, and its output is that state after each step. Read
# [the lesson](../lessons/lesson-1.md) beside this notebook; run a cell with Shift-Enter.
# %% [zh]
# # 第一课：打开来看
#
# 循环层一步一步地读序列，始终带着一个*隐状态*，每一步之后的状态就是它的输出。请对照[课文](../lessons/lesson-1.zh.md)阅读；按 Shift-Enter 运行一格。
# %%
import numpy as np
import torch

from ostinato.cells import CELLS, CellWeights
from ostinato.layers import RNN

torch.manual_seed(1)
layer = RNN(input_size=3, hidden_size=4)
x = torch.randn(5, 1, 3)  # five steps, one row, three features
output, last = layer(x)
print("output", tuple(output.shape), " last state", tuple(last.shape))
print("the last output is the last state:", torch.equal(output[-1], last[0]))
# %% [en]
# ## The cell, written out
#
# One step of this layer is one line: $h' = \tanh(W_{ih} x + b_{ih} + W_{hh} h + b_{hh})$. Loop it yourself and compare.
# %% [zh]
# ## 把单元写出来
#
# 这一层的一步只有一行：$h' = \tanh(W_{ih} x + b_{ih} + W_{hh} h + b_{hh})$。自己写循环，比一比。
# %%
h = torch.zeros(1, 4)
by_hand = []
for x_t in x:
    h = torch.tanh(x_t @ layer.weight_ih_l0.T + layer.bias_ih_l0 + h @ layer.weight_hh_l0.T + layer.bias_hh_l0)
    by_hand.append(h)
print("the same:", torch.allclose(torch.stack(by_hand), output, atol=1e-6))
# %% [en]
# ## The same cell without torch
#
# The cells of ostinato are written once, for torch tensors and NumPy arrays alike. That is how a saved model writes without torch.
# %% [zh]
# ## 不用 torch 的同一个单元
#
# ostinato 的单元只写一遍，torch 张量和 NumPy 数组都能用。存好的模型就是这样不靠 torch 写作的。
# %%
weights = CellWeights(*(p.detach().numpy() for p in layer.parameters()))
h = np.zeros((1, 4), np.float32)
for x_t in x.numpy():
    (h,) = CELLS["rnn"].step(x_t, (h,), weights)
print("the same in NumPy:", np.allclose(h, last[0].detach().numpy(), atol=1e-6))
# %% [en]
# ## Exercises
#
# 1. Take `hidden_size=7`. Which shapes change? Which weights have grown by how much?
# 2. Forget the state on purpose: give `torch.zeros(1, 4)` to every step. What can the network still tell apart?
# 3. Do the same by hand for a GRU, with the equations in `ostinato.cells.gru` (`help` shows them below).
# %% [zh]
# ## 练习
#
# 1. 改成 `hidden_size=7`。哪些形状变了？哪些权重变大了，大了多少？
# 2. 故意忘掉状态：每一步都给它 `torch.zeros(1, 4)`。网络还能分辨什么？
# 3. 照 `ostinato.cells.gru` 里的公式（下面用 `help` 显示），亲手写一遍 GRU。
# %%
help(CELLS["gru"].step)
