"""Dynamic evaluation: a network that goes on learning from each piece of the held-out text once it was measured on it.

Krause, Kahembwe, Murray & Renals 2018, "Dynamic evaluation of neural sequence models". Its figures belong in a
column of their own: the model adapts to the held-out text.
"""

import contextlib
import dataclasses
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from ostinato.errors import TextError, UsageError
from ostinato.models.language_model import LanguageModel
from ostinato.protocols import END_OF_DOCUMENT, Ids

_STATISTICS_WINDOW = 64


def dynamic_scores(
    model: LanguageModel,
    ids: Ids,
    training_ids: Ids,
    *,
    window: int = 20,
    learning_rate: float = 2e-3,
    decay: float = 2e-2,
    epsilon: float = 1e-3,
    statistics: int = 200,
) -> npt.NDArray[np.float64]:
    """ln P(ids[t] | END_OF_DOCUMENT, ids[:t]) of a model that is adapted after every `window` tokens: (T,) float64.

    Each piece of the text is scored with the weights as they are, and then moves them (equation 6 with RMS statistics):
    theta += -learning_rate * g / (RMS + epsilon) + decay * (theta_0 - theta) * RMS / mean RMS. RMS is the root mean
    square of the training text's gradients over `statistics` pieces of it. `model` itself is left as it was.
    Raises UsageError for values out of range, TextError for no training tokens.
    """
    if window < 1 or statistics < 1 or learning_rate < 0 or not 0 <= decay <= 1:
        raise UsageError(
            "dynamic evaluation needs window and statistics of 1 or more, learning_rate of 0 or more and decay between "
            f"0 and 1, got {window}, {statistics}, {learning_rate}, {decay}"
        )
    if len(training_ids) == 0:
        raise TextError("dynamic evaluation needs the training text for its gradients, got 0 tokens")
    with _one_thread():
        # torch's own layers: each piece is short, and comes with weights that have just changed
        adapted = LanguageModel(dataclasses.replace(model.settings, backend="torch"), model.vocabulary_size)
        adapted.load_state_dict(model.state_dict())
        adapted.to(model.head.bias.device).eval()
        return _scores(adapted, ids, training_ids, window, learning_rate, decay, epsilon, statistics)


def _scores(
    adapted: LanguageModel,
    ids: Ids,
    training_ids: Ids,
    window: int,
    learning_rate: float,
    decay: float,
    epsilon: float,
    statistics: int,
) -> npt.NDArray[np.float64]:
    """`dynamic_scores`, with a model that may be changed."""
    parameters = list(adapted.parameters())
    rms = _gradient_rms(adapted, training_ids, statistics)
    mean = torch.cat([r.flatten() for r in rms]).mean().clamp(min=1e-30)
    # No weight is pulled past where it started.
    pull = [(decay * r / mean).clamp(max=1.0) for r in rms]
    rate = [learning_rate / (r + epsilon) for r in rms]
    start = [p.detach().clone() for p in parameters]
    scores = np.empty(len(ids))
    state = adapted.initial_state(1)
    text = np.concatenate([[END_OF_DOCUMENT], ids]).astype(np.int64)
    for first in range(0, len(ids), window):
        piece = torch.from_numpy(text[first : first + window + 1]).to(start[0].device)
        logits, state = adapted(piece[None, :-1], adapted.detach(state))
        log_p = functional.log_softmax(logits[0].float(), dim=-1).gather(1, piece[1:, None])[:, 0]
        scores[first : first + window] = log_p.detach().double().cpu().numpy()
        gradients = torch.autograd.grad(-log_p.mean(), parameters)
        with torch.no_grad():
            for p, g, eta, origin, back in zip(parameters, gradients, rate, start, pull, strict=True):
                p.lerp_(origin, back).addcmul_(g, eta, value=-1)
    return scores


def _gradient_rms(model: LanguageModel, ids: Ids, pieces: int) -> list[torch.Tensor]:
    """The root mean square of each parameter's gradient over `pieces` pieces spread evenly over the text."""
    parameters = list(model.parameters())
    squares = [torch.zeros_like(p) for p in parameters]
    text = np.concatenate([[END_OF_DOCUMENT], ids]).astype(np.int64)
    starts = np.unique(np.linspace(0, max(len(ids) - _STATISTICS_WINDOW, 0), pieces).astype(np.int64))
    for first in starts.tolist():
        piece = torch.from_numpy(text[first : first + _STATISTICS_WINDOW + 1]).to(parameters[0].device)
        loss, _ = model.loss(piece[None, :-1], piece[None, 1:])
        for square, gradient in zip(squares, torch.autograd.grad(loss, parameters), strict=True):
            square += gradient**2
    return [(square / len(starts)).sqrt() for square in squares]


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Inside, torch computes on one thread: a row of a few tokens is too little work to share."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
