"""The `.ts` format of the UCR/UEA time series archive: cases of several dimensions, with a class.

@dimensions 2
@classLabel true up down
@data
1.0,2.0,3.0:0.1,0.2,0.3:up
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from ostinato.errors import TextError


def read_ts(
    text: str, name: str, *, answers: bool = True
) -> Iterator[tuple[str, tuple[npt.NDArray[np.float32], str | None]]]:
    """The cases of a file: its place, the values (steps, dimensions), and the class, None where there is none.

    Raises TextError for timestamps, missing values, dimensions of different lengths, and a missing class.
    """
    settings: dict[str, str] = {}
    lines = enumerate(text.split("\n"), 1)
    for _, line in lines:
        key, *rest = line.strip().split(None, 1) or [""]
        value = rest[0] if rest else ""
        if key.lower() == "@data":
            break
        if key.startswith("@"):
            settings[key.lower()] = value.strip().lower()
    else:
        raise TextError(f"{name} has no line @data: it is not a .ts file")
    if settings.get("@timestamps") == "true":
        raise TextError(f"{name} has timestamps: give values at equal steps, @timeStamps false")
    labelled = settings.get("@classlabel", "false").startswith("true")
    if answers and not labelled:
        raise TextError(f"{name} has no classes: its header must say @classLabel true and name them")
    for number, line in lines:
        if line.strip() and not line.startswith("#"):
            where = f"{name} line {number}"
            *dimensions, last = line.strip().split(":")
            if not labelled:
                dimensions.append(last)
            yield where, (_case(dimensions, where), last if labelled else None)


def _case(dimensions: list[str], where: str) -> npt.NDArray[np.float32]:
    try:
        columns = [[float(value) for value in dimension.split(",")] for dimension in dimensions]
    except ValueError:
        raise TextError(f"{where} has a value that is not a number: fill gaps or leave the case out") from None
    if len({len(column) for column in columns}) != 1:
        raise TextError(f"{where} has dimensions of {', '.join(str(len(c)) for c in columns)} steps: make them equal")
    with np.errstate(over="ignore"):  # what is too large becomes infinite
        case = np.array(columns, np.float32).T
    if not np.isfinite(case).all():
        raise TextError(f"{where} has a value that is not a number, or too large: fill gaps or leave the case out")
    return case
