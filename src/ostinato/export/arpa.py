"""An n-gram model as an ARPA file, the format of SRILM and KenLM."""

from pathlib import Path

from ostinato.bundle import Bundle
from ostinato.ngram import from_arrays, token_names, write_arpa


def write(bundle: Bundle, path: Path) -> None:
    """Write the n-gram model of `bundle` as the file `path`; `token_names` says what the tokens are called there."""
    model = from_arrays(bundle.config["model"], bundle.tensors)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        write_arpa(model, token_names(bundle.tokenizer), file)
