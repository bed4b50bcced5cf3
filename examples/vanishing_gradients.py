"""Vanishing gradients: how much the last step still says to the hidden state k steps before, as a picture.

||d loss / d h_t|| for a loss on the last output alone, against the distance in time, for new networks of 64
units (mean of three, each reading 8 random sequences). LSTM twice: as it starts, and with its forget gate
biased open. The decay rate is what is left of the gradient after one step more.
Expected: the plain RNN vanishes first.

    python examples/vanishing_gradients.py [FOLDER]
"""

import math
import sys
from pathlib import Path

import torch

from ostinato.cells import CELLS, CellWeights
from ostinato.layers import Recurrent, initialise
from ostinato.runs.picture import picture

T, FEATURES, H, B = 60, 16, 64, 8
KINDS = {"RNN": ("rnn", None), "GRU": ("gru", None), "LSTM": ("lstm", None), "LSTM, forget bias 3": ("lstm", 3.0)}


def gradient_norms(cell_name: str, forget_bias: float | None, seed: int) -> list[float]:
    """||d loss / d h_t|| for distances 0 .. T-1 from the last step."""
    torch.manual_seed(seed)
    layer = Recurrent(cell_name, FEATURES, H)
    initialise(layer, "default", forget_bias=forget_bias)
    weights = CellWeights(layer.weight_ih_l0, layer.weight_hh_l0, layer.bias_ih_l0, layer.bias_hh_l0)
    cell, x = CELLS[cell_name], torch.randn(T, B, FEATURES)
    state, hidden = tuple(torch.zeros(B, H) for _ in cell.parts), []
    for x_t in x:
        state = cell.step(x_t, state, weights)
        state[0].retain_grad()
        hidden.append(state[0])
    (hidden[-1] * torch.randn(B, H)).sum().backward()
    return [h.grad.norm().item() for h in reversed(hidden)]


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/examples")
    folder.mkdir(parents=True, exist_ok=True)
    with picture(folder / "vanishing_gradients", 6.4, 3.8) as figure:
        axes = figure.add_subplot()
        for name, (cell, forget_bias) in KINDS.items():
            runs = torch.tensor([gradient_norms(cell, forget_bias, seed) for seed in range(3)], dtype=torch.float64)
            norms = (runs / runs[:, :1]).log().mean(0).exp().tolist()
            rate = math.exp((math.log(norms[30]) - math.log(norms[5])) / 25)
            gone = next((k for k, norm in enumerate(norms) if norm < 1e-6), None)
            reach = f"below a millionth after {gone} steps" if gone else f"above a millionth for all {T} steps"
            print(f"{name:20} keeps {rate:.2f} of the gradient a step: {reach}")
            axes.semilogy(norms, label=f"{name} ({rate:.2f} a step)", linewidth=2)
        axes.set_xlabel("distance from the loss in time steps")
        axes.set_ylabel("‖∂loss/∂h‖, relative")
        axes.set_ylim(1e-12, 3)
        axes.legend(frameon=False)


if __name__ == "__main__":
    main()
