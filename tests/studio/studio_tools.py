"""Where the small models are, and waiting for what happens elsewhere."""

import time
from pathlib import Path

OLD = Path(__file__).parents[1] / "old"


def until(condition, seconds=120):
    """What `condition` gives as soon as that is true."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)
    return found
