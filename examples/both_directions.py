"""A bidirectional model: why it must not be a left-to-right language model, and what it is good for.

Asked for the next character at each position, its backward half has already read the answer.
Expected: a perplexity near 1, which turns worse than the forward model's as soon as the future is taken away, as it is
in writing. Asked for a character that neither half has read (fill in the gap), both sides honestly beat one.
"""

import math
import tempfile

import torch
from torch import Tensor

from ostinato.batching import minibatches
from ostinato.layers import GRU
from ostinato.protocols import Ids
from ostinato.settings import TextSettings
from ostinato.text import prepare

H, WINDOW = 64, 32


class Reader(torch.nn.Module):
    """Embedding, a GRU in one or both directions, a linear layer: logits (B, T, V) for a token at every position."""

    def __init__(self, vocabulary_size: int, *, both: bool, gap: bool = False) -> None:
        super().__init__()
        self.gap = gap
        self.embedding = torch.nn.Embedding(vocabulary_size, 32)
        self.rnn = GRU(32, H, batch_first=True, bidirectional=both)
        self.linear = torch.nn.Linear(2 * H if both else H, vocabulary_size)

    def forward(self, ids: Tensor) -> Tensor:
        h = self.rnn(self.embedding(ids))[0]
        if self.gap:  # the next token from what is before it and what is after it, never from itself
            after = torch.nn.functional.pad(h[:, 2:, H:], (0, 0, 0, 2))
            h = torch.cat([h[..., :H], after], dim=-1)
        return self.linear(h)


def learn(model: Reader, ids: Ids, epochs: int = 2) -> Reader:
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for epoch in range(epochs):
        for x, y in minibatches("random", ids, batch_size=32, window=WINDOW, epoch=epoch):
            logits, target = model(torch.from_numpy(x)), torch.from_numpy(y)
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model


@torch.no_grad()
def perplexity(model: Reader, ids: Ids, *, future: bool) -> float:
    """Of the middle token of each held-out window, with all of the window to read or only what is before that token."""
    nats, tokens, middle = 0.0, 0, WINDOW // 2
    for x, y in minibatches("random", ids, batch_size=32, window=WINDOW):
        seen = torch.from_numpy(x if future else x[:, : middle + 1])
        target = torch.from_numpy(y[:, middle])
        nats += torch.nn.functional.cross_entropy(model(seen)[:, middle], target, reduction="sum").item()
        tokens += len(target)
    return math.exp(nats / tokens)


def main() -> None:
    torch.manual_seed(1)
    with tempfile.TemporaryDirectory() as folder:
        corpus = prepare(["lyrics-en"], TextSettings(limit=60_000, heldout=0.2), folder)
        train, heldout, V = corpus.train.ids, corpus.heldout.ids, corpus.tokenizer.vocabulary_size
        forward, both = learn(Reader(V, both=False), train), learn(Reader(V, both=True), train)
        gap = learn(Reader(V, both=True, gap=True), train)
        print("perplexity of held-out text     with the future   without, as in writing")
        for name, model in (("forward", forward), ("both directions, next token", both)):
            with_future, without = (perplexity(model, heldout, future=future) for future in (True, False))
            print(f"{name:28}{with_future:19.2f}{without:18.2f}")
        print(f"both directions, fill a gap {perplexity(gap, heldout, future=True):19.2f}    (it needs both sides)")


if __name__ == "__main__":
    main()
