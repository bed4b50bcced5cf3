"""Many requests to one model at a time: the batch that they share, and what runs beside it. No HTTP here."""

from ostinato.engine.beside import Beside
from ostinato.engine.engine import Engine, Limits
from ostinato.engine.job import DeadlineError, FullError, Job, Sink, StoppedError, StoppingError
from ostinato.engine.reading import Reader, Reading

__all__ = [
    "Beside",
    "DeadlineError",
    "Engine",
    "FullError",
    "Job",
    "Limits",
    "Reader",
    "Reading",
    "Sink",
    "StoppedError",
    "StoppingError",
]
