"""Token by token: how surprised a model is, and how many tokens it would sooner have expected."""

import numpy as np
import numpy.typing as npt

from ostinato.protocols import END_OF_DOCUMENT, Ids, StepModel, Tokenizer
from ostinato.terminal import visible

_SHADES = (None, 230, 223, 216, 209, 203, 197)
"""Backgrounds of a terminal's 256 colours, from expected to surprising; one every `_BITS` bits."""
_BITS = 2.0


def surprisals(model: StepModel, ids: Ids) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """-log2 P of each token of `ids` (T,) after those before it, (T,) float64, and its rank, (T,) int64.

    Rank 1 is the token that the model found likeliest; equally likely tokens share the lowest of their ranks.
    """
    bits, ranks = np.empty(len(ids)), np.empty(len(ids), dtype=np.int64)
    state, previous = model.initial_state(1), END_OF_DOCUMENT
    for t, token in enumerate(ids.tolist()):
        logits, state = model.step(np.array([previous], dtype=np.uint32), state)
        z = logits[0].astype(np.float64)
        largest = z.max()
        bits[t] = (largest + np.log(np.exp(z - largest).sum()) - z[token]) / np.log(2)
        ranks[t] = 1 + int((z > z[token]).sum())
        previous = token
    return bits, ranks


def coloured(ids: Ids, bits: npt.NDArray[np.float64], tokenizer: Tokenizer) -> str:
    """The text of `ids` (T,) with a background that grows warmer with `bits` (T,), for a terminal of 256 colours.

    The spelled-out bytes of one character are shown together, in the shade of their sum.
    """
    parts: list[str] = []
    begin, total = 0, 0.0
    for t, token in enumerate(ids.tolist()):
        total += float(bits[t])
        text = "⏹\n" if token == END_OF_DOCUMENT else tokenizer.decode(ids[begin : t + 1])
        if "\ufffd" in text and t + 1 < len(ids) and ids[t + 1] != END_OF_DOCUMENT and t - begin < 3:
            continue
        parts.append(_shaded(visible(text), total))
        begin, total = t + 1, 0.0
    return "".join(parts)


def _shaded(text: str, bits: float) -> str:
    shade = _SHADES[int(min(bits / _BITS, len(_SHADES) - 1))]
    if shade is None:
        return text
    shown, newline, rest = text.partition("\n")
    return f"\x1b[30;48;5;{shade}m{shown or '⏎'}\x1b[0m{newline}{rest}"
