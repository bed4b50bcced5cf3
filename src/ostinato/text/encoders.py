"""Several processes that encode pieces of a large text side by side; the ids come back in order.

Each is a Python of its own that knows nothing but the tokenizer, so it makes no difference what the program around has
loaded, started or locked. A message is its length (8 bytes, little-endian) and its bytes.
"""

import contextlib
import json
import os
import queue
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import BinaryIO, cast

import numpy as np

from ostinato.processors import processors
from ostinato.protocols import Ids
from ostinato.text.tokenizers import BaseTokenizer, from_json

LARGE = 1 << 26
"""Characters from which on several processes encode: starting them takes a second or two."""
MOST = 8
"""They get their pieces from one process, which has to read and cut the text: more would wait for it."""
_PROGRAM = "from ostinato.text.encoders import work; work()"


def encode_pieces(tokenizer: BaseTokenizer, texts: Sequence[str], documents: bool) -> Ids:
    """The ids of whole documents, each with its END_OF_DOCUMENT, or of one piece of a long one. Raises TextError."""
    return tokenizer.encode_documents(texts) if documents else tokenizer.encode(texts[0])


def processes_for(characters: int, tokenizer: BaseTokenizer) -> int:
    """How many processes encode a text of so many characters; 1: this one alone, which is also quicker where tokens are
    looked up character by character, a hundred million and more per second."""
    if not tokenizer.words:
        return 1
    return min(processors(), MOST) if characters >= LARGE else 1


class Encoders:
    """`count` processes with one tokenizer. What one of them cannot do, this process does itself."""

    def __init__(self, tokenizer: BaseTokenizer, count: int) -> None:
        self._tokenizer = tokenizer
        self._described = json.dumps(tokenizer.to_json()).encode()
        self._workers: list[subprocess.Popen[bytes]] = []
        self._idle: queue.SimpleQueue[subprocess.Popen[bytes] | None] = queue.SimpleQueue()
        for _ in range(count):
            self._idle.put(self._start())
        self._threads = ThreadPoolExecutor(count, "encoding")

    def submit(self, texts: Sequence[str], documents: bool) -> "Future[Ids]":
        """`encode_pieces`, some time."""
        return self._threads.submit(self._encode, list(texts), documents)

    def __enter__(self) -> "Encoders":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        if kind is not None:
            for worker in self._workers:
                worker.kill()
        self._threads.shutdown(cancel_futures=True)
        for worker in self._workers:
            for pipe in _pipes(worker):
                with contextlib.suppress(OSError):
                    pipe.close()  # it ends with its input
            worker.wait()

    def _start(self) -> subprocess.Popen[bytes] | None:
        try:
            worker = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                start_new_session=True,  # Ctrl-C is for this process
            )  # fmt: skip
        except OSError:
            return None
        self._workers.append(worker)
        with contextlib.suppress(OSError):
            _send(_pipes(worker)[0], self._described)
        return worker

    def _encode(self, texts: list[str], documents: bool) -> Ids:
        worker = self._idle.get()
        try:
            if worker is not None:
                to_it, from_it = _pipes(worker)
                _send(to_it, json.dumps([documents, texts], ensure_ascii=False).encode("utf-8", "surrogatepass"))
                answer = _receive(from_it)
                if answer[:1] == b"+":
                    return np.frombuffer(answer, self._tokenizer.dtype, offset=2)
        except (OSError, EOFError):  # it was killed
            worker = None
        finally:
            self._idle.put(worker)
        return encode_pieces(self._tokenizer, texts, documents)  # and raise what is to be raised


def work() -> None:
    """What such a process does, until its input ends."""
    given, said = sys.stdin.buffer, sys.stdout.buffer
    with contextlib.suppress(EOFError, BrokenPipeError):
        tokenizer = from_json(json.loads(_receive(given)))
        while True:
            documents, texts = json.loads(_receive(given))
            try:
                ids = encode_pieces(tokenizer, texts, documents)
            except Exception:
                _send(said, b"-")
            else:
                _send(said, b"+ " + np.ascontiguousarray(ids).tobytes())


def _pipes(worker: "subprocess.Popen[bytes]") -> tuple[BinaryIO, BinaryIO]:
    """To a process, and from it."""
    return cast(BinaryIO, worker.stdin), cast(BinaryIO, worker.stdout)


def _send(pipe: BinaryIO, message: bytes) -> None:
    pipe.write(len(message).to_bytes(8, "little"))
    pipe.write(message)
    pipe.flush()


def _receive(pipe: BinaryIO) -> bytes:
    return _exactly(pipe, int.from_bytes(_exactly(pipe, 8), "little"))


def _exactly(pipe: BinaryIO, size: int) -> bytes:
    found = pipe.read(size)
    if len(found) < size:
        raise EOFError
    return found
