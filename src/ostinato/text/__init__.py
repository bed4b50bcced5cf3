"""Texts in: reading files, cutting them into documents and tokens, and dividing them for training and evaluation.

Names are loaded when they are first used: reading a tokenizer or writing freely needs few of them.
"""

from typing import TYPE_CHECKING

from ostinato.lazy import lazily

if TYPE_CHECKING:
    from ostinato.encodings import detect
    from ostinato.text.corpus import Corpus, Split, corpus_of, open_corpus, prepare
    from ostinato.text.documents import Piece, cut_documents, resolve_documents
    from ostinato.text.sources import CORPORA, Source, Texts, read_texts
    from ostinato.text.tokenizers import BaseTokenizer, build, default_min_count, from_json
    from ostinato.text.utf8 import FIRST_BYTE, FIRST_CHARACTER, TextStream, Utf8State

__all__ = [
    "CORPORA",
    "FIRST_BYTE",
    "FIRST_CHARACTER",
    "BaseTokenizer",
    "Corpus",
    "Piece",
    "Source",
    "Split",
    "TextStream",
    "Texts",
    "Utf8State",
    "build",
    "corpus_of",
    "cut_documents",
    "default_min_count",
    "detect",
    "from_json",
    "open_corpus",
    "prepare",
    "read_texts",
    "resolve_documents",
]

__getattr__ = lazily(
    __name__,
    {
        "Corpus": "ostinato.text.corpus",
        "Split": "ostinato.text.corpus",
        "corpus_of": "ostinato.text.corpus",
        "open_corpus": "ostinato.text.corpus",
        "prepare": "ostinato.text.corpus",
        "Piece": "ostinato.text.documents",
        "cut_documents": "ostinato.text.documents",
        "resolve_documents": "ostinato.text.documents",
        "detect": "ostinato.encodings",
        "CORPORA": "ostinato.text.sources",
        "Source": "ostinato.text.sources",
        "Texts": "ostinato.text.sources",
        "read_texts": "ostinato.text.sources",
        "BaseTokenizer": "ostinato.text.tokenizers",
        "build": "ostinato.text.tokenizers",
        "default_min_count": "ostinato.text.tokenizers",
        "from_json": "ostinato.text.tokenizers",
        "FIRST_BYTE": "ostinato.text.utf8",
        "FIRST_CHARACTER": "ostinato.text.utf8",
        "TextStream": "ostinato.text.utf8",
        "Utf8State": "ostinato.text.utf8",
    },
)
