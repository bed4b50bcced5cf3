"""Processes side by side, for the soaks."""

import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any


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
