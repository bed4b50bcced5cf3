"""From logits to a token: a chain of small transforms, in one documented order.

0. `shift`: each token's bias is added to its logit, presence and frequency penalties are taken off;
1. `penalise`: the probability of every token among the recent ones is divided by the repetition penalty;
2. `temper`: logits are divided by the temperature (0: the likeliest token is taken, and the chain ends);
3. `weights`: exp(z - max z), so the likeliest token weighs 1;
4. `top_k`, 5. `top_p`, 6. `min_p`: unlikely tokens weigh nothing from then on;
7. `draw`: inverse of the cumulative weights in id order.

Logits are float64 before anything else, sums run in the order stated, and ties go to the lower id: a plain loop in
another language does the same arithmetic, down to the last bit of `exp`. Every array has one row per text: (B, V).
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from numbers import Real

import numpy as np
import numpy.typing as npt

from ostinato.errors import GenerationError, UsageError

Weights = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """How the next token is chosen. The defaults draw from the model's own distribution.

    temperature: 1 as the model says; below 1 safer, above 1 wilder, 0 always the likeliest token.
    top_k: only the k likeliest tokens (0: all). top_p: only the likeliest tokens that together hold this share of the
    probability (1: all). min_p: only tokens at least this many times as likely as the likeliest (0: all).
    repetition_penalty: tokens among the last `recent` ones become this many times less likely (1: not at all).
    bias: pairs (id, b): b is added to the logit of the id. presence_penalty, frequency_penalty: taken off the logit of
    a token that was drawn before in the same text, once, and as often as it was drawn (as OpenAI's API defines them).
    Raises UsageError for a value out of range.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    recent: int = 64
    bias: tuple[tuple[int, float], ...] = ()
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0

    def __post_init__(self) -> None:
        for given in fields(self):
            value = getattr(self, given.name)
            if given.name != "bias" and (isinstance(value, bool) or not isinstance(value, Real)):
                raise UsageError(f"{given.name} must be a number, got {value!r}")
        _check("temperature", self.temperature, self.temperature >= 0, "0 or more")
        _check("top_k", self.top_k, self.top_k >= 0 and self.top_k == int(self.top_k), "a whole number, 0 or more")
        _check("top_p", self.top_p, 0 < self.top_p <= 1, "above 0 and at most 1")
        _check("min_p", self.min_p, 0 <= self.min_p <= 1, "between 0 and 1")
        _check("repetition_penalty", self.repetition_penalty, self.repetition_penalty > 0, "above 0")
        _check("recent", self.recent, self.recent >= 0 and self.recent == int(self.recent), "a whole number, 0 or more")
        _check("presence_penalty", self.presence_penalty, True, "a finite number")
        _check("frequency_penalty", self.frequency_penalty, True, "a finite number")
        for token_id, value in self.bias:
            _check(f"the bias of id {token_id}", value, token_id >= 0, "a finite number for an id of 0 or more")

    @property
    def shifts(self) -> bool:
        """Whether there is a bias or a penalty of step 0."""
        return bool(self.bias or self.presence_penalty or self.frequency_penalty)

    @property
    def remembers(self) -> int:
        """How many recent tokens `weigh` needs to see."""
        return self.recent if self.repetition_penalty != 1 else 0

    def weigh(
        self,
        logits: npt.NDArray[np.floating],
        recent: Sequence[Sequence[int]] = (),
        drawn: Sequence[Sequence[int]] = (),
    ) -> Weights:
        """Weights (B, V) float64 in proportion to which tokens are drawn; 0 for a token that is not allowed.

        `logits`: (B, V), -inf for a forbidden token. `recent`: the recent ids of each row, read when there is a
        repetition penalty. `drawn`: all ids drawn so far in each row, read when there is a presence or frequency
        penalty. Raises GenerationError where a row allows no token or is not a number.
        """
        z = logits.astype(np.float64)
        if self.shifts:
            z = shift(z, self, drawn)
        if self.remembers:
            z = penalise(z, recent, self.repetition_penalty)
        if self.temperature == 0:
            return likeliest(z)
        w = weights(temper(z, self.temperature))
        if self.top_k:
            w = top_k(w, self.top_k)
        if self.top_p < 1:
            w = top_p(w, self.top_p)
        if self.min_p > 0:
            w = min_p(w, self.min_p)
        return w

    def __call__(
        self,
        logits: npt.NDArray[np.floating],
        u: npt.NDArray[np.float64],
        recent: Sequence[Sequence[int]] = (),
        drawn: Sequence[Sequence[int]] = (),
    ) -> npt.NDArray[np.intp]:
        """One token id a row, (B,). `u`: (B,) numbers in [0, 1). The rest as in `weigh`."""
        return draw(self.weigh(logits, recent, drawn), u)


def _check(name: str, value: float, allowed: bool, range_: str) -> None:
    if not allowed or not np.isfinite(value):
        raise UsageError(f"{name} must be {range_}, got {value}")


def shift(logits: Weights, sampler: Sampler, drawn: Sequence[Sequence[int]]) -> Weights:
    """Add the sampler's bias, take off its presence and frequency penalties for the ids drawn so far in each row."""
    out = logits.copy()
    for token_id, value in sampler.bias:
        out[:, token_id] += value
    for row, ids in enumerate(drawn):
        seen, times = np.unique(np.asarray(ids, np.intp), return_counts=True)
        out[row, seen] -= sampler.presence_penalty + sampler.frequency_penalty * times
    return out


def penalise(logits: Weights, recent: Sequence[Sequence[int]], penalty: float) -> Weights:
    """Divide the probability of each row's recent tokens by `penalty`: log(penalty) off their logits.

    Unlike the division of the logit itself (Keskar et al., CTRL, 2019) this does not depend on where a model puts
    the zero of its logits.
    """
    out = logits.copy()
    for row, ids in enumerate(recent):
        out[row, np.unique(np.asarray(ids, np.intp))] -= np.log(penalty)
    return out


def temper(logits: Weights, temperature: float) -> Weights:
    """Logits over temperature (> 0)."""
    return logits / temperature


def weights(logits: Weights) -> Weights:
    """exp(z - max z): softmax without its division, with the likeliest token at 1."""
    return np.exp(logits - _largest(logits))


def likeliest(logits: Weights) -> Weights:
    """Weight 1 for the largest logit of each row (the lowest id among equals), 0 for the rest."""
    _largest(logits)
    out = np.zeros_like(logits)
    out[np.arange(len(out)), logits.argmax(axis=1)] = 1
    return out


def _largest(logits: Weights) -> Weights:
    largest: Weights = logits.max(axis=1, keepdims=True)
    if np.isneginf(largest).any():
        raise GenerationError("nothing can be written here: the request allows no token")
    if not np.isfinite(largest).all():
        raise GenerationError("the model's scores are not finite numbers: it cannot write")
    return largest


def top_k(w: Weights, k: int) -> Weights:
    """The k largest weights of each row (lower ids first among equals), 0 for the rest."""
    if k >= w.shape[1]:
        return w
    bound = np.partition(w, -k, axis=1)[:, -k, None]
    above = w > bound
    equal = w == bound
    room = k - above.sum(axis=1, keepdims=True)
    return np.where(above | (equal & (equal.cumsum(axis=1) <= room)), w, 0.0)


def top_p(w: Weights, p: float) -> Weights:
    """The largest weights up to and including the one at which their sum reaches `p` times the row's total.

    The total is summed in id order, the partial sums from the largest weight down (lower ids first among equals).
    """
    enough = p * np.cumsum(w, axis=1)[:, -1:]
    order = np.argsort(-w, axis=1, kind="stable")
    descending = np.take_along_axis(w, order, axis=1)
    sums = np.cumsum(descending, axis=1)
    descending[:, 1:][sums[:, :-1] >= enough] = 0
    out = np.zeros_like(w)
    np.put_along_axis(out, order, descending, axis=1)
    return out


def min_p(w: Weights, share: float) -> Weights:
    """Weights of at least `share` times the row's largest, 0 for the rest."""
    return np.where(w >= share * w.max(axis=1, keepdims=True), w, 0.0)


def draw(w: Weights, u: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """(B,), the first id of each row whose cumulative weight, in id order, exceeds u (B,) times the total."""
    cumulative = np.cumsum(w, axis=1)
    chosen: npt.NDArray[np.intp] = (cumulative > u[:, None] * cumulative[:, -1:]).argmax(axis=1)
    return chosen
