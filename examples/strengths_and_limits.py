"""Strengths and limits of recurrent networks, as measured.

Strength: a state carried for ever in the same few numbers: the parity of all bits so far, trained on 10 bits, tested
on 500; the last 3 bits alone cannot tell. Limit: the distance over which a cell learns to remember: to repeat the
first of four symbols after noise, from two seeds (lines with >: on the edge; another machine may fall on the other
side). Expected: parity 100 %; after 30 steps gates alone are no remedy (25 % is chance), an open forget gate is.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from ostinato.layers import Recurrent, initialise


class Network(torch.nn.Module):
    """One-hot ids (T, B) to logits at every position, (T, B, classes)."""

    def __init__(self, cell: str, symbols: int, classes: int, hidden_size: int) -> None:
        super().__init__()
        self.rnn, self.linear = Recurrent(cell, symbols, hidden_size), torch.nn.Linear(hidden_size, classes)

    def forward(self, ids: Tensor) -> Tensor:
        return self.linear(self.rnn(ids)[0])


def learn(network: Network, task: Callable[[], tuple[Tensor, Tensor]], steps: int, rate: float) -> None:
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    for _ in range(steps):
        x, y = task()
        loss = torch.nn.functional.cross_entropy(network(x)[-len(y) :].flatten(0, 1), y.flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()


def accuracy(network: Network, x: Tensor, y: Tensor) -> float:
    return (network(x)[-len(y) :].argmax(-1) == y).float().mean().item()


def parity(length: int) -> tuple[Tensor, Tensor]:
    bits = torch.randint(2, (length, 64))
    return bits, bits.cumsum(0) % 2


def recall(delay: int) -> tuple[Tensor, Tensor]:
    """Symbols 0 .. 3 are to be remembered, 4 and 5 are noise; the target stands at the last step alone."""
    x = torch.randint(4, 6, (delay + 1, 32))
    x[0] = torch.randint(4, (32,))
    return x, x[:1]


def main() -> None:
    torch.manual_seed(1)
    network = Network("rnn", 2, 2, 16)
    learn(network, lambda: parity(10), steps=200, rate=0.02)
    print(f"parity, trained on 10 bits: {accuracy(network, *parity(500)):.0%} at 500 bits, in a state of 16 numbers")
    bits, odd = parity(500)
    window = (bits[2:] * 4 + bits[1:-1] * 2 + bits[:-2]).flatten()
    right = sum(int(odd[2:].flatten()[window == w].bincount().max()) for w in range(8))
    print(f"parity, the best guess from the last 3 bits: {right / len(window):.0%}\n")

    print("recall: right answers of two seeds   after 5 steps   after 30 steps")
    for cell, forget_bias in (("rnn", None), ("gru", None), ("lstm", None), ("lstm", 3.0)):
        row = ""
        for delay in (5, 30):
            for seed in (1, 2):
                torch.manual_seed(seed)
                network = Network(cell, 6, 4, 32)
                initialise(network.rnn, "default", forget_bias=forget_bias)
                learn(network, partial(recall, delay), steps=250, rate=0.01)
                row += f"{accuracy(network, *recall(delay)):8.0%}"
        print(f"> {cell if forget_bias is None else 'lstm, forget gate open':33}{row}")


if __name__ == "__main__":
    main()
