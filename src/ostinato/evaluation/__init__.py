"""Measuring models: perplexity per token and bits per character, beside baselines, on a named split."""

from ostinato.evaluation.perplexity import Evaluation, combine, evaluate, figure, from_log_probabilities, perplexity

__all__ = ["Evaluation", "combine", "evaluate", "figure", "from_log_probabilities", "perplexity"]
