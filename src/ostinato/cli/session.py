"""Writing together: the model proposes next lines, the writer accepts, changes or refuses them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ostinato.errors import UsageError

Propose = Callable[[list[str], int], list[str]]
"""propose(lines, time): candidates for the line after `lines`, none after the last one. time: how many times it was
called."""

HELP = """\
  N        take candidate N               e N      take candidate N, changed
  =TEXT    write TEXT yourself            -        begin a new stanza
  Enter    ask again                      u        undo
  p        print the text                 s FILE   save it
  q        finish                         ?        this help"""


@dataclass
class Session:
    """The state of one session: the text so far, the candidates for its next line, and all earlier versions.

    `edit` asks the writer to change a line; `show` prints; `save` writes a text to a file. `ends_stanza` says
    whether a blank line follows the lines so far.
    """

    propose: Propose
    edit: Callable[[str], str]
    show: Callable[[str], None]
    save: Callable[[str, str], None]
    ends_stanza: Callable[[list[str]], bool] = lambda lines: False
    lines: list[str] = field(default_factory=list)
    candidates: list[str] = field(default_factory=list)
    _earlier: list[list[str]] = field(default_factory=list)
    _time: int = 0

    @property
    def text(self) -> str:
        """The lines so far, without blank lines at the end."""
        return "\n".join(self.lines).rstrip("\n")

    def begin(self, lines: Iterable[str]) -> None:
        """Add the lines that the text begins with; they cannot be undone."""
        for line in lines:
            self._put(line)

    def ask(self) -> None:
        """Get and show new candidates."""
        self._time += 1
        self.candidates = []  # the old ones are void even if the call below fails
        self.candidates = self.propose(self.lines, self._time)
        listed = "\n".join(f"  {n}  {line}" for n, line in enumerate(self.candidates, 1))
        self.show(listed or "  all lines are written: s FILE saves, u undoes, q finishes")

    def obey(self, command: str) -> bool:
        """Obey one line of input; False if it ends the session. Raises UsageError for an unknown command."""
        command = command.rstrip("\n")
        word, _, rest = command.strip().partition(" ")
        if word == "q":
            return False
        if not word:
            self.ask()
        elif word.isdecimal():
            self._add(self._candidate(word))
        elif word == "e":
            self._add(self.edit(self._candidate(rest.strip())))
        elif command.lstrip().startswith("="):
            self._add(command.lstrip()[1:].strip())
        elif word == "-":
            self._add("")
        elif word == "u":
            if not self._earlier:
                raise UsageError("nothing to undo")
            self.lines = self._earlier.pop()
            self.show(self.text)
            self.ask()
        elif word == "p":
            self.show(self.text)
        elif word == "s" and rest.strip():
            self.save(rest.strip(), self.text + "\n")
            self.show(f"saved as {rest.strip()}")
        elif word == "?":
            self.show(HELP)
        else:
            raise UsageError(f"unknown command {command!r}: ? shows the commands, =TEXT writes a line of your own")
        return True

    def _candidate(self, number: str) -> str:
        if not number.isdecimal() or not 1 <= int(number) <= len(self.candidates):
            allowed = f"give a number from 1 to {len(self.candidates)}" if self.candidates else "there are none now"
            raise UsageError(f"no candidate {number!r}: {allowed}")
        return self.candidates[int(number) - 1]

    def _add(self, line: str) -> None:
        self._earlier.append(list(self.lines))
        self._put(line)
        self.ask()

    def _put(self, line: str) -> None:
        self.lines.append(line)
        if self.ends_stanza(self.lines):
            self.lines.append("")
