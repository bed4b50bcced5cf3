"""BLEU and chrF: how near translations are to references, with the definitions of sacreBLEU (Post 2018).

BLEU: Papineni et al. 2002, four orders, tokens by the rules of mteval-v13a, exponential smoothing; Chinese, Japanese
and Korean characters are tokens of their own. chrF: Popović 2015, six orders of characters without blanks, β = 2.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence

from ostinato.errors import UsageError

_ORDERS = 4
_CHARACTERS, _BETA = 6, 2.0
_MARKS = re.compile(r"([\{-\~\[-\` -\&\(-\+\:-\@\/])")
_EDGES = ((re.compile(r"([^0-9])([\.,])"), r"\1 \2 "), (re.compile(r"([\.,])([^0-9])"), r" \1 \2"),
          (re.compile(r"([0-9])(-)"), r"\1 \2 "))  # fmt: skip
_IDEOGRAPHS = re.compile(r"([⺀-⿟　-〿぀-ヿ㐀-䶿一-鿿가-힯豈-﫿＀-￯])")


def bleu(hypotheses: Sequence[str], references: Sequence[str]) -> float:
    """Corpus BLEU from 0 to 100, one reference each. Raises UsageError for lists of different lengths."""
    _check(hypotheses, references)
    right, total = [0] * _ORDERS, [0] * _ORDERS
    length = reference_length = 0
    for hypothesis, reference in zip(hypotheses, references, strict=True):
        ours, theirs = _words(hypothesis), _words(reference)
        length, reference_length = length + len(ours), reference_length + len(theirs)
        for n in range(1, _ORDERS + 1):
            found, wanted = _ngrams(ours, n), _ngrams(theirs, n)
            right[n - 1] += (found & wanted).total()
            total[n - 1] += found.total()
    if not any(right):
        return 0.0
    logarithms, smooth = 0.0, 1.0
    for hits, all_of in zip(right, total, strict=True):
        if all_of == 0:
            return 0.0
        if hits == 0:
            smooth *= 2.0
        logarithms += math.log(100.0 * hits / all_of if hits else 100.0 / (smooth * all_of))
    penalty = 1.0 if length >= reference_length else math.exp(1 - reference_length / length)
    return penalty * math.exp(logarithms / _ORDERS)


def chrf(hypotheses: Sequence[str], references: Sequence[str]) -> float:
    """Corpus chrF2 from 0 to 100, one reference each. Raises UsageError for lists of different lengths."""
    _check(hypotheses, references)
    right, ours, theirs = [0] * _CHARACTERS, [0] * _CHARACTERS, [0] * _CHARACTERS
    for hypothesis, reference in zip(hypotheses, references, strict=True):
        h, r = "".join(hypothesis.split()), "".join(reference.split())
        for n in range(1, _CHARACTERS + 1):
            found, wanted = _ngrams(h, n), _ngrams(r, n)
            # of n-grams longer than the reference, none are counted
            right[n - 1] += (found & wanted).total()
            ours[n - 1] += found.total() if wanted else 0
            theirs[n - 1] += wanted.total()
    precisions, recalls, orders = 0.0, 0.0, 0
    for hits, found_here, wanted_here in zip(right, ours, theirs, strict=True):
        if found_here and wanted_here:
            precisions, recalls, orders = precisions + hits / found_here, recalls + hits / wanted_here, orders + 1
    if not orders or precisions + recalls == 0:
        return 0.0
    precision, recall = precisions / orders, recalls / orders
    return 100 * (1 + _BETA**2) * precision * recall / (_BETA**2 * precision + recall)


def _check(hypotheses: Sequence[str], references: Sequence[str]) -> None:
    if len(hypotheses) != len(references):
        raise UsageError(f"there must be a reference for each text, got {len(hypotheses)} and {len(references)}")


def _ngrams(sequence: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(sequence[at : at + n]) for at in range(len(sequence) - n + 1))


def _words(text: str) -> list[str]:
    """The tokens of a text, by mteval-v13a; ideographs each alone."""
    line = text.replace("\n", " ").replace("&quot;", '"').replace("&amp;", "&").replace("&lt;", "<")
    line = f" {line.replace('&gt;', '>')} "
    line = _IDEOGRAPHS.sub(r" \1 ", line)
    line = _MARKS.sub(r" \1 ", line)
    for pattern, replacement in _EDGES:
        line = pattern.sub(replacement, line)
    return line.split()
