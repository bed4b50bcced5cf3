"""`python tests/fuzz SECONDS [TARGET...]`: each target for so many seconds of the processor.

The exit code is 1 where something was found.
`arrays` gives the kernels arrays that do not fit, by the property tests of `tests/kernels/test_gateway.py`; with
OSTINATO_LIBRARY and the sanitizers preloaded (see `make sanitize`) it sees every access out of bounds.
"""

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import texts
from kit import Report, fuzz

import models


def targets(folder: Path) -> dict[str, Callable[[], tuple[object, object]]]:
    """What can be fuzzed, by name: a function that makes (make, read)."""

    def saved() -> tuple[object, object]:
        found = models.Models()
        return found.make, found.read

    return {
        "bundle": saved,
        "tensors": lambda: models.tensors(folder),
        "tokenizer": models.tokenizers,
        "recipe": lambda: texts.recipes(folder),
        "form": texts.forms,
        "records": lambda: texts.records(folder),
        "arpa": lambda: texts.arpa(folder),
        "zip": lambda: texts.zips(folder),
        "encodings": lambda: texts.encodings(folder),
    }


def run(name: str, *, seconds: float = 0.0, cases: int = 0, seed: int = 0) -> Report:
    """Fuzz one target."""
    with tempfile.TemporaryDirectory(prefix="ostinato-fuzz-") as folder:
        make, read = targets(Path(folder))[name]()
        return fuzz(name, make, read, seconds=seconds, cases=cases, seed=seed)  # type: ignore[arg-type]


def arrays(seconds: float) -> int:
    """Rounds of the property tests, each with other examples, until the time is up; their exit code."""
    import pytest

    test = Path(__file__).parents[1] / "kernels" / "test_gateway.py"
    os.environ.setdefault("OSTINATO_EXAMPLES", "500")
    deadline, rounds, code = time.process_time() + seconds, 0, 0
    first = 1000 * int(os.environ.get("FUZZ_SEED", "0"))
    while not code and time.process_time() < deadline:
        rounds += 1
        code = pytest.main(["-q", "-x", "-k", "any_ or property", f"--hypothesis-seed={first + rounds}", str(test)])
    print(
        f"arrays: {rounds} rounds of {os.environ['OSTINATO_EXAMPLES']} examples per property, exit code {code}",
        flush=True,
    )
    return int(code)


def main(arguments: list[str]) -> int:
    """Fuzz what was named, or everything."""
    if not arguments:
        print(__doc__)
        return 2
    seconds, code = float(arguments[0]), 0
    for name in arguments[1:] or [*targets(Path()), "arrays"]:
        if name == "arrays":
            code = max(code, arrays(seconds))
            continue
        report = run(name, seconds=seconds, seed=int(os.environ.get("FUZZ_SEED", "0")))
        print(report, flush=True)
        for path in report.findings:
            print(f"  {path}: {path.with_suffix('.txt').read_text('utf-8').strip().splitlines()[-1][:200]}", flush=True)
        code = max(code, bool(report.findings))
    return code
