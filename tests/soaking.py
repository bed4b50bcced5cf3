"""Processes side by side, for the soaks."""

import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ostinato.runs.folder_names import MARKS


def left_over(folder: Path) -> list[str]:
    """Hidden files below `folder` that no run in progress needs and no ended one keeps, by name."""
    return sorted(path.name for path in folder.rglob(".*") if path.name not in MARKS)


def side_by_side(work: Callable[..., None], calls: Iterable[tuple[Any, ...]]) -> Counter[str]:
    """Run `work(*call, results)` in a process per call; each puts a Counter into `results`. Returns their sum."""
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    processes = [context.Process(target=work, args=(*call, results)) for call in calls]
    for process in processes:
        process.start()
    total: Counter[str] = Counter()
    for _ in processes:
        total += results.get()
    for process in processes:
        process.join()
    return total
