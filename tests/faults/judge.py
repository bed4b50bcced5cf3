"""One command with faults at its operations: what it must leave, and what it must say."""

import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from commands import Command, copy, digests, write_texts
from machine import KILL, Ended, Fault, run

from ostinato.runs.folder_names import MARKS

NOTHING = Fault()


@dataclass
class Report:
    """How many cases there were, how they ended, and what was found."""

    name: str
    operations: int = 0
    cases: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        ended = ", ".join(f"{count:,} {how}" for how, count in self.ended.most_common())
        counts = f"{self.operations:,} operations, {self.cases:,} cases ({ended})"
        return f"{self.name}: {counts}, {len(self.findings)} findings"


class Trial:
    """A command in a folder of its own, with what it does when nothing fails.

    `states[k]` are the products' digests before operation k + 1.
    """

    def __init__(self, command: Command, folder: Path) -> None:
        self.command, self.folder = command, folder
        self.template, self.work = folder / "template", folder / "work"
        self.report = Report(command.name)
        folder.mkdir(parents=True, exist_ok=True)
        write_texts(folder)
        self.template.mkdir()
        self.work.mkdir()
        for before in command.before:
            ended = run(command.line(self.work, before), self.work, NOTHING)
            assert ended.code == 0, ended.said
        copy(self.work, self.template)
        self.old = digests(self.work, command.products)
        self.kept = {name: (self.work / name).read_bytes() for name in command.kept}
        ended = self._run(NOTHING)
        assert ended.code == 0, ended.said
        self.operations = ended.operations
        self.new = digests(self.work, command.products)
        self.report.operations = len(self.operations)
        self.states = self._states()

    def _run(self, fault: Fault) -> Ended:
        copy(self.template, self.work)
        return run(self.command.line(self.work), self.work, fault)

    def _states(self) -> list[dict[str, str]]:
        """The products before each operation: they change where something is renamed."""
        states, now = [], self.old
        for at, operation in enumerate(self.operations, 1):
            states.append(now)
            if operation.startswith("rename"):
                self._run(Fault(at + 1, KILL))
                now = digests(self.work, self.command.products)
        return [*states, now]

    def fail(self, fault: Fault) -> None:
        """Run the command with a fault; note down what is wrong afterwards."""
        self.report.cases += 1
        ended = self._run(fault)
        found = digests(self.work, self.command.products)
        wrong = list(self._wrong(fault, ended, found))
        if not wrong and ended.code and self.kept and found == self.old:
            wrong = list(self._not_back())
        self.report.ended["done all the same" if not ended.code else "old" if found == self.old else "newer"] += 1
        if wrong:
            operation = self.operations[fault.at - 1] if fault.at <= len(self.operations) else "?"
            said = f"{ended.code}: {ended.said[-600:].strip()}"
            self.report.findings.append(f"{fault} ({operation}): {'; '.join(wrong)} [{said}]")

    def _wrong(self, fault: Fault, ended: Ended, found: dict[str, str]) -> Iterable[str]:
        said, before, after = ended.message, self.states[fault.at - 1], self._next(fault.at)
        if "Traceback" in ended.said or "a bug in ostinato" in ended.said or "ESCAPED" in ended.said:
            yield "a traceback"
        if ended.code < 0:
            yield f"it died of signal {-ended.code}"
        for product, is_now in found.items():
            if is_now.startswith("BROKEN"):
                yield f"{product} is {is_now}"
            elif ended.code == 0:
                if is_now != self.new[product]:
                    yield f"exit code 0, but {product} is not the new one"
            else:
                saved = "is saved, but" in said or "is in its place, but" in said
                allowed = {before[product], *([after[product]] if saved else [self.old[product]])}
                if is_now not in allowed:
                    yield f"{product} is neither what it was nor old"
        if ended.code > 0 and not said.startswith("ostinato: "):
            yield "no line says why"
        if ended.code > 0 and len(said) > 1000:
            yield f"a line of {len(said)} characters"
        if ended.code > 0 and not any(words in said for words in TOLD):
            yield "the message does not say whether anything changed"

    def _next(self, at: int) -> dict[str, str]:
        """The products once they have next changed."""
        before = self.states[at - 1]
        return next((state for state in self.states[at - 1 :] if state != before), before)

    def _not_back(self) -> Iterable[str]:
        """The old model is in place: once the folder is used again, so is everything else of the old run."""
        again = run([*self.command.line(self.work, "train {texts}/text.txt -o {}/run")], self.work, NOTHING)
        if "already holds a run" not in again.said:
            yield f"the old run is not taken for one: {again.message}"
        for name, content in self.kept.items():
            path = self.work / name
            if not path.exists() or path.read_bytes() != content:
                yield f"{name} has not come back"

    def _stays(self, found: dict[str, str]) -> Iterable[str]:
        """After a kill: the command without --resume and --overwrite leaves what is there, or the whole old run."""
        line = [part for part in self.command.line(self.work) if part not in ("--resume", "--overwrite")]
        held = any((self.work / "run" / name).exists() for name in ("model", "metrics.jsonl", "checkpoint"))
        if "train" in line and held:
            killed = self.folder / "killed"
            copy(self.work, killed)
            ended = run(line, self.work, NOTHING)
            if not ended.code or digests(self.work, self.command.products) not in (found, self.old):
                yield f"it changes without --resume and --overwrite: {ended.message}"
            copy(killed, self.work)

    def kill(self, at: int) -> None:
        """Kill the command at an operation; what is there opens, and going on gives the same products, bit by bit."""
        self.report.cases += 1
        ended = self._run(Fault(at, KILL))
        found = digests(self.work, self.command.products)
        wrong = [] if ended.code == -9 else [f"it was not killed but ended with {ended.code}: {ended.said}"]
        wrong += [f"{p} is not what it was: {found[p]}" for p in found if found[p] != self.states[at - 1][p]]
        wrong += self._stays(found)
        line = self.command.line(self.work)
        if "train" in line:
            line = [part for part in line if part not in ("--resume", "--overwrite")]
            old_checkpoint = found.get("run/checkpoint") == self.old.get("run/checkpoint")
            if found.get("run/checkpoint") and not ("--overwrite" in self.command.line(self.work) and old_checkpoint):
                line.append("--resume")
            elif any((self.work / "run" / name).exists() for name in ("model", "metrics.jsonl")):
                line.append("--overwrite")
        elif "base" in line:
            if (self.work / "base-run" / "checkpoint").exists():
                line.append("--resume")
            elif any((self.work / name).exists() for name in ("base", "base-run")):
                line.append("--overwrite")
        again = run(line, self.work, NOTHING)
        if again.code:
            wrong.append(f"it does not go on: {again.message} ({' '.join(line[-3:])})")
        else:
            final = digests(self.work, self.command.products)
            wrong += [f"{name} is another one in the end" for name in final if final[name] != self.new[name]]
            left = [path.name for path in self.work.rglob(".*") if path.name not in MARKS]
            wrong += [f"{', '.join(left)} left over"] if left else []
        self.report.ended["killed, went on"] += 1
        if wrong:
            self.report.findings.append(f"{Fault(at, KILL)} ({self.operations[at - 1]}): {'; '.join(wrong)}")


TOLD = (
    "untouched", "is saved, but", "is in its place, but", "nothing was changed", "the last saved model",
    "no model was saved", "nothing that was saved before is changed", "comes back when", "already holds",
    "cannot be read", "cannot be written", "cannot write", "cannot save", "was not made by ostinato",
)  # fmt: skip
"""A message says what has become of the products, or names what could not be read or written. That it is true, that is,
that the products are what they were, is seen from their digests."""


def trial(command: Command) -> Trial:
    """A trial in a new temporary folder."""
    return Trial(command, Path(tempfile.mkdtemp(prefix="ostinato-faults-")) / command.name)
