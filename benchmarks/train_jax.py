"""Layers and steps in JAX and Flax, as one would write them there: what `train.py --jax PYTHON` runs beside ours.

A process of its own, since JAX is no dependency. It reads a line of JSON with the arguments of `layer_pass` or
`training_step`, compiles, and answers "ready"; then for every empty line it runs once and answers "done".
"""

import json
import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen

CELLS = {"lstm": linen.OptimizedLSTMCell, "gru": linen.GRUCell, "rnn": linen.SimpleCell}
DTYPES = {"fp32": jnp.float32, "bf16": jnp.bfloat16}


def layer_pass(shape: str, precision: str, cell: str) -> Callable[[], Any]:
    """Forward and backward of one layer, in its input and weights."""
    steps, batch, inputs, hidden = (int(n) for n in shape.split("x"))
    layer = linen.RNN(CELLS[cell](hidden, dtype=DTYPES[precision]), time_major=True)
    x = jax.random.normal(jax.random.key(0), (steps, batch, inputs))
    start = jnp.zeros((batch, hidden), DTYPES[precision]) if cell == "rnn" else None  # its own has another dtype
    weights = layer.init(jax.random.key(1), x, initial_carry=start)
    gradient = jax.jit(jax.grad(lambda w, x: layer.apply(w, x, initial_carry=start).astype(jnp.float32).sum(), (0, 1)))
    return lambda: gradient(weights, x)


class Language(linen.Module):
    """A tied LSTM language model."""

    vocabulary: int
    size: int
    depth: int
    dtype: Any

    @linen.compact
    def __call__(self, ids: jax.Array) -> jax.Array:
        """Logits (T, B, V) for ids (T, B)."""
        embedding = linen.Embed(self.vocabulary, self.size, dtype=self.dtype)
        x = embedding(ids)
        for _ in range(self.depth):
            x = linen.RNN(linen.OptimizedLSTMCell(self.size, dtype=self.dtype), time_major=True)(x)
        return embedding.attend(x) + self.param("bias", linen.initializers.zeros, (self.vocabulary,))


def training_step(shape: str, precision: str) -> Callable[[], Any]:
    """Loss, gradient, clipping and AdamW; the old weights are given away."""
    vocabulary, size, depth, batch, length = (int(n) for n in shape.split("x"))
    model = Language(vocabulary, size, depth, DTYPES[precision])
    ids, targets = jax.random.randint(jax.random.key(0), (2, length, batch), 0, vocabulary)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-3, weight_decay=0.0))

    def loss(weights: Any) -> jax.Array:
        logits = model.apply(weights, ids).astype(jnp.float32)
        return optax.softmax_cross_entropy_with_integer_labels(logits, targets).mean()

    def step(weights: Any, moments: Any) -> tuple[Any, Any]:
        updates, moments = optimizer.update(jax.grad(loss)(weights), moments, weights)
        return optax.apply_updates(weights, updates), moments

    compiled = jax.jit(step, donate_argnums=(0, 1))
    weights = model.init(jax.random.key(1), ids)
    state = [weights, optimizer.init(weights)]

    def run() -> Any:
        state[:] = compiled(*state)
        return state

    return run


def main() -> None:
    asked = json.loads(sys.stdin.readline())
    run = layer_pass(**asked) if "cell" in asked else training_step(**asked)
    jax.block_until_ready(run())
    print("ready", flush=True)
    for _ in sys.stdin:
        jax.block_until_ready(run())
        print("done", flush=True)


if __name__ == "__main__":
    main()
