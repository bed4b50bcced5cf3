"""What every fuzzer shares: how bytes and JSON are spoilt, what counts as a finding, and how long to go on.

A case either works or raises an `OstinatoError` of one bounded line. Anything else, and anything that takes more than
`SLOWEST` seconds of the processor, whoever else keeps it busy, is a finding: the bytes are kept in `build/fuzz/`, with
the traceback.
"""

import copy
import hashlib
import json
import random
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ostinato.errors import OstinatoError

SLOWEST = 10.0
FINDINGS = Path("build/fuzz")
ODD_BYTES = (
    b"\0", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"\r\n", b"\r", b"\n\n\n", b"\t", b'"', b"{", b"[" * 60, b"\x1b[31m",
    b"\x80\x80", b"\xed\xa0\x80", b"1e999", b"-1", b"9" * 40, b"NaN", b"null", b"\\u0000", b"\\ud800", b"%", b"\\",
)  # fmt: skip
ODD_VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    3,
    2**31,
    2**63,
    2**70,
    1.5,
    1e300,
    "",
    "x",
    "\0",
    "é" * 50,
    [],
    [0],
    {},
    {"a": 1},
)
Case = Callable[[random.Random], bytes]


def spoil(data: bytes, chance: random.Random) -> bytes:
    """`data` with one to four changes: bytes turned, cut out, put in, doubled, exchanged, or the end gone."""
    out = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(out) + 1)
        end = min(len(out), at + chance.choice((1, 1, 2, 4, 16, 200)))
        kind = chance.randrange(7)
        if kind == 0 and out:
            out[min(at, len(out) - 1)] ^= 1 << chance.randrange(8)
        elif kind == 1:
            del out[at:end]
        elif kind == 2:
            out[at:at] = chance.choice(ODD_BYTES)
        elif kind == 3:
            out[at:at] = out[at:end] * chance.choice((1, 2, 50))
        elif kind == 4:
            out[at:end] = chance.randbytes(end - at)
        elif kind == 5:
            other = chance.randrange(len(out) + 1)
            out[at:end] = out[other : other + end - at]
        elif chance.random() < 0.2:
            del out[at:]
    return bytes(out)


def spoil_json(value: Any, chance: random.Random) -> Any:
    """A copy of a JSON value with one to three places changed, taken away or put in."""
    value = copy.deepcopy(value)
    for _ in range(chance.randint(1, 3)):
        place = value
        while isinstance(place, dict | list) and place:
            key = chance.choice(list(place)) if isinstance(place, dict) else chance.randrange(len(place))
            child = place[key]
            if isinstance(child, dict | list) and child and chance.random() < 0.8:
                place = child
                continue
            kind = chance.randrange(4)
            if kind == 0:
                del place[key]
            elif kind == 1 and isinstance(child, int | float) and not isinstance(child, bool):
                place[key] = child + chance.choice((-1, 1, -child, child, 0.5))
            elif kind == 2 and isinstance(child, str):
                place[key] = spoil(child.encode(), chance).decode("utf-8", "replace")
            else:
                place[key] = copy.deepcopy(chance.choice(ODD_VALUES))
            break
    return value


def spoilt_document(data: bytes, chance: random.Random) -> bytes:
    """A JSON document, spoilt as a value or as bytes."""
    if chance.random() < 0.7:
        return json.dumps(spoil_json(json.loads(data), chance)).encode()
    return spoil(data, chance)


@dataclass
class Report:
    """How many cases worked and were refused, and the findings."""

    target: str
    worked: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    findings: list[Path] = field(default_factory=list)

    def __str__(self) -> str:
        refused = ", ".join(f"{count:,} {name}" for name, count in self.refused.most_common())
        return f"{self.target}: {self.worked:,} read, {refused or 'none'} refused, {len(self.findings)} findings"


def fuzz(
    target: str,
    make: Case,
    read: Callable[[bytes], object],
    *,
    seconds: float = 0.0,
    cases: int = 0,
    seed: int = 0,
) -> Report:
    """Give `read` what `make` makes, for so many seconds of the processor or cases; at most ten findings."""
    report, deadline, number = Report(target), time.process_time() + seconds, 0
    while (number < cases or time.process_time() < deadline) and len(report.findings) < 10:
        data = make(random.Random(f"{target} {seed} {number}"))
        number += 1
        started = time.process_time()
        try:
            read(data)
            report.worked += 1
        except OstinatoError as error:
            report.refused[type(error).__name__] += 1
            if len(str(error)) > 6000 or not str(error).strip():
                report.findings.append(_keep(target, data, f"a message of {len(str(error))} characters"))
        except Exception:
            report.findings.append(_keep(target, data, traceback.format_exc()))
        if (took := time.process_time() - started) > SLOWEST:
            report.findings.append(_keep(target, data, f"took {took:.1f} s of the processor"))
    return report


def _keep(target: str, data: bytes, why: str) -> Path:
    FINDINGS.mkdir(parents=True, exist_ok=True)
    path = FINDINGS / f"{target}-{hashlib.sha256(data).hexdigest()[:12]}"
    path.write_bytes(data)
    path.with_suffix(".txt").write_text(why, "utf-8", "backslashreplace")
    return path
