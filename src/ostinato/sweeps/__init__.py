"""Many runs of `train`: several seeds and values of settings, each in a folder and a process of its own; one table."""

from ostinato.sweeps.folder import TABLE, finished_runs, read_table
from ostinato.sweeps.plan import One, Setting, Sweep, settings_of
from ostinato.sweeps.run import sweep
from ostinato.sweeps.table import text_of

__all__ = ["TABLE", "One", "Setting", "Sweep", "finished_runs", "read_table", "settings_of", "sweep", "text_of"]
