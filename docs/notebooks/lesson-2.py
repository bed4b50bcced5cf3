# %% [en]
# # Lesson 2: from counting to carrying a state
#
# A language model says what comes next. Counting is the oldest way, and a good one. [The lesson](../lessons/lesson-2.md) has more.
# %% [zh]
# # 第二课：从数数到记住
#
# 语言模型说的是接下来会出现什么。数数是最老的办法，而且不坏。更多内容见[课文](../lessons/lesson-2.zh.md)。
# %%
import tempfile
from collections import Counter

import numpy as np

from ostinato.settings import TextSettings
from ostinato.text import prepare

corpus = prepare(["lyrics-en"], TextSettings(tokenizer="character"), tempfile.mkdtemp())
ids, heldout = np.asarray(corpus.train.ids), np.asarray(corpus.heldout.ids)
V = corpus.tokenizer.vocabulary_size
print(f"{len(ids):,} characters to learn from, {len(heldout):,} held out, vocabulary {V}")
# %% [en]
# ## A bigram by hand
#
# Count pairs, add a little to each (else a new pair is impossible), divide. *Perplexity* is e to the mean surprise: among how many equally likely
# characters the model seems to choose.
# %% [zh]
# ## 亲手做二元模型
#
# 数相邻的对，各加一点（否则没见过的对就不可能出现），再相除。*困惑度*是 e 的平均意外次方：模型好像在多少个同样可能的字符里选一个。
# %%
pairs = np.full((V, V), 0.1)
for (a, b), count in Counter(zip(ids[:-1].tolist(), ids[1:].tolist(), strict=True)).items():
    pairs[a, b] += count
probability = pairs / pairs.sum(1, keepdims=True)
surprise = -np.log(probability[heldout[:-1], heldout[1:]])
print(f"bigram: perplexity {np.exp(surprise.mean()):.2f}")
# %% [en]
# ## Longer contexts, better smoothing
#
# Longer n-grams know more and have seen less. Kneser-Ney smoothing shares out what was never seen.
# %% [zh]
# ## 更长的上文，更好的平滑
#
# n 越大知道得越多，见过的却越少。Kneser-Ney 平滑把概率分给没见过的。
# %%
from ostinato.ngram import fit_ngram

curve = {}
for order in range(1, 7):
    model = fit_ngram(ids, V, order=order)
    curve[order] = float(np.exp(-model.score(heldout).mean()))
    print(f"order {order}: perplexity {curve[order]:.2f}")
# %% [en]
# ## Exercises
#
# 1. In the bigram, add 10 instead of 0.1, then 0.001. Which is best on the held-out text, and which on `ids` itself? Why do they differ?
# 2. From which order on does a larger one hardly help? Try it with `lyrics-zh`.
# 3. A network of three minutes is compared on the same split by `ostinato compare lyrics-en` in a terminal. Does it beat the best n-gram? What about the mixture?
# %% [zh]
# ## 练习
#
# 1. 二元模型里把 0.1 换成 10，再换成 0.001。在留出的文本上哪个最好？在 `ids` 自己身上呢？为什么不同？
# 2. 从几元起再加大就几乎没用了？用 `lyrics-zh` 试试。
# 3. 在终端里运行 `ostinato compare lyrics-zh`，会在同样的划分上与网络比较。它赢了最好的 n 元模型吗？混合起来又如何？
