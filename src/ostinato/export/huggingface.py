"""A recurrent language model as a folder that `transformers` opens, and such a folder as a model again.

    AutoModelForCausalLM.from_pretrained(DIR, trust_remote_code=True)
    AutoTokenizer.from_pretrained(DIR, trust_remote_code=True)

The folder holds the weights under their own names, `modeling_ostinato.py`, which needs torch and transformers alone, a
tokenizer, and `ostinato.json` with the model's own config, from which `restore` makes the same bundle again.
"""

import json
from pathlib import Path
from typing import Any

from ostinato.bundle import PROBE, Bundle, TensorFile, tensor_writer, write_bundle
from ostinato.errors import BundleError
from ostinato.export.beginning import beginning
from ostinato.export.formats import copy_file
from ostinato.text import from_json

END = "\ufdd0"
"""How the tokenizer writes END_OF_DOCUMENT: a code point that no text has (Unicode calls it a noncharacter)."""
_CODE = "modeling_ostinato.py"
_SHAPE = ("cell", "layers", "hidden_size", "embedding_size", "tied", "vocabulary_size")


def write(bundle: Bundle, path: Path) -> None:
    """Write the folder `path`. Needs no package besides ostinato."""
    path.mkdir()
    tensor_writer(bundle.tensors)(path / "model.safetensors")  # in float32, however the bundle stores them
    copy_file(bundle, "tokenizer.json", path)
    (path / "tokenizer.json").rename(path / "ostinato_tokenizer.json")
    code = (Path(__file__).parent / "files" / _CODE).read_text("utf-8")
    (path / _CODE).write_text(code, "utf-8")
    if PROBE in bundle.files:
        (path / PROBE).write_bytes(bundle.files[PROBE].tobytes())
    fast = _fast_tokenizer(bundle)
    documents = {
        "config.json": _config(bundle),
        "generation_config.json": {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0, "do_sample": True,
                                   "temperature": 0.8},
        "tokenizer_config.json": _tokenizer_config(fast=fast is not None),
        "special_tokens_map.json": {"bos_token": END, "eos_token": END, "pad_token": END},
        "ostinato.json": {key: value for key, value in bundle.config.items() if key != "storage"},
        **({"tokenizer.json": fast} if fast is not None else {}),
    }  # fmt: skip
    for name, document in documents.items():
        (path / name).write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", "utf-8")
    (path / "README.md").write_text(_card(bundle, path.name), "utf-8")


def _config(bundle: Bundle) -> dict[str, Any]:
    begins = beginning(bundle)
    return {
        "model_type": "ostinato",
        "architectures": ["OstinatoForCausalLM"],
        "auto_map": {
            "AutoConfig": "modeling_ostinato.OstinatoConfig",
            "AutoModelForCausalLM": "modeling_ostinato.OstinatoForCausalLM",
        },
        **{name: bundle.config["model"][name] for name in _SHAPE},
        "vocab_size": bundle.config["model"]["vocabulary_size"],
        "direction": bundle.config.get("text", {}).get("direction", "forward"),
        "beginning": list(begins.prefix),
        "first_tokens": list(begins.first_tokens),
        "tie_word_embeddings": bundle.config["model"]["tied"],
        "bos_token_id": 0,
        "eos_token_id": 0,
        "pad_token_id": 0,
        "torch_dtype": "float32",
    }


def _tokenizer_config(*, fast: bool) -> dict[str, Any]:
    special = {"bos_token": END, "eos_token": END, "pad_token": END, "padding_side": "left",
               "clean_up_tokenization_spaces": False, "model_max_length": 1 << 30}  # fmt: skip
    if fast:
        return {"tokenizer_class": "PreTrainedTokenizerFast", **special}
    auto_map = {"AutoTokenizer": ["modeling_ostinato.OstinatoTokenizer", None]}
    return {"tokenizer_class": "OstinatoTokenizer", "auto_map": auto_map, **special}


def _fast_tokenizer(bundle: Bundle) -> dict[str, Any] | None:
    """The tokenizer in the format of `tokenizers`, exact for characters and bytes; None for words.

    A byte-pair model without merges cuts a text into characters; a character that it does not know falls back to the
    tokens of its UTF-8 bytes, which is what the `character` tokenizer does.
    """
    if bundle.tokenizer.kind not in ("character", "byte"):
        return None
    pieces = [END, *(f"<0x{byte:02X}>" for byte in range(256)), *bundle.tokenizer.characters]
    end = {"id": 0, "content": END, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
           "special": True}  # fmt: skip
    start = {"SpecialToken": {"id": END, "type_id": 0}}
    text, second = {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [end],
        "normalizer": None,
        "pre_tokenizer": None,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [start, text],
            "pair": [start, text, start, second],
            "special_tokens": {END: {"id": END, "ids": [0], "tokens": [END]}},
        },
        "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": {piece: at for at, piece in enumerate(pieces)},
            "merges": [],
        },
    }


def _card(bundle: Bundle, name: str) -> str:
    words = "" if bundle.tokenizer.kind in ("character", "byte") else "\nIts tokenizer needs `pip install ostinato`.\n"
    backward = bundle.config.get("text", {}).get("direction") == "backward"
    right = "\nThe model reads from right to left: give it reversed ids, and reverse those that it writes.\n"
    note = right if backward else ""
    return (
        f"---\nlibrary_name: transformers\npipeline_tag: text-generation\ntags: [recurrent, ostinato]\n---\n"
        f"{bundle.card.rstrip()}\n{words}{note}\n"
        "```python\n"
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        f'model = AutoModelForCausalLM.from_pretrained("{name}", trust_remote_code=True)\n'
        f'tokenizer = AutoTokenizer.from_pretrained("{name}", trust_remote_code=True)\n'
        "print(tokenizer.decode(model.write(max_new_tokens=200)[0], skip_special_tokens=True))  # without a prompt\n\n"
        'ids = tokenizer("A prompt", return_tensors="pt")\n'
        "print(tokenizer.decode(model.generate(**ids, max_new_tokens=200)[0], skip_special_tokens=True))\n"
        "```\n"
    )


def restore(folder: Path, out: Path) -> None:
    """Make a model of ostinato again from a folder that `write` made: the same config, tokenizer and weights.

    Raises BundleError where `folder` is something else, or `out` cannot be written.
    """
    try:
        config = json.loads((folder / "ostinato.json").read_text("utf-8"))
        tokenizer = from_json(json.loads((folder / "ostinato_tokenizer.json").read_text("utf-8")))
        tensors = TensorFile(folder / "model.safetensors")
        names = sorted(tensors)
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = error.strerror or error if isinstance(error, OSError) else f"{type(error).__name__}: {error!s:.200}"
        why = "it has no ostinato.json" if isinstance(error, FileNotFoundError) else why
        raise BundleError(f"{folder} is not a Hugging Face folder that ostinato exported: {why}") from None
    card, _, _ = (folder / "README.md").read_text("utf-8").partition("\n```python")
    card = card.split("---\n", 2)[-1].rstrip() + "\n"
    probe = folder / PROBE
    values = {key: value for key, value in config.items() if key != "format"}
    write_bundle(
        out,
        config=values,
        tokenizer=tokenizer,
        tensors={n: tensors[n] for n in names},
        card=card,
        extra={PROBE: probe.read_bytes()} if probe.is_file() else {},
    )
