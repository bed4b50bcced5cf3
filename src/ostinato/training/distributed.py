"""A team of processes, over torch.distributed: gloo on CPUs, NCCL on GPUs, started by torch's launcher.

Two ways lead from process to process. Gradients and states go through the process group. What rank 0 alone knows, such
as a recipe, goes through the launcher's store, where others wait for it for as long as rank 0 gives signs of life.
"""

import contextlib
import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from ostinato.errors import FollowedError, LostContactError, UsageError
from ostinato.training.team import Flat, Touched, rows_of, sum_halves

TIMEOUT = "OSTINATO_TIMEOUT"
"""Environment variable: seconds that a process waits for another before it gives up."""
_SECONDS = 300.0
_BEAT, _POLL, _LINGER = 2.0, 0.02, 1.5
_PATIENCE = 3.0
"""Seconds for what is not worth waiting for: torch's store has no time-out on a cut link."""


class Processes:
    """The processes of torch's launcher as a `Team`. Raises LostContactError from any call where one is gone."""

    compression = "none"

    def __init__(self, seconds: float | None = None) -> None:
        self.seconds = wait_seconds() if seconds is None else seconds
        with self._contact(met=False):
            wait = timedelta(seconds=self.seconds)
            if dist.is_initialized():  # by a script of the user's
                store = dist.distributed_c10d._get_default_store()
                self.rank, self.size = dist.get_rank(), dist.get_world_size()
            else:
                store, self.rank, self.size = next(rendezvous("env://", timeout=wait))
            name = _within(self.seconds + _PATIENCE, lambda: _new_round(store, self.rank, self.size, self.seconds))
            if name is None:
                raise RuntimeError("timed out")
            ours: Any = PrefixStore(name, store)
            if not dist.is_initialized():
                # on GPUs NCCL sums tensors, gloo what lies in main memory
                backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
                dist.init_process_group(backend, store=ours.clone(), rank=self.rank, world_size=self.size, timeout=wait)
            self._store, self._beating = ours, ours.clone()
        self._flat, self._shared, self._over = Flat(), 0, threading.Event()
        self._life = threading.Thread(target=self._beat, daemon=True)
        if self.rank == 0:
            self._life.start()

    def reduce(self, parameters: Sequence[torch.Tensor], loss: float, touched: Touched) -> float:
        """One sum over one buffer with all gradients; in half precision where so set."""
        flat = self._flat.pack(parameters, loss, touched)
        with self._contact():
            if self.compression == "fp16":
                sum_halves(flat, self.size, dist.all_reduce, lambda one: dist.all_reduce(one, op=dist.ReduceOp.MAX))
            else:
                dist.all_reduce(flat)
        return self._flat.unpack(parameters, flat, touched)

    def agree(self, seconds: float, interrupted: bool) -> tuple[float, bool]:
        """Two numbers of rank 0 and of all."""
        found = self.sums([seconds if self.rank == 0 else 0.0, float(interrupted)])
        return found[0], found[1] > 0

    def sums(self, values: Sequence[float]) -> list[float]:
        """Through gloo, which is quicker for a few numbers."""
        given = torch.tensor(list(values), dtype=torch.float64)
        with self._contact():
            dist.all_reduce(given)
        found: list[float] = given.tolist()
        return found

    def copy(self, tensors: Sequence[torch.Tensor]) -> None:
        """One after the other."""
        with self._contact():
            for tensor in tensors:
                whole = tensor.contiguous()
                dist.broadcast(whole, src=0)
                if whole is not tensor:
                    tensor.copy_(whole)

    def mean(self, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """One sum over one buffer."""
        if not tensors:
            return []
        flat = torch.cat([t.detach().float().flatten() for t in tensors])
        with self._contact():
            dist.all_reduce(flat)
        pieces = torch.split(flat / self.size, [t.numel() for t in tensors])
        return [piece.view_as(t).to(t.dtype) for piece, t in zip(pieces, tensors, strict=True)]

    def gather(self, state: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        """As the sum of arrays that are zero but in this member's rows: members may have unequal numbers of them."""
        whole = int(self.sums([state[0].shape[1]])[0])
        rows = rows_of(self, whole)
        found = []
        with self._contact():
            for part in state:
                every = part.new_zeros(part.shape[0], whole, *part.shape[2:])
                every[:, rows] = part
                dist.all_reduce(every)
                found.append(every)
        return tuple(found)

    def share(self, value: Any) -> Any:
        """Through the store. Raises FollowedError where rank 0 has failed."""
        key, self._shared = f"ostinato/shared/{self._shared}", self._shared + 1
        with self._contact():
            if self.rank == 0:
                self._store.set(key, json.dumps(value))
                return value
            self._await(key)
            return json.loads(self._store.get(key))

    def failed(self, error: BaseException) -> None:
        """Tell the others that this one has failed, for a reason of its own that it says."""
        if not isinstance(error, LostContactError | FollowedError):
            _within(_PATIENCE, lambda: self._store.set("ostinato/failed", str(self.rank)))
            if self.rank == 0 and not os.environ.get("TORCHELASTIC_USE_AGENT_STORE"):
                time.sleep(_LINGER)  # the store ends with this process

    def close(self, *, wait: bool) -> None:
        """This process needs the others no more; `wait` until nobody needs it."""
        if wait:
            with self._contact():
                dist.barrier()
        self._over.set()
        if self._life.ident is not None:
            self._life.join(_PATIENCE)  # one that comes back from torch's store while the interpreter ends is fatal
        _within(_PATIENCE, dist.destroy_process_group)

    def _beat(self) -> None:
        """Give signs of life, until the process ends."""
        count = 0
        while True:
            count += 1
            with contextlib.suppress(Exception):
                self._beating.set("ostinato/beat", str(count))
            if self._over.wait(_BEAT):
                return

    def _await(self, key: str) -> None:
        """Wait until rank 0 has said `key`, for as long as it gives signs of life."""
        heard, found = [time.monotonic()], [False]

        def listen() -> None:
            last, pause = b"", _POLL
            while not self._store.check([key]):
                if self._store.check(["ostinato/failed"]):
                    return
                if self._store.check(["ostinato/beat"]) and (beat := self._store.get("ostinato/beat")) != last:
                    last, heard[0] = beat, time.monotonic()
                time.sleep(pause)
                pause = min(2 * pause, 0.5)
            found[0] = True

        listener = _started(listen)  # on a cut link the store never answers
        while listener.is_alive():
            if time.monotonic() - heard[0] > self.seconds:
                raise RuntimeError("no sign of life")
            listener.join(_POLL)
        if not found[0]:
            if self._another_failed():
                raise FollowedError
            raise RuntimeError("the store was closed by another process")

    @contextlib.contextmanager
    def _contact(self, *, met: bool = True) -> Iterator[None]:
        """Inside, talk to the others. Raises LostContactError, or FollowedError where one has said why it failed."""
        try:
            yield
        except (RuntimeError, ValueError) as error:  # torch's errors are of these classes
            if met and self._another_failed():
                raise FollowedError from None
            raise self._lost(error, met=met) from None

    def _another_failed(self) -> bool:
        """Whether another process has said that it failed; one that is ending has half a second for it."""

        def said() -> bool:
            for _ in range(10):
                if self._store.check(["ostinato/failed"]):
                    return True
                time.sleep(0.05)
            return False

        return bool(_within(_PATIENCE, said))

    def _lost(self, error: Exception, *, met: bool) -> LostContactError:
        who = f"process {os.environ.get('RANK', '0')} of {os.environ.get('WORLD_SIZE', '1')}"
        why = _meaning(" ".join(str(error).split()).rstrip("."), self.seconds)
        if not met:
            return LostContactError(
                f"{who} could not meet the others: {why}; check that --master-addr is an address of the first machine "
                "that all machines reach, and set GLOO_SOCKET_IFNAME to the network interface that has it"
            )
        return LostContactError(
            f"{who}: {why}; the run goes on from its last checkpoint with --resume and any number of processes"
        )


def _started(call: Callable[[], Any]) -> threading.Thread:
    """A thread that runs `call`, whatever it raises, and does not keep the process."""

    def run() -> None:
        with contextlib.suppress(Exception):
            call()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def _within(seconds: float, call: Callable[[], Any]) -> Any:
    """What `call` returns; None where it fails or takes longer."""
    found: list[Any] = []
    _started(lambda: found.append(call())).join(seconds)
    return found[0] if found else None


def _meaning(message: str, seconds: float) -> str:
    """What torch's message says to a user."""
    if any(sign in message for sign in ("imed out", "imeout", "sign of life")):
        return f"another process gave no answer within {seconds:g} seconds ({TIMEOUT} sets how many)"
    if any(
        sign in message for sign in ("losed by", "onnection reset", "roken pipe", "onnection refused", "got 0 bytes")
    ):
        return "another process has ended"
    return message[:160]


def _new_round(store: Any, rank: int, size: int, seconds: float) -> str:
    """A name that all processes of this attempt agree on, and that no earlier one had.

    A launcher's store may outlive the processes that it restarts, with all that they wrote. So each process says a new
    word, and the first one repeats the words of all with the name, until every one has answered with the name.
    """
    deadline, name, own = time.monotonic() + seconds, uuid.uuid4().hex, uuid.uuid4().hex

    def read(key: str) -> str:
        return store.get(key).decode() if store.check([key]) else ""

    if rank:
        store.set(f"ostinato/word/{rank}", own)
    words = [""] * size
    while True:
        if rank:
            repeated = json.loads(read("ostinato/round") or "[]")
            if len(repeated) == size and repeated[rank] == own:
                store.set(f"ostinato/answer/{rank}", repeated[0])
                return str(repeated[0])
        else:
            heard = [name, *(read(f"ostinato/word/{other}") for other in range(1, size))]
            if heard != words:
                words = heard
                store.set("ostinato/round", json.dumps(words))
            if all(read(f"ostinato/answer/{other}") == name for other in range(1, size)):
                return name
        if time.monotonic() > deadline:
            raise RuntimeError("timed out")
        time.sleep(_POLL)


def wait_seconds() -> float:
    """How long to wait for another process: OSTINATO_TIMEOUT, else five minutes. Raises UsageError."""
    text = os.environ.get(TIMEOUT, "").strip()
    try:
        seconds = float(text) if text else _SECONDS
    except ValueError:
        seconds = -1.0
    if not 1 <= seconds <= 86400:
        raise UsageError(f"{TIMEOUT} must be a number of seconds from 1 to 86400, got {text!r}")
    return seconds


@contextlib.contextmanager
def together() -> Iterator[Processes]:
    """Inside, the team of the processes that the launcher started; `runs.joining` asks whether there are any."""
    team = Processes()
    try:
        yield team
    except BaseException as error:
        team.failed(error)
        team.close(wait=False)
        raise
    team.close(wait=True)
