"""The saved model on disk: a folder with its settings, tokenizer, weights, card, and a manifest of checksums.

config.json         format version, model kind and shape, how the text was cut
tokenizer.json      the tokenizer
model.safetensors   the weights, or an n-gram model's arrays
card.md             what it was trained on, for how long, how good it is
probe.json          a few inputs and what the model computed for them when it was saved
manifest.json       size and SHA-256 of every other file
"""

from ostinato.bundle.config import (
    AnyConfig,
    MixtureConfig,
    NgramConfig,
    RecurrentConfig,
    TaskConfig,
    WindowConfig,
    check_finite,
    check_tensors,
    model_config,
    task_config,
)
from ostinato.bundle.finding import find_bundle
from ostinato.bundle.folder import (
    FORMAT,
    MANIFEST,
    RUN_LOCK,
    FileContent,
    check_place,
    discard_folder,
    first_stranger,
    recover_folder,
    tidy_folder,
    write_folder,
)
from ostinato.bundle.parts import NETWORK_SPLIT, network_of, part_of
from ostinato.bundle.probe import PROBE, Probe, check_probe, compare_outputs, rounded
from ostinato.bundle.reading import Bundle, read_bundle, write_bundle
from ostinato.bundle.snapshot import MAPPED_FROM, Snapshot, read_snapshot, verify_folder
from ostinato.bundle.tensors import Array, TensorFile, tensor_writer

__all__ = [
    "FORMAT",
    "MANIFEST",
    "MAPPED_FROM",
    "NETWORK_SPLIT",
    "PROBE",
    "RUN_LOCK",
    "AnyConfig",
    "Array",
    "Bundle",
    "FileContent",
    "MixtureConfig",
    "NgramConfig",
    "Probe",
    "RecurrentConfig",
    "Snapshot",
    "TaskConfig",
    "TensorFile",
    "WindowConfig",
    "check_finite",
    "check_place",
    "check_probe",
    "check_tensors",
    "compare_outputs",
    "discard_folder",
    "find_bundle",
    "first_stranger",
    "model_config",
    "network_of",
    "part_of",
    "read_bundle",
    "read_snapshot",
    "recover_folder",
    "rounded",
    "task_config",
    "tensor_writer",
    "tidy_folder",
    "verify_folder",
    "write_bundle",
    "write_folder",
]
