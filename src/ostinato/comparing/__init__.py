"""A whole comparison: n-grams, networks and their mixture, measured on one held-out text of one tokenizer."""

from ostinato.comparing.picture import draw
from ostinato.comparing.plan import Plan
from ostinato.comparing.run import compare
from ostinato.comparing.table import save_table

__all__ = ["Plan", "compare", "draw", "save_table"]
