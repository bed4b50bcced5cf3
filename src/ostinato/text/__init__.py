"""Texts in: reading files, cutting them into documents and tokens, and dividing them for training and evaluation."""

from ostinato.text.corpus import Corpus, Split, open_corpus, prepare
from ostinato.text.documents import Piece, cut_documents, resolve_documents
from ostinato.text.encodings import detect
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
    "cut_documents",
    "default_min_count",
    "detect",
    "from_json",
    "open_corpus",
    "prepare",
    "read_texts",
    "resolve_documents",
]
