"""ARPA files: the text format in which n-gram toolkits exchange models, written and read as a stream.

A line holds log10 p(w | h), a tab, the n-gram's words separated by blanks, and, for contexts, a tab and log10 of the
weight that the context leaves to the shorter one. The reserved token is `<s>` as a context and `</s>` when predicted.

A word is written as it is. Where it holds a blank, a control character or a backslash, is empty, or could be taken for
one of the two markers, these are escaped: `\\s` blank, `\\n`, `\\t`, `\\\\`, `\\x` with two or `\\u` with six
hexadecimal digits for other characters.
"""

import io
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

import numpy as np
import numpy.typing as npt

from ostinato.errors import TextError, UsageError
from ostinato.files import NotFlushedError, replacing
from ostinato.kernels.ngram import Nodes
from ostinato.ngram.arpa_lines import NEVER, ArpaLines
from ostinato.ngram.links import Level, parents, shorter, tokens
from ostinato.ngram.model import NgramModel
from ostinato.protocols import Tokenizer

BEGIN, END = "<s>", "</s>"
_CHUNK = 20_000
_ESCAPED = re.compile(r"\\(?:([snt\\])|x([0-9a-f]{2})|u([0-9a-f]{6}))")
_LETTERS = {" ": "s", "\n": "n", "\t": "t", "\\": "\\"}
_CHARACTERS = {letter: character for character, letter in _LETTERS.items()}


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
    """The name that `escape` wrote as `word`; a code that is no character stays as it is."""
    if "\\" not in word:
        return word
    if word == "\\":
        return ""
    return _ESCAPED.sub(_character, word)


def _character(match: re.Match[str]) -> str:
    if match[1]:
        return _CHARACTERS[match[1]]
    code = int(match[2] or match[3], 16)
    return chr(code) if code <= sys.maxunicode else match[0]


def _escape_character(character: str) -> str:
    if character in _LETTERS:
        return "\\" + _LETTERS[character]
    if character.isprintable() and not character.isspace():
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:06x}"


def write_arpa(model: NgramModel, names: Sequence[str], file: TextIO | str | Path) -> None:
    """Write `model` in backoff form, ids named by `names` (V,), seven significant digits, to an open file or a path.

    Any reader gives the model's own probabilities: each n-gram's line holds its interpolated probability.
    Raises UsageError for add-k smoothing: what it leaves to unseen words does not depend on the shorter context.
    """
    if isinstance(file, str | Path):
        save_arpa(model, names, Path(file))
        return
    if model.restart:
        raise UsageError("add-k smoothing has no backoff weights and cannot be an ARPA file; use kneser-ney")
    lines = ArpaLines([BEGIN, *map(escape, names[1:])], END)
    file.write("\\data\\\n")
    for n, size in enumerate(model.sizes, 1):
        file.write(f"ngram {n}={size + (n == 1)}\n")
    links = [np.zeros(model.vocabulary_size, np.int64)]
    level = Level(np.arange(model.vocabulary_size), model.unigram())
    file.write("\n\\1-grams:")
    backoff = _log10(model.levels[1].weight[:1])[0] if model.order > 1 else 0.0
    file.write(f"\n{NEVER:g}\t{BEGIN}\t{backoff:.7g}")
    for nodes in _chunks(model.sizes[0]):
        file.write(lines.text(_log10(level.probabilities[nodes]), [nodes], _backoffs(model, 0, nodes)))
    for n in range(1, model.order):
        file.write(f"\n\n\\{n + 1}-grams:")
        below = level
        # what the next order needs of this one; of the last, the largest, nothing is kept
        held = model.sizes[n] if n + 1 < model.order else 0
        suffixes, level = np.zeros(held, np.int64), Level(np.zeros(held, np.int64), np.zeros(held))
        for nodes in _chunks(model.sizes[n]):
            contexts, last = parents(model, n, nodes), model.words[n][nodes].astype(np.int64)
            suffix, p = shorter(model, links, below, n, contexts, last)
            p = p * model.levels[n].weight[contexts] + model.levels[n].share[nodes]
            columns = [*tokens(model, n - 1, contexts), last]
            file.write(lines.text(_log10(p), columns, _backoffs(model, n, nodes)))
            if held:
                suffixes[nodes], level.probabilities[nodes] = suffix, p
                level.keys[nodes] = contexts * model.vocabulary_size + last
        links.append(suffixes)
    file.write("\n\n\\end\\\n")


def save_arpa(model: NgramModel, names: Sequence[str], path: Path) -> None:
    """`write_arpa` to the file `path`, whole or not at all. Raises UsageError as it does, and for an empty path;
    TextError where the file cannot be written: what was there before is untouched, unless the message says otherwise.
    """
    if not str(path):
        raise UsageError("the name of the ARPA file is empty")
    try:
        with replacing(path) as file:
            text = io.TextIOWrapper(file, encoding="utf-8", newline="\n")
            write_arpa(model, names, text)
            text.detach()
    except NotFlushedError as error:
        raise TextError(f"{path} is saved, but its folder could not be flushed: {error.strerror}") from None
    except OSError as error:
        raise TextError(f"cannot save {path}: {error.strerror or error}; what was there before is untouched") from None


def _chunks(size: int) -> Iterator[Nodes]:
    """The nodes 0 .. size-1, not too many at a time."""
    return (np.arange(first, min(first + _CHUNK, size)) for first in range(0, size, _CHUNK))


def _backoffs(model: NgramModel, n: int, nodes: Nodes) -> npt.NDArray[np.float64] | None:
    """Their logarithms, None for the highest order."""
    return _log10(model.levels[n + 1].weight[nodes]) if n + 1 < model.order else None


def _log10(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    result = np.full(len(values), NEVER)
    np.log10(values, out=result, where=values > 0)
    return result
