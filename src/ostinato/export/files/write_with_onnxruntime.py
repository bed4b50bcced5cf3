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

ids = [0]  # a text starts with the end of the one before it
for character in prompt:
    ids += [known[character]] if character in known else [1 + byte for byte in character.encode()]
state, written = np.zeros((states, 1, hidden), np.float32), b""
for _ in range(len(ids) + int(count)):
    token = ids.pop(0)
    written += b"" if token == 0 else bytes([token - 1]) if token < 257 else characters[token - 257].encode()
    logits, state = session.run(None, {"ids": np.array([token]), "state": state})
    if not ids:
        p = np.exp((logits[0] - logits[0].max()) / temperature)
        ids = [int(random.choice(len(p), p=p / p.sum()))]
        if ids[0] == 0:
            break
print(written.decode(errors="replace"))
