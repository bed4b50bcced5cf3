"""The one way to the terminal: what a command says goes through here, and nothing else prints."""

from ostinato.terminal.activity import activity, showing
from ostinato.terminal.streams import (
    draw,
    erase,
    finish,
    in_notebook,
    is_live,
    is_terminal,
    note,
    prepare_streams,
    say,
    say_json,
)
from ostinato.terminal.visible import one_line, quoted, shorten, visible

__all__ = [
    "activity",
    "draw",
    "erase",
    "finish",
    "in_notebook",
    "is_live",
    "is_terminal",
    "note",
    "one_line",
    "prepare_streams",
    "quoted",
    "say",
    "say_json",
    "shorten",
    "showing",
    "visible",
]
