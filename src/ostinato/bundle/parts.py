"""Parts of a mixture as bundles of their own."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy.typing as npt

from ostinato.bundle.reading import Bundle

NETWORK_SPLIT = "held-out, network"
"""In the evaluation of a mixture: what its network gives the held-out text alone."""


def part_of(bundle: Bundle, k: int, described: Mapping[str, Any]) -> Bundle:
    """Part k of a mixture, whose kind and model are `described`, with its tensors under their own names."""
    config = {**bundle.config, "kind": described["kind"], "model": described["model"]}
    return Bundle(bundle.path, config, bundle.tokenizer, PartTensors(bundle.tensors, f"{k}."), bundle.card)


def network_of(bundle: Bundle) -> Bundle | None:
    """The recurrent network of a bundle: the bundle itself, or the first such part of a mixture, with what was measured
    of it alone. None where there is none."""
    if bundle.kind == "recurrent":
        return bundle
    parts = bundle.config["model"].get("parts", []) if bundle.kind == "mixture" else []
    for k, part in enumerate(parts):
        if part["kind"] == "recurrent":
            network = part_of(bundle, k, part)
            measured = bundle.config.get("evaluation", {}).get(NETWORK_SPLIT)
            network.config["evaluation"] = {} if measured is None else {"held-out": measured}
            return network
    return None


class PartTensors(Mapping[str, npt.NDArray[Any]]):
    """The tensors whose names begin with a prefix, without it."""

    def __init__(self, tensors: Mapping[str, npt.NDArray[Any]], prefix: str) -> None:
        self._tensors, self._prefix = tensors, prefix

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        return self._tensors[self._prefix + name]

    def __iter__(self) -> Iterator[str]:
        return (name.removeprefix(self._prefix) for name in self._tensors if name.startswith(self._prefix))

    def __len__(self) -> int:
        return sum(1 for _ in self)
