# %% [en]
# # Lesson 3: cells and layers
#
# A cell is one step and knows no time; a layer runs it over a sequence. Here you write a cell of your own, train it, and compare. Read
# [the lesson](../lessons/lesson-3.md) first.
# %% [zh]
# # 第三课：单元与层
#
# 单元是一步，不知道时间；层让它走完一个序列。这里你要写一个自己的单元，训练它，再作比较。请先读[课文](../lessons/lesson-3.zh.md)。
# %%
from ostinato.cells import Cell, affine, register, sigmoid, split, tanh


def leaky(x, state, weights):
    """h' = (1 - a) h + a tanh(W x + U h + b), with a gate a of its own."""
    (h,) = state
    a_x, n_x = split(affine(x, weights.weight_ih, weights.bias_ih), 2)
    a_h, n_h = split(affine(h, weights.weight_hh, weights.bias_hh), 2)
    a = sigmoid(a_x + a_h)
    return ((1 - a) * h + a * tanh(n_x + n_h),)


register(Cell("leaky", gates=2, parts=("h",), step=leaky))
# %% [en]
# ## Is the gradient right?
#
# `gradcheck` compares torch's gradient with differences of the function itself, in float64.
# %% [zh]
# ## 梯度对吗？
#
# `gradcheck` 用 float64 把 torch 的梯度与函数本身的差分相比。
# %%
import torch

from ostinato.layers import Recurrent

layer = Recurrent("leaky", 2, 3, dtype=torch.float64)
x = torch.randn(4, 2, 2, dtype=torch.float64, requires_grad=True)
print("gradcheck:", torch.autograd.gradcheck(lambda x: layer(x)[0], [x]))
# %% [en]
# ## RNN, GRU, LSTM and yours, side by side
#
# The same text, the same number of steps, one picture. In a terminal: `ostinato train lyrics-en --steps 200 --sweep model.cell=rnn,gru,lstm`.
# %% [zh]
# ## RNN、GRU、LSTM 和你的单元，放在一起
#
# 同样的文本，同样的步数，一张图。在终端里：`ostinato train lyrics-zh --steps 200 --sweep model.cell=rnn,gru,lstm`。
# %%
import tempfile
from pathlib import Path

import ostinato

folder, STEPS = Path(tempfile.mkdtemp()), 20  # 200 or more for a picture that says something
small = {"model.hidden_size": 32, "training.batch_size": 8, "training.window": 32, "model.tied": False}
models = {}
for cell in ("rnn", "gru", "lstm", "leaky"):
    models[cell] = ostinato.train(
        "lyrics-en", out=folder / cell, steps=STEPS, start=None, progress=False, settings={**small, "model.cell": cell}
    )
    heldout = models[cell].config["evaluation"]["held-out"]
    print(f"{cell:6} {heldout['bits_per_character']:.3f} bits per held-out character")
# %%
from ostinato.runs.picture import picture

with picture(folder / "cells", 7.2, 4.2) as figure:
    axes = figure.add_subplot()
    for cell, model in models.items():
        rows = [row for row in model.history if row["train_loss"] is not None]
        axes.plot([row["step"] for row in rows], [row["train_loss"] for row in rows], label=cell)
    axes.set_xlabel("steps")
    axes.set_ylabel("training loss (nats per character)")
    axes.legend(frameon=False)
print("the picture is", folder / "cells.png")
# %% [en]
# ## Exercises
#
# 1. Set `STEPS` to 300. Which cell is ahead? Is it still with the same number of *parameters* (`model.card` says how many)?
# 2. Couple the gates of an LSTM (`i = 1 - f`) in a cell of your own. What does it save, what does it cost?
# 3. Break the step on purpose, after training: register `leaky` again with `(1 + a)`. What does `ostinato.load(folder / "leaky").write()` say, and why?
# %% [zh]
# ## 练习
#
# 1. 把 `STEPS` 改成 300。哪个单元领先？*参数*一样多时还是它吗（`model.card` 写明有多少）？
# 2. 写一个输入门与遗忘门相连（`i = 1 - f`）的 LSTM。省了什么，又失去什么？
# 3. 训练之后故意把单元改坏：用 `(1 + a)` 重新登记 `leaky`。`ostinato.load(folder / "leaky").write()` 会说什么？为什么？
