"""Names of tokens in responses: the text of a token, but different names for different tokens."""

from collections.abc import Sequence

from ostinato.protocols import END_OF_DOCUMENT
from ostinato.text import BaseTokenizer
from ostinato.text.utf8 import FIRST_BYTE, FIRST_CHARACTER

END_NAME = "<|endoftext|>"
"""What the end of a document is called; `/tokenize` gives its id where this is the whole text."""


class TokenNames:
    """The names of all tokens of a vocabulary.

    The name of a token is its text. A byte that is not a whole character is `bytes:\\xe4`, as in OpenAI's API; the
    second of two tokens with the same text is `token_id:N`.
    """

    def __init__(self, tokenizer: BaseTokenizer) -> None:
        self._names: list[str] = []
        self._lengths = tokenizer.character_lengths().tolist()
        seen: set[str] = set()
        # characters and words first: in a word vocabulary the byte of a letter is the rarer of the two
        order = [*range(FIRST_CHARACTER, tokenizer.vocabulary_size), *range(FIRST_CHARACTER)]
        names = {}
        for token_id in order:
            name = _name(tokenizer, token_id)
            names[token_id] = name if name not in seen else f"token_id:{token_id}"
            seen.add(name)
        self._names = [names[token_id] for token_id in range(tokenizer.vocabulary_size)]

    def __getitem__(self, token_id: int) -> str:
        return self._names[token_id]

    def offsets(self, ids: Sequence[int], start: int = 0) -> list[int]:
        """The offset in characters at which each token's text begins, if the first begins at `start`."""
        offsets = []
        for token_id in ids:
            offsets.append(start)
            start += self._lengths[token_id]
        return offsets


def _name(tokenizer: BaseTokenizer, token_id: int) -> str:
    if token_id == END_OF_DOCUMENT:
        return END_NAME
    if token_id < FIRST_CHARACTER:
        byte = token_id - FIRST_BYTE
        return chr(byte) if byte < 0x80 else f"bytes:\\x{byte:02x}"
    return tokenizer.token(token_id)
