"""The runs of a sweep, each in a process of its own, several side by side."""

import contextlib
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from ostinato.sweeps.folder import checkpoint_in, read_result, save_result
from ostinato.sweeps.plan import One, Sweep
from ostinato.terminal import note, one_line


@dataclass
class _Going:
    """All runs of a command, and the processes of those that are going on."""

    plan: list[One]
    replaced: Mapping[str, str]
    processes: set["subprocess.Popen[bytes]"] = field(default_factory=set)
    stopped: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)


def make_all(sweep: Sweep, plan: list[One], replaced: Mapping[str, str], *, quiet: bool) -> None:
    """Make the runs that are not made yet. An interruption ends those that are going on, which save their state.

    replaced: the checkpoints that are not gone on from, by the name of the run's folder (`folder.begin`).
    """
    going = _Going(plan, replaced)
    with _shown(going, quiet=quiet), ThreadPoolExecutor(sweep.at_a_time) as pool:
        try:
            made = [pool.submit(_make, going, one, sweep) for one in plan]
            for each in made:
                each.result()
        except BaseException:
            _stop(going)
            raise


def _make(going: _Going, one: One, sweep: Sweep) -> None:
    """Make one run in a process of its own, unless it is there."""
    if (result := read_result(one.folder)) is not None:
        one.result = result
        return
    replaced = going.replaced.get(one.folder.name)
    goes_on = (one.folder / "checkpoint").exists() and checkpoint_in(one.folder) != replaced
    again = ["--resume"] if goes_on else ["--overwrite"] if one.folder.exists() else []
    command = [
        sys.executable, "-m", "ostinato", "train", *sweep.options, *(() if goes_on else sweep.start), *again,
        "-o", str(one.folder), "--seed", str(one.seed), "--threads", str(sweep.threads_each), "--json", "--quiet",
        *(word for text in one.setting.overrides for word in ("--set", text)),
    ]  # fmt: skip
    with tempfile.TemporaryFile() as printed, tempfile.TemporaryFile() as said:
        with going.lock:
            if going.stopped:
                one.error = "interrupted"
                return
            process = subprocess.Popen(
                command, stdout=printed, stderr=said, stdin=subprocess.DEVNULL,
                start_new_session=True,  # a terminal's Ctrl-C is for this process: two signals end a run unsaved
            )  # fmt: skip
            going.processes.add(process)
        code = process.wait()
        with going.lock:
            going.processes.discard(process)
        printed.seek(0)
        said.seek(0)
        if code:
            one.error = _why(said.read().decode("utf-8", "replace"), code)
            return
        result = json.loads(printed.read())
        save_result(one.folder, result)
        one.result = result


def _why(said: str, code: int) -> str:
    """What a run that failed said last, in one line."""
    lines = [line.removeprefix("ostinato: ") for line in said.splitlines() if line.startswith("ostinato")]
    killed = f"its process was killed (signal {-code})" if code < 0 else f"it ended with {code}"
    return one_line(lines[-1]) if lines else killed


def _stop(going: _Going) -> None:
    """End the runs that are going on, and wait until they have saved; another interruption ends them at once."""
    try:
        _terminate(going)
        for process in list(going.processes):
            process.wait()
    except BaseException:
        _terminate(going)
        raise


def _terminate(going: _Going) -> None:
    with going.lock:
        going.stopped = True
        for process in going.processes:
            process.terminate()


@contextlib.contextmanager
def _shown(going: _Going, *, quiet: bool) -> Iterator[None]:
    """Inside, says now and then how many runs are done."""
    over = threading.Event()

    def tell() -> None:
        said, started = -1, time.monotonic()
        while not over.wait(0.5):
            done = sum(one.result is not None or bool(one.error) for one in going.plan)
            if done != said or time.monotonic() - started > 30:
                said, started = done, time.monotonic()
                note(f"{done} of {len(going.plan)} runs done, {len(going.processes)} running")

    teller = threading.Thread(target=tell, daemon=True)
    if not quiet:
        teller.start()
    try:
        yield
    finally:
        over.set()
        if teller.is_alive():
            teller.join()
