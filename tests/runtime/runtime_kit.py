"""What the runtime tests share: bundles of random recurrent models."""

import numpy as np

from ostinato.bundle import read_bundle, write_bundle
from ostinato.kernels.recurrent import Shape
from ostinato.text import build

TEXT = "春天的桥上\n你说雨停了\n\n夏天的灯下\n我等你回来\nthe rain, the bridge\nthe winter and the sea\n" * 2
TOKENIZER = build("character", [TEXT], 1)
VOCABULARY = TOKENIZER.vocabulary_size
SMALL = Shape("lstm", 1, 32, 16, VOCABULARY, False)
SHAPES = [
    SMALL,
    Shape("gru", 2, 24, 0, VOCABULARY, False),
    Shape("rnn", 1, 40, 24, VOCABULARY, True),
]
NAMES = [shape.cell for shape in SHAPES]


def weights(shape, seed=0):
    """Random weights of a model that is neither sure nor clueless."""
    random = np.random.default_rng(seed)
    sizes = {name: 0.3 if len(dims) == 1 else 1 / np.sqrt(dims[1]) for name, dims in shape.tensors().items()}
    sizes["embedding.weight" if shape.tied else "head.weight"] = 0.7
    tensors = {n: (random.standard_normal(d) * sizes[n]).astype(np.float32) for n, d in shape.tensors().items()}
    tensors["head.bias"][: 1 + 256] -= 3  # characters rather than bytes
    tensors["head.bias"][0] += 2
    return tensors


def config(shape):
    """The `model` table of a bundle's config."""
    return {
        "cell": shape.cell,
        "layers": shape.layers,
        "hidden_size": shape.hidden_size,
        "embedding_size": shape.embedding_size,
        "tied": shape.tied,
        "vocabulary_size": shape.vocabulary_size,
    }


def saved(path, shape, *, tensors=None, **changes):
    """A bundle of a random model at `path`, its config's model table changed by `changes`."""
    model = {**config(shape), **changes}
    document = {"kind": "recurrent", "model": model, "text": {}, "training": {}, "evaluation": {}}
    given = weights(shape) if tensors is None else tensors
    write_bundle(path, config=document, tokenizer=TOKENIZER, tensors=given, card="a random model\n")
    return read_bundle(path)
