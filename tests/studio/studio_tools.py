"""Where the small models are."""

from pathlib import Path

OLD = Path(__file__).parents[1] / "old"
