"""Writes with an exported model; needs numpy and onnxruntime alone: python write.py [PROMPT] [TOKENS] [SEED]

Reads characters and bytes; a model over words must be given ids, as its tokenizer.json describes.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime

here = Path(__file__).parent
session = onnxruntime.InferenceSession(here / "step.onnx")
properties = session.get_modelmeta().custom_metadata_map
characters = json.loads(properties["tokenizer"]).get("characters", "")
known = {character: 257 + n for n, character in enumerate(characters)}
prompt, count, seed = (sys.argv[1:] + ["", "200", "7"][len(sys.argv) - 1 :])[:3]
random, temperature = np.random.default_rng(int(seed)), json.loads(properties["sampling"])["temperature"]
states, _, hidden = json.loads(properties["state"])

beginning = json.loads(properties["beginning"])
backward = properties["direction"] == "backward"  # such a model reads and writes from right to left

ids = []
for character in prompt:
    ids += [known[character]] if character in known else [1 + byte for byte in character.encode()]
text = list(ids)
# a text starts with the end of the one before it; without a prompt, after what stands before a text of its kind
ids = [0, *(ids[::-1] if backward else ids)] if prompt else list(beginning["prefix"])
drawn, state = [], np.zeros((states, 1, hidden), np.float32)
for _ in range(len(ids) + int(count) - 1):
    logits, state = session.run(None, {"ids": np.array([ids.pop(0)]), "state": state})
    if not ids:
        scores = logits[0].astype(np.float64)
        if not (prompt or drawn) and beginning["first_tokens"]:  # the first token is one that begins such a text
            scores[np.setdiff1d(np.arange(len(scores)), beginning["first_tokens"])] = -np.inf
        p = np.exp((scores - scores.max()) / temperature)
        ids = [int(random.choice(len(p), p=p / p.sum()))]
        if ids[0] == 0:
            break
        drawn += ids


def spelled(ids):
    """The bytes of each token."""
    return [bytes([token - 1]) if token < 257 else characters[token - 257].encode() for token in ids]


pieces, written = spelled(text), spelled(drawn)
print(b"".join(written[::-1] + pieces if backward else pieces + written).decode(errors="replace"))
