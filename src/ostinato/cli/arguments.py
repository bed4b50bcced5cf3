"""Reading the command line: positional arguments may stand before, between and after options, and after `--`."""

import argparse
import itertools
import math
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from ostinato.errors import UsageError, did_you_mean
from ostinato.terminal import note, one_line, say

_LARGEST = 2**63 - 1
_MOST = {
    "minutes": 10_000_000, "epochs": 1_000_000_000, "steps": 2**31 - 1, "lines": 10_000_000, "tokens": 2**31 - 1,
    "count": 10_000, "candidates": 1000, "hidden": 65_536, "vocabulary": 10_000_000, "rounds": 100_000,
}  # fmt: skip
"""Larger numbers are taken for typing errors."""
_NUMBER = re.compile(r"-\d+$|-\d*\.\d+$")


class Parser(argparse.ArgumentParser):
    """Prints through `terminal`; reports an error in one line, with the name that was probably meant."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.words: dict[str, str] = {}
        """`--option=word` of options that otherwise take nothing, and the options that they stand for."""
        self.color = False  # Python 3.14 colours help; the escape sequences would be made visible

    def _print_message(self, message: str, file: Any = None) -> None:
        import sys

        (note if file is sys.stderr else say)(message, end="")

    def error(self, message: str) -> NoReturn:
        """One line on standard error, exit code 2."""
        self.exit(2, f"{one_line(f'ostinato: {message} ({self.prog} --help shows how)')}\n")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            if meant := did_you_mean(str(value), map(str, action.choices or ())):
                raise argparse.ArgumentError(action, f"invalid choice: {value!r}{meant}") from None
            raise error

    def _get_value(self, action: argparse.Action, text: str) -> Any:
        try:
            return super()._get_value(action, text)
        except argparse.ArgumentError as error:
            if action.type not in (int, float):
                raise error
            kind = "a whole number" if action.type is int else "a number"
            raise argparse.ArgumentError(action, f"must be {kind}, got {text!r}") from None

    def parse_mixed(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parse the arguments of one command; everything after `--` is positional."""
        given = list(arguments)
        cut = given.index("--") if "--" in given else len(given)
        given, rest = self._with_words(given[:cut]), given[cut + 1 :]
        if "-h" in given or "--help" in given:
            self.print_help()
            self.exit()
        known, actions = argparse.Namespace(), self._actions
        self._actions = [action for action in actions if action.option_strings]
        try:
            known, others = self.parse_known_args(given, known)
        finally:
            self._actions = actions
        for other in others:
            if other.startswith("-") and other != "-" and " " not in other and not _NUMBER.match(other):
                options = (option for action in actions for option in action.option_strings)
                self.error(f"unknown option {other}{did_you_mean(other.partition('=')[0], options)}")
        positionals = self._joined([*others, *rest])
        prompts = any(action.dest == "prompt" for action in actions)
        if "" in (positionals[:1] if prompts else positionals):
            self.error("an argument is empty: name a file or a folder")
        if any(empty == "" and option in ("-o", "--out") for option, empty in itertools.pairwise(given)):
            self.error("-o is empty: name a folder, or leave it out")
        required = [action for action in actions if action.option_strings and action.required]
        for action in required:  # the first parse has checked that they were given
            action.required = False
        try:
            args, left = self.parse_known_args(["--", *positionals] if positionals else [], known)
        finally:
            for action in required:
                action.required = True
        if left := [argument for argument in left if argument != "--"]:
            self.error(f"too many arguments: {' '.join(left)}")
        return args

    def _with_words(self, given: list[str]) -> list[str]:
        """`--option word` as the option that it stands for, see `words`."""
        joined: list[str] = []
        for argument in given:
            before = joined[-1] if joined else ""
            if (both := f"{before}={argument}") in self.words:
                joined[-1] = self.words[both]
            else:
                joined.append(self.words.get(argument, argument))
        return joined

    def _joined(self, positionals: list[str]) -> list[str]:
        """The positional arguments, with an unquoted prompt of several words joined into one."""
        places = [action.dest for action in self._actions if not action.option_strings]
        if "prompt" not in places or len(positionals) <= len(places):
            return positionals
        before = len(places) - 1
        return [*positionals[:before], " ".join(positionals[before:])]

    def check_numbers(self, args: argparse.Namespace) -> None:
        """Refuse numbers out of range. Raises UsageError, which names the range."""
        for action in self._actions:
            value = getattr(args, action.dest, None)
            if action.type not in (int, float) or not isinstance(value, int | float):
                continue
            if not math.isfinite(value):
                raise UsageError(f"{action.option_strings[0]} must be a finite number, got {value}")
            if abs(value) > (most := _MOST.get(action.dest, _LARGEST)):
                raise UsageError(f"{action.option_strings[0]} must be at most {most:,}, got {value:g}")
