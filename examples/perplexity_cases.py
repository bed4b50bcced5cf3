"""Perplexity = exp(mean cross-entropy): its best, uniform and worst cases, and how to average it over
minibatches.

Expected: 1 for a model that is always right, V for one that knows nothing, without bound for one that is
surely wrong. The mean of two minibatches must be weighted by tokens: neither the mean of the means nor of the
perplexities is the text's.
"""

import math

import numpy as np

from ostinato.evaluation import combine, from_log_probabilities


def main() -> None:
    V, T = 1027, 1000
    with np.errstate(divide="ignore"):
        cases = {
            "always right": np.log(np.full(T, 1.0)),
            "uniform": np.log(np.full(T, 1 / V)),
            "sure, and wrong once": np.log(np.append(np.full(T - 1, 1.0), 0.0)),
        }
    for name, log_p in cases.items():
        print(f"{name:21} perplexity {from_log_probabilities(log_p, characters=T).perplexity:.4g}")

    long = from_log_probabilities(np.full(900, math.log(1 / 4)), characters=900)  # 900 tokens at perplexity 4
    short = from_log_probabilities(np.full(100, math.log(1 / 64)), characters=100)  # 100 tokens at perplexity 64
    of_means = math.exp((long.nats_per_token + short.nats_per_token) / 2)
    of_last = math.exp(short.nats_per_token / 2)
    print(f"900 tokens at 4 and 100 at 64: perplexity of all of it {combine([long, short]).perplexity:.2f}")
    print(f"  wrong: the mean of the two means {of_means:.2f}; the last loss divided by the number {of_last:.2f}")


if __name__ == "__main__":
    main()
