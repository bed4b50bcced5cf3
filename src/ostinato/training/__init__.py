"""Training: the loop, schedules, checkpoints, progress. Importing it does not import torch; `run` and `trainer` do."""
