"""The line after a line: a translation within one text."""

from collections.abc import Sequence
from typing import Any

from ostinato.runs.record_task import Defaults
from ostinato.runs.tasks.translate import TranslateTask
from ostinato.settings import TaskSettings, TextSettings
from ostinato.text.records import Records, read_next_lines


class NextLineTask(TranslateTask):
    """Learn what line comes next from texts."""

    title = "A writer of the next line"
    defaults = Defaults(hidden_size=256, embedding_size=128, dropout=0.3, batch_size=64, learning_rate=3e-3, epochs=8)

    def records(self, paths: Sequence[str], task: TaskSettings, text: TextSettings, **options: Any) -> Records:
        """Neighbouring lines of the documents."""
        return read_next_lines(paths, text, **options)


TASK = NextLineTask()
