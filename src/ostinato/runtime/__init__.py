"""Models without torch: a bundle becomes a `StepModel` on the kernels of this machine."""

from ostinato.runtime.loading import load
from ostinato.runtime.precision import PrecisionLoss, precision_loss
from ostinato.runtime.recurrent import RecurrentModel

__all__ = ["PrecisionLoss", "RecurrentModel", "load", "precision_loss"]
