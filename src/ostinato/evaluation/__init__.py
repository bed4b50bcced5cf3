"""Measuring models: perplexity per token and bits per character, beside baselines, on a named split."""

from ostinato.evaluation.perplexity import Evaluation, combine, evaluate, from_log_probabilities

__all__ = ["Evaluation", "combine", "evaluate", "from_log_probabilities"]
