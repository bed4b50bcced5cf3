"""`python team_kill.py MOMENT COMMAND...`: the command, of a process that is killed at a moment of its training."""

import os
import signal
import sys

from ostinato.bundle import folder
from ostinato.cli.main import main
from ostinato.runs.language_data import LanguageData
from ostinato.training.trainer import Trainer

MOMENTS = {
    "saving": (Trainer, "save"),  # before the others have given their states
    "replacing": (folder, "_exchange"),  # the new checkpoint is written, and not in its place
    "evaluating": (LanguageData, "evaluate"),
}
moment, *command = sys.argv[1:]
place, name = MOMENTS[moment]
kept, times = getattr(place, name), []


def killed(*arguments, **options):
    """The third time, as there is something to go on from then."""
    times.append(1)
    if len(times) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return kept(*arguments, **options)


setattr(place, name, killed)
sys.exit(main(command))
