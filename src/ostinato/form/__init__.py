"""Writing in form: rhyme, lines, acrostics, blanks. Planning and search over a `StepModel`.

Names are loaded when they are first used.
"""

from typing import TYPE_CHECKING

from ostinato.lazy import lazily

if TYPE_CHECKING:
    from ostinato.form.composing import Composed, compose, stream
    from ostinato.form.form import Form
    from ostinato.form.proposing import Proposer, next_lines

__all__ = ["Composed", "Form", "Proposer", "compose", "next_lines", "stream"]

__getattr__ = lazily(
    __name__,
    {
        "Composed": "ostinato.form.composing",
        "compose": "ostinato.form.composing",
        "stream": "ostinato.form.composing",
        "Form": "ostinato.form.form",
        "Proposer": "ostinato.form.proposing",
        "next_lines": "ostinato.form.proposing",
    },
)
