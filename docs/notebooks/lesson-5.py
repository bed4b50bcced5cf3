# %% [en]
# # Lesson 5: a product around the model
#
# From a text to something that writes: train, look, write, measure, save. [The lesson](../lessons/lesson-5.md) shows what the state remembers and how a run goes on.
# %% [zh]
# # 第五课：把模型做成工具
#
# 从文本到会写作的东西：训练、查看、写作、测量、保存。[课文](../lessons/lesson-5.zh.md)讲状态记住了什么，以及训练怎样接着进行。
# %%
import tempfile
from pathlib import Path

import ostinato

MINUTES = 0.1  # 2 or more for a model that is worth reading
folder = Path(tempfile.mkdtemp()) / "songs"
model = ostinato.train("lyrics-en", out=folder, minutes=MINUTES)
model
# %%
model.plot()
# %% [en]
# ## Write
#
# Temperature divides the logits: below 1 the likely becomes likelier. The seed decides everything else.
# %% [zh]
# ## 写作
#
# 温度是 logits 的除数：小于 1 时，可能的更可能。其余都由种子决定。
# %%
for temperature in (0.3, 0.8, 1.3):
    print(f"--- {temperature}")
    print(model.write("the night", lines=2, temperature=temperature, seed=4))
# %% [en]
# ## Measure
#
# Bits per character on a text that it has not seen. And: how much of what it writes does it copy?
# %% [zh]
# ## 测量
#
# 在没见过的文本上，每个字符多少比特。还有：它写的东西里，抄了多少？
# %%
print("bits per character:", round(model.score("I walk along the river in the rain").bits_per_character, 2))
print(model.novelty(model.write("the night", tokens=100, seed=4)))
for token in model.logprobs("night")[:5]:
    print(repr(token.token), round(token.log_probability, 2))
# %% [en]
# ## Keep it
#
# A saved model is a folder of plain files. It writes without torch, the same text for the same seed.
# %% [zh]
# ## 保存
#
# 存好的模型是一个装着普通文件的文件夹。它不用 torch 就能写作，同一个种子写出同样的文字。
# %%
model.save(folder / "kept")
again = ostinato.load(folder / "kept")
print(again.write("the night", lines=1, seed=4) == model.write("the night", lines=1, seed=4))
print(sorted(path.name for path in (folder / "kept").iterdir()))
# %% [en]
# ## Exercises
#
# 1. Train for 2, 5 and 10 minutes. When does the held-out loss in `plot()` stop falling? What does the training loss do then?
# 2. Your own text: which temperature do you like? Does `bits_per_character` on a friend's text tell whose is closer to yours?
# 3. Forbid copies with `max_copy=20`. What does the text lose? When is a copy no copy?
# %% [zh]
# ## 练习
#
# 1. 训练 2 分钟、5 分钟、10 分钟。`plot()` 里留出部分的损失从什么时候起不再下降？训练损失那时怎样？
# 2. 用自己的文本：你喜欢多高的温度？朋友的文本上的 `bits_per_character`，能看出谁的更像你的吗？
# 3. 用 `max_copy=20` 禁止抄写。文字失去了什么？什么时候相同不算抄？
