"""The cells by name: those of the package, and those that a user adds, one file each."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, overload

from ostinato.cells.arrays import Array
from ostinato.cells.elman import elman_relu, elman_tanh
from ostinato.cells.gru import gru
from ostinato.cells.lstm import lstm
from ostinato.cells.trial import B, H, fingerprint, trial_steps
from ostinato.cells.weights import CellWeights
from ostinato.errors import UsageError

_NAME, _VECTOR, _MOST = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*"), re.compile(r"[a-z][a-z0-9_]*"), 16


class Step(Protocol):
    """One time step: input (B, I) and the state's parts, (B, H) each, to the new parts; the first is the output.

    x may be integers, (B,), for one-hot rows. The cell's `vectors` follow the weights, (H,) each.
    """

    def __call__(
        self, x: Array, state: tuple[Array, ...], weights: CellWeights, *vectors: Array
    ) -> tuple[Array, ...]: ...


@dataclass(frozen=True)
class Cell:
    """A cell's name in settings, the number G of its gates, its state's parts in order, and its step.

    vectors: names of parameters of size H that it has beside `CellWeights`. Raises UsageError for values that do not
    fit.
    """

    name: str
    gates: int
    parts: tuple[str, ...]
    step: Step
    vectors: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name) or len(self.name) > 40:
            raise UsageError(f"a cell's name must be small letters, digits and dashes, got {self.name!r:.60}")
        if type(self.gates) is not int or not 1 <= self.gates <= _MOST:
            raise UsageError(f"cell {self.name}: gates must be 1 to {_MOST}, got {self.gates!r:.60}")
        for what, names, fewest in (("parts", self.parts, 1), ("vectors", self.vectors, 0)):
            named = isinstance(names, tuple) and all(isinstance(n, str) and _VECTOR.fullmatch(n) for n in names)
            if not named or not fewest <= len(set(names)) == len(names) <= _MOST:
                raise UsageError(f"cell {self.name}: {what} must be a tuple of different names, got {names!r:.60}")
        if any(name.startswith(("weight", "bias")) for name in self.vectors):
            raise UsageError(f"cell {self.name}: vectors cannot be called weight or bias, which every cell has")


BUILT_IN = ("rnn", "rnn-relu", "gru", "lstm")
"""The package's own cells; their names cannot be given to others."""

_cells = {
    cell.name: cell
    for cell in (
        Cell("rnn", 1, ("h",), elman_tanh),
        Cell("rnn-relu", 1, ("h",), elman_relu),
        Cell("gru", 3, ("h",), gru),
        Cell("lstm", 4, ("h", "c"), lstm),
    )
}
CELLS: Mapping[str, Cell] = MappingProxyType(_cells)
"""Every cell by its name in settings."""


class _Names(Sequence[str]):
    """The names of all cells there are now, in the order they came."""

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...
    def __getitem__(self, index: int | slice) -> str | tuple[str, ...]:
        return tuple(_cells)[index]

    def __len__(self) -> int:
        return len(_cells)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(_cells) == tuple(other)

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return repr(tuple(_cells))


NAMES: Sequence[str] = _Names()
"""A live view: also of cells that are registered later."""

_files: dict[str, tuple[str, str]] = {}
"""The files that cells were loaded from, by the names of the cells: a file's name, and the SHA-256 of what it held."""
_loaded: set[tuple[Path, str]] = set()
"""The files that were loaded, with a digest of what they held."""


def register(cell: Cell) -> Cell:
    """Make `cell` known by its name: to `model.cell`, and to saved models that name it. Returns it.

    One of the same name is replaced, as when a notebook's cell is run again. Raises UsageError for a name of the
    package's own, and for a step that does not return its parts for NumPy arrays.
    """
    if cell.name in BUILT_IN:
        raise UsageError(f"the name {cell.name} is taken by a cell of ostinato: give yours another")
    _try(cell)
    _cells[cell.name] = cell
    _files.pop(cell.name, None)
    return cell


def load_cell_file(path: str | Path) -> list[str]:
    """Run a Python file that registers cells; returns their names. A file that was loaded before is not run again.

    It is code: load only files that you wrote or have read. Saved models and recipes name a cell and never bring it.
    Raises UsageError for a file that cannot be run or registers nothing.
    """
    import importlib.util
    import sys

    file = Path(path)
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UsageError(f"no file of cells at {file}: {error.strerror or error}") from None
    key = file.resolve(), hashlib.sha256(content).hexdigest()
    names = [name for name, known in _files.items() if known == (file.name, key[1])]
    if key in _loaded and names:
        return names
    before = dict(_cells)
    spec = importlib.util.spec_from_loader(f"ostinato_cells_{file.stem}", loader=None)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    module.__file__ = str(file)
    sys.modules[spec.name] = module  # where dataclasses and pickle look for what the file defines
    try:
        exec(compile(content, str(file), "exec"), vars(module))
    except UsageError as error:
        raise UsageError(f"{file}: {error}") from None
    except Exception as error:
        raise UsageError(f"{file}{_line(error, file)}: {type(error).__name__}: {error}") from None
    names = [name for name, cell in _cells.items() if before.get(name) is not cell]
    if not names:
        raise UsageError(f"{file} registers no cell: it must call ostinato.cells.register(Cell(...))")
    _files.update(dict.fromkeys(names, (file.name, key[1])))
    _loaded.add(key)
    return names


def cell_file(name: str) -> str | None:
    """The name (no path) of the file that the cell was loaded from; None for the package's own and for a notebook's."""
    file = _files.get(name)
    return None if file is None else file[0]


def describe_cell(name: str) -> dict[str, Any]:
    """By which a run that goes on knows its cell, as JSON: `fingerprint`, and the file that it was loaded from with the
    SHA-256 of what that held (None for the package's own and for a notebook's). `same_cell` compares two of them."""
    file, digest = _files.get(name, (None, None))
    return {"file": file, "sha256": digest, "fingerprint": fingerprint(_cells[name])}


def _try(cell: Cell) -> None:
    """One step of NumPy arrays, with vectors and with one-hot input. Raises UsageError."""
    import numpy as np

    try:
        tried = [(new, [np.shape(part) for part in new]) for new in trial_steps(cell)]
    except Exception as error:
        raise UsageError(f"cell {cell.name}: its step fails: {type(error).__name__}: {error}") from None
    for new, shapes in tried:
        if not isinstance(new, tuple) or shapes != [(B, H)] * len(cell.parts):
            raise UsageError(
                f"cell {cell.name}: its step must return a tuple of {len(cell.parts)} arrays of the shape (rows, "
                f"hidden size), one for each of its parts {', '.join(cell.parts)}; got the shapes {shapes}"
            )


def _line(error: Exception, file: Path) -> str:
    """`, line 7` where the error came from that line of the file."""
    if isinstance(error, SyntaxError):
        return f", line {error.lineno}"
    trace, found = error.__traceback__, None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(file):
            found = trace.tb_lineno
        trace = trace.tb_next
    return "" if found is None else f", line {found}"
