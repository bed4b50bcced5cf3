"""hello -> elloh: a hand-made layer and the framework's, their loss curves in one picture.

One-hot characters (each once), hidden size 8, Adam 0.01, 1,000 epochs. Both start from the same weights.
Expected: both losses end below 0.01, and the two curves lie on each other.

    python examples/hello_elloh.py [FOLDER]
"""

import sys
from pathlib import Path

import torch
from torch import Tensor

from ostinato.layers import RNN
from ostinato.runs.picture import picture

CHARACTERS = sorted(set("hello"))  # e h l o: a set lists l once
X = torch.tensor([CHARACTERS.index(c) for c in "hello"])
Y = torch.tensor([CHARACTERS.index(c) for c in "elloh"])


def hand_made(rnn: torch.nn.Module, x: Tensor) -> Tensor:
    h, outputs = torch.zeros(8), []
    for x_t in x:
        h = torch.tanh(rnn.weight_ih_l0 @ x_t + rnn.bias_ih_l0 + rnn.weight_hh_l0 @ h + rnn.bias_hh_l0)
        outputs.append(h)
    return torch.stack(outputs)


def framework(rnn: torch.nn.Module, x: Tensor) -> Tensor:
    output: Tensor = rnn(x)[0]
    return output


def learn(layer) -> tuple[list[float], str]:  # type: ignore[no-untyped-def]
    """The loss of each epoch and the string predicted at the end."""
    torch.manual_seed(3)
    rnn, linear = RNN(4, 8), torch.nn.Linear(8, 4)
    optimizer = torch.optim.Adam([*rnn.parameters(), *linear.parameters()], lr=0.01)
    x, losses = torch.nn.functional.one_hot(X, 4).float(), []
    for _ in range(1000):
        logits = linear(layer(rnn, x))
        loss = torch.nn.functional.cross_entropy(logits, Y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, "".join(CHARACTERS[i] for i in logits.argmax(1))


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/examples")
    folder.mkdir(parents=True, exist_ok=True)
    with picture(folder / "hello_elloh", 6.4, 3.6) as figure:
        axes = figure.add_subplot()
        for name, layer, style in (("hand-made", hand_made, "-"), ("framework", framework, "--")):
            losses, predicted = learn(layer)
            print(f"{name}: hello -> {predicted}, loss {losses[0]:.3f} -> {losses[-1]:.4f}")
            axes.semilogy(losses, style, label=name, linewidth=2)
        axes.set_xlabel("epoch")
        axes.set_ylabel("cross-entropy (nats a character)")
        axes.legend(frameon=False)


if __name__ == "__main__":
    main()
