"""Models made of recurrent layers, as torch modules, and how they are computed."""

from ostinato.models.device import DEVICES, autocast, prepare_torch, resolve_device, resolve_precision
from ostinato.models.language_model import LanguageModel
from ostinato.models.loss import linear_cross_entropy, target_log_probabilities
from ostinato.models.step import StepState, TorchStepModel

__all__ = [
    "DEVICES",
    "LanguageModel",
    "StepState",
    "TorchStepModel",
    "autocast",
    "linear_cross_entropy",
    "prepare_torch",
    "resolve_device",
    "resolve_precision",
    "target_log_probabilities",
]
