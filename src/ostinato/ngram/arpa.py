"""ARPA files: the text format in which n-gram toolkits exchange models, written and read as a stream.

A line holds log10 p(w | h), a tab, the n-gram's words separated by blanks, and, for contexts, a tab and log10 of the
weight that the context leaves to the shorter one. The reserved token is `<s>` as a context and `</s>` when predicted.

A word is written as it is. Where it holds a blank, a control character or a backslash, is empty, or could be taken for
one of the two markers, these are escaped: `\\s` blank, `\\n`, `\\t`, `\\\\`, `\\x` with two or `\\u` with six
hexadecimal digits for other characters.
"""

import re
from collections.abc import Iterator, Sequence
from typing import TextIO

import numpy as np
import numpy.typing as npt

from ostinato.errors import UsageError
from ostinato.kernels.ngram import Nodes
from ostinato.ngram.links import all_suffixes, parents, probability, tokens
from ostinato.ngram.model import NgramModel
from ostinato.protocols import END_OF_DOCUMENT, Tokenizer

BEGIN, END = "<s>", "</s>"
NEVER = -99.0
"""What ARPA writes for the logarithm of 0."""
_CHUNK = 100_000
_ESCAPED = re.compile(r"\\(?:([snt\\])|x([0-9a-f]{2})|u([0-9a-f]{6}))")
_LETTERS = {" ": "s", "\n": "n", "\t": "t", "\\": "\\"}


def token_names(tokenizer: Tokenizer) -> list[str]:
    """A distinct name for each id, (V,) strings: `</s>` for id 0, the token's own for the others.

    Where two have the same name, the later id has it as it is: words come after the characters that spell them.
    """
    names: list[str] = []
    taken: set[str] = set()
    for token_id in range(tokenizer.vocabulary_size - 1, 0, -1):
        name = tokenizer.token(token_id)
        while name in taken:
            name += "\\"
        taken.add(name)
        names.append(name)
    return [END, *reversed(names)]


def escape(name: str) -> str:
    """`name` as one ARPA word."""
    if name in (BEGIN, END, ""):
        return "".join(f"\\x{ord(character):02x}" for character in name) or "\\"
    if name.isprintable() and not (set(name) & {" ", "\\"}):
        return name
    return "".join(map(_escape_character, name))


def unescape(word: str) -> str:
    """The name that `escape` wrote as `word`."""
    if word == "\\":
        return ""
    letters = {letter: character for character, letter in _LETTERS.items()}
    return _ESCAPED.sub(lambda m: letters[m[1]] if m[1] else chr(int(m[2] or m[3], 16)), word)


def _escape_character(character: str) -> str:
    if character in _LETTERS:
        return "\\" + _LETTERS[character]
    if character.isprintable() and not character.isspace():
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:06x}"


def write_arpa(model: NgramModel, names: Sequence[str], file: TextIO) -> None:
    """Write `model` in backoff form, ids named by `names` (V,), seven significant digits.

    Any reader gives the model's own probabilities: each n-gram's line holds its interpolated probability.
    Raises UsageError for add-k smoothing: what it leaves to unseen words does not depend on the shorter context.
    """
    if model.restart:
        raise UsageError("add-k smoothing has no backoff weights and cannot be an ARPA file; use kneser-ney")
    words = [END, *map(escape, names[1:])]
    file.write("\\data\\\n")
    for n, size in enumerate(model.sizes, 1):
        file.write(f"ngram {n}={size + (n == 1)}\n")
    links = all_suffixes(model, model.order - 1)
    for n in range(model.order):
        file.write(f"\n\\{n + 1}-grams:\n")
        if n == 0:
            backoff = _log10(model.levels[1].weight[:1])[0] if model.order > 1 else 0.0
            file.write(f"{NEVER:g}\t{BEGIN}\t{backoff:.7g}\n")
        for first in range(0, model.sizes[n], _CHUNK):
            nodes = np.arange(first, min(first + _CHUNK, model.sizes[n]))
            file.writelines(_lines(model, links, n, nodes, words))
    file.write("\n\\end\\\n")


def _lines(model: NgramModel, links: list[Nodes], n: int, nodes: Nodes, words: list[str]) -> Iterator[str]:
    columns = tokens(model, n, nodes)
    contexts = parents(model, n, nodes) if n else np.zeros(0, dtype=np.int64)
    scores = _log10(probability(model, links, n, contexts, columns[-1])).tolist()
    texts = [[words[token] for token in column.tolist()] for column in columns]
    if n:
        texts[0] = [BEGIN if token == END_OF_DOCUMENT else words[token] for token in columns[0].tolist()]
    if n == model.order - 1:
        return (f"{score:.7g}\t{' '.join(row)}\n" for score, *row in zip(scores, *texts, strict=True))
    backoffs = _log10(model.levels[n + 1].weight[nodes])
    last = columns[-1].tolist()
    endings = [f"\t{backoff:.7g}\n" if token else "\n" for backoff, token in zip(backoffs.tolist(), last, strict=True)]
    return (
        f"{score:.7g}\t{' '.join(row)}{ending}" for score, ending, *row in zip(scores, endings, *texts, strict=True)
    )


def _log10(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    result = np.full(len(values), NEVER)
    np.log10(values, out=result, where=values > 0)
    return result
