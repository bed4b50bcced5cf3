"""How weights start, by name."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn import init

from ostinato.errors import UsageError
from ostinato.layers.recurrent import Recurrent


@dataclass(frozen=True)
class Initialisation:
    """What goes with weights that start in one way, of a language model.

    frequencies: the output bias starts from the frequencies of the tokens. one_bias: of two biases that are only
    added one learns, as in a textbook's cell.
    """

    frequencies: bool = False
    one_bias: bool = False


_BY_NAME = {
    "default": Initialisation(frequencies=True),
    "torch": Initialisation(),
    "normal-0.01": Initialisation(one_bias=True),
    "uniform-0.1": Initialisation(),
    "orthogonal": Initialisation(frequencies=True),
}
INITIALISATIONS = tuple(_BY_NAME)
"""Their names, which `model.initialisation` takes."""
_ADDS_BIASES = ("rnn", "rnn-relu", "lstm")
"""Cells whose equation has b_ih + b_hh and neither of them anywhere else."""
_UNSEEN = 0.1
"""How often a token that the training text does not have counts, for the output bias."""


def initialisation(name: str) -> Initialisation:
    """What goes with the initialisation of this name. Raises UsageError."""
    if name not in _BY_NAME:
        raise UsageError(f"initialisation must be one of {', '.join(INITIALISATIONS)}, got {name!r}")
    return _BY_NAME[name]


@torch.no_grad()
def initialise(module: torch.nn.Module, name: str, *, forget_bias: float | None = None) -> None:
    """Set every parameter of `module`, in place, from torch's global random generator. Raises UsageError.

    default: recurrent layers as torch.nn; other weights (N, M) uniform in ±1/sqrt(M), which suits an embedding tied
    to the output too, and biases 0, but see `start_output_bias`.
    torch: as default, and biases beside a weight (N, M) uniform in ±1/sqrt(M), as torch.nn.Linear has both.
    normal-0.01: weights N(0, 0.01²), biases 0. uniform-0.1: weights uniform in ±0.1, biases 0.
    orthogonal: in recurrent layers, per gate, W_hh orthogonal and W_ih Glorot-uniform, biases 0; the rest as default.
    forget_bias: what the two biases of an LSTM's forget gate add up to; None leaves them.
    """
    initialisation(name)  # raises for an unknown name
    for child in module.modules():
        if isinstance(child, Recurrent):
            _start_recurrent(child, name)
            if forget_bias is not None and child.cell.name == "lstm":
                _set_forget_bias(child, forget_bias)
        else:
            for label, parameter in child.named_parameters(recurse=False):
                weight = getattr(child, "weight", None) if name == "torch" else parameter
                is_bias = "bias" in label and (name != "torch" or weight is None)
                _start(parameter, name, is_bias=is_bias, bound=1.0 if weight is None else weight.shape[-1] ** -0.5)


@torch.no_grad()
def start_output_bias(bias: Tensor, counts: ArrayLike, name: str) -> None:
    """Set an output `bias`, (V,), in place by `counts`, (V,), of the tokens in the training text; N is their sum.

    Where the weights start as default or orthogonal: the log of each token's share, ln(count / N). From biases of 0 an
    optimizer of bounded steps needs thousands of them to make what is rare unlikely, and bends the features and a tied
    embedding to the same end meanwhile (docs/decisions/075-output-bias.md).
    As torch, normal-0.01 or uniform-0.1, which textbooks begin with: as it is, or 0, for each of the V' tokens that
    occur, as there; those that never do start at ln(0.1 V' / N), where they cost nothing and need not be unlearnt
    (docs/decisions/200-outputs-that-never-occur.md).
    Either way, tokens never seen count a tenth. Raises UsageError for an unknown name.
    """
    seen = torch.as_tensor(np.maximum(np.asarray(counts, np.float64), _UNSEEN))
    start = (seen / seen.sum()).log()
    if not initialisation(name).frequencies:
        occur = seen >= 1
        uniform = (occur.sum() * _UNSEEN / seen[occur].sum()).log()
        begun = bias.double() if name == "torch" else torch.zeros_like(start)
        start = torch.where(occur, begun, uniform) if occur.any() else begun
    bias.copy_(start)


def keep_one_bias(module: torch.nn.Module) -> None:
    """Freeze b_hh, which starts at 0, in the recurrent layers of `module` whose cell only adds it to b_ih.

    The cell of a textbook has one bias. Each of two that are added gets the whole gradient: their sum learns at twice
    the rate, and counts twice in a norm that is clipped (docs/decisions/202-beside-plain-loops.md).
    """
    for child in module.modules():
        if isinstance(child, Recurrent) and child.cell.name in _ADDS_BIASES:
            for label, parameter in child.named_parameters(recurse=False):
                if label.startswith("bias_hh"):
                    parameter.requires_grad_(False)


def _start_recurrent(layers: Recurrent, name: str) -> None:
    if name in ("default", "torch"):
        layers.reset_parameters()
        return
    for label, parameter in layers.named_parameters(recurse=False):
        if name == "orthogonal" and "weight" in label:
            for gate in parameter.chunk(layers.cell.gates):
                init.orthogonal_(gate) if "hh" in label else init.xavier_uniform_(gate)
        else:
            _start(parameter, name, is_bias="bias" in label)


def _start(parameter: Tensor, name: str, *, is_bias: bool, bound: float = 0.1) -> None:
    if is_bias:
        init.zeros_(parameter)
    elif name == "normal-0.01":
        init.normal_(parameter, std=0.01)
    else:
        bound = 0.1 if name == "uniform-0.1" else bound
        init.uniform_(parameter, -bound, bound)


def _set_forget_bias(layers: Recurrent, value: float) -> None:
    H = layers.hidden_size
    for label, parameter in layers.named_parameters(recurse=False):
        if "bias" in label:
            parameter[H : 2 * H] = value if "bias_ih" in label else 0.0
