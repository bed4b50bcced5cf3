"""Training: the loop, schedules, checkpoints, metrics. Importing it does not import torch; `trainer` does."""
