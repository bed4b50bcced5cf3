# %% [en]
# # Lesson 4: build, train, test
#
# Why is an LSTM needed at all? Because gradients vanish, or explode. Here you see both, while a network learns. [The lesson](../lessons/lesson-4.md) has the picture for
# new networks.
# %% [zh]
# # 第四课：搭建、训练、测试
#
# 为什么非要 LSTM 不可？因为梯度会消失，或者爆炸。这里在网络学习的过程中看到这两种情形。[课文](../lessons/lesson-4.zh.md)里有新网络的图。
# %%
import torch

from ostinato.cells import CELLS, CellWeights
from ostinato.layers import Recurrent

T, V, H, B = 24, 8, 32, 16


def task(generator):
    """Remember the first symbol until the last step: the answer is T steps away from what decides it."""
    x = torch.randint(V, (T, B), generator=generator)
    return torch.nn.functional.one_hot(x, V).float(), x[0]


def gradients(cell_name, layer, head, x, y):
    """||d loss / d h_t|| for t from the last step back to the first, for a loss on the last step alone."""
    cell, weights = CELLS[cell_name], CellWeights(*layer.parameters())
    state, hidden = tuple(torch.zeros(B, H) for _ in cell.parts), []
    for x_t in x:
        state = cell.step(x_t, state, weights)
        state[0].retain_grad()
        hidden.append(state[0])
    torch.nn.functional.cross_entropy(head(hidden[-1]), y).backward()
    return [h.grad.norm().item() for h in reversed(hidden)]


# %% [en]
# ## Gradients by distance, as training proceeds
#
# Each line is a moment of training, each column a distance from the loss. A number of 1e-08 means: what happened that long ago can teach the network nothing.
# %% [zh]
# ## 训练中，不同距离上的梯度
#
# 每一行是训练的一个时刻，每一列是与损失的距离。1e-08 的意思是：那么久以前发生的事，什么也教不了网络。
# %%
distances = (0, 4, 8, 16, 23)
measured = {}
for name in ("rnn", "gru", "lstm"):
    torch.manual_seed(1)
    generator = torch.Generator().manual_seed(2)
    layer, head = Recurrent(name, V, H), torch.nn.Linear(H, V)
    optimizer = torch.optim.Adam([*layer.parameters(), *head.parameters()], lr=0.01)
    print(f"{name}: step, loss, then the gradient at distance {distances}")
    for step in range(61):
        x, y = task(generator)
        if step % 20 == 0:
            norms = measured[name, step] = gradients(name, layer, head, x, y)
            loss = torch.nn.functional.cross_entropy(head(layer(x)[0][-1]), y).item()
            print(f"  {step:3} {loss:.3f}  " + "  ".join(f"{norms[d]:.0e}" for d in distances))
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(head(layer(x)[0][-1]), y).backward()
        optimizer.step()
# %% [en]
# ## Exploding gradients
#
# Multiply the recurrent weights of a ReLU network by 1.5, and each step back multiplies the gradient. Clipping its norm keeps the direction and bounds the length.
# %% [zh]
# ## 梯度爆炸
#
# 把 ReLU 网络的循环权重乘上 1.5，每往回一步，梯度就被放大一次。按范数裁剪保留方向，只限制长度。
# %%
torch.manual_seed(1)
layer, head = Recurrent("rnn-relu", V, H), torch.nn.Linear(H, V)
with torch.no_grad():
    torch.nn.init.orthogonal_(layer.weight_hh_l0).mul_(1.5)
x, y = task(torch.Generator().manual_seed(2))
norms = gradients("rnn-relu", layer, head, x, y)
print("by distance:", "  ".join(f"{norms[d]:.0e}" for d in distances))
before = torch.nn.utils.clip_grad_norm_(layer.parameters(), 1.0)
after = torch.sqrt(sum((p.grad**2).sum() for p in layer.parameters()))
print(f"norm of the whole gradient: {before:.0f} before clipping, {after:.2f} after")
# %% [en]
# ## Exercises
#
# 1. Which of the three cells has learnt the task after 60 steps? Train to 600. Which one never does, and where do its gradients end?
# 2. Bias the forget gate of the LSTM to 3 before training (`layer.bias_ih_l0.data[H : 2 * H] = 3`). What changes in its first line?
# 3. With which factor in place of 1.5 does the gradient neither vanish nor explode? Why does it not stay so while the network learns?
# %% [zh]
# ## 练习
#
# 1. 60 步之后，三种单元里哪个学会了？训练到 600 步。哪个始终学不会，它的梯度停在哪里？
# 2. 训练之前把 LSTM 的遗忘门偏置设为 3（`layer.bias_ih_l0.data[H : 2 * H] = 3`）。它的第一行变了什么？
# 3. 1.5 换成多少，梯度既不消失也不爆炸？为什么网络一学起来就保持不住？
