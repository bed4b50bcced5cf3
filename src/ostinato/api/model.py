"""A model one can write and score with."""

import dataclasses
import secrets
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack, overload

import numpy as np
import numpy.typing as npt

from ostinato.bundle import MANIFEST, Bundle, read_bundle, write_folder
from ostinato.errors import BundleError, TextError, UsageError
from ostinato.evaluation import Evaluation, evaluate
from ostinato.generation import Sampler, Stop, write
from ostinato.protocols import END_OF_DOCUMENT, Ids, StepModel

if TYPE_CHECKING:
    from ostinato.evaluation.novelty import Novelty, TrainingText
    from ostinato.form import Composed, Form
    from ostinato.text import BaseTokenizer


class WriteOptions(TypedDict, total=False):
    """The keyword arguments of `Model.write` but `count`, for type checkers."""

    lines: int | None
    tokens: int | None
    stop: str | Sequence[str]
    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repetition_penalty: float
    title: str | None
    form: "Form | None"
    seed: int | None


_MOST_TOKENS = 20_000_000
"""Of the training text, so many tokens are searched for words."""


class Model:
    """A trained model: an n-gram model, a recurrent network or a mixture. Needs no torch.

    `step_model` is the `StepModel` itself, for those who want to read token by token.
    """

    def __init__(self, path: str | Path, *, precision: str = "fp32") -> None:
        """Read the bundle at `path`, or in the output folder of a run. Raises BundleError."""
        self._bundle: Bundle = read_bundle(Path(path))
        self._precision = precision

    def __repr__(self) -> str:
        return f"<ostinato.Model {self._bundle.kind} {str(self.path)!r}>"

    @property
    def path(self) -> Path:
        """The bundle's folder."""
        return self._bundle.path

    @property
    def config(self) -> dict[str, Any]:
        """The bundle's config: kind, model, text, training, evaluation."""
        return self._bundle.config

    @property
    def card(self) -> str:
        """What the model is and how good, Markdown."""
        return self._bundle.card

    @property
    def tensors(self) -> Mapping[str, npt.NDArray[Any]]:
        """The bundle's arrays by name, memory-mapped."""
        return self._bundle.tensors

    @property
    def tokenizer(self) -> "BaseTokenizer":
        """Cuts text into the model's tokens."""
        return self._bundle.tokenizer

    @cached_property
    def step_model(self) -> StepModel:
        """The model as arrays in, arrays out; loaded when first used."""
        from ostinato.runtime import load as load_runtime

        return load_runtime(self._bundle, precision=self._precision)

    @overload
    def write(self, prompt: str = "", *, count: None = None, **options: Unpack["WriteOptions"]) -> str: ...
    @overload
    def write(self, prompt: str = "", *, count: int, **options: Unpack["WriteOptions"]) -> list[str]: ...
    def write(
        self,
        prompt: str = "",
        *,
        lines: int | None = None,
        tokens: int | None = None,
        stop: str | Sequence[str] = (),
        temperature: float = 0.8,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        repetition_penalty: float = 1.0,
        title: str | None = None,
        form: "Form | None" = None,
        seed: int | None = None,
        count: int | None = None,
    ) -> str | list[str]:
        """Continue `prompt` to the end of the document, or to a number of lines or tokens, or to a stop text.

        form: rhyme, line lengths and so on, which the text keeps; `lines` are then the lines of a stanza.
        Returns one text, or a list of `count` texts if `count` is given. The same seed gives the same text; None takes
        a new one. Raises UsageError for a value out of range, GenerationError for a form that cannot be met.
        """
        sampler = Sampler(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p,
                          repetition_penalty=repetition_penalty)  # fmt: skip
        options: dict[str, Any] = {
            "sampler": sampler,
            "count": 1 if count is None else count,
            "seed": secrets.randbits(32) if seed is None else seed,
        }
        if form is not None:
            if lines is not None:
                form = dataclasses.replace(form, lines=lines)
            texts = [text.text for text in self.compose(form, prompt, title=title, **options)]
            return texts[0] if count is None else texts
        options["stop"] = Stop(lines=lines, tokens=tokens, texts=(stop,) if isinstance(stop, str) else tuple(stop))
        options["heading"] = self.heading
        if self.backward:
            from ostinato.generation import write_backward

            written = write_backward(self.step_model, self.tokenizer, prompt, title=title, **options)
        else:
            written = write(self.step_model, self.tokenizer, prompt, title=title, **options)
        texts = [w.text for w in written]
        return texts[0] if count is None else texts

    def compose(
        self,
        form: "Form",
        prompt: str = "",
        *,
        count: int = 1,
        sampler: Sampler | None = None,
        title: str | None = None,
        seed: int = 0,
        search: Literal["sample", "beam"] = "sample",
        step_model: StepModel | None = None,
    ) -> "list[Composed]":
        """`count` texts of the given form, with what it took to find them; see `generation.compose`.

        `step_model` (such as a `CopyLimit` of this model's) is asked in place of the model's own. Raises UsageError
        for a form that contradicts itself, GenerationError for one that could not be met.
        """
        from ostinato.form import compose

        if count < 1:
            raise UsageError(f"count must be 1 or more, got {count}")
        return [
            compose(
                step_model or self.step_model, self.tokenizer, form, prompt, sampler=sampler, seed=seed, row=row,
                heading=self.heading, title=title, backward=self.backward, search=search, words=self.known_words,
            )
            for row in range(count)
        ]  # fmt: skip

    @cached_property
    def known_words(self) -> frozenset[str] | None:
        """The words of the training text, for a model that spells; None for others, and where the text is gone."""
        from ostinato.form.lexicon import words_of

        if self.tokenizer.kind not in ("character", "byte"):
            return None
        try:
            ids = np.asarray(self.training_text.ids[:_MOST_TOKENS])
        except UsageError:
            return None
        return words_of(self.tokenizer.decode(ids[::-1] if self.backward else ids))

    @property
    def backward(self) -> bool:
        """Whether the model reads and writes from right to left."""
        return bool(self.config.get("text", {}).get("direction") == "backward")

    @property
    def heading(self) -> str:
        """What a title line begins with in the model's documents; "" if they have no titles."""
        return str(self.config.get("text", {}).get("heading", ""))

    def ids(self, text: str) -> Ids:
        """The ids of `text` as one document, in the order the model reads them, its end included."""
        ids = self._read(text)
        return np.append(ids, ids.dtype.type(END_OF_DOCUMENT))

    def _read(self, text: str) -> Ids:
        ids = self.tokenizer.encode(text)
        return ids[::-1] if self.backward else ids

    def score(self, text: str) -> Evaluation:
        """How well the model predicts `text` as one document. Raises TextError for an empty text."""
        return evaluate(self.step_model, self.ids(text), len(text), split="given")

    @cached_property
    def training_text(self) -> "TrainingText":
        """The text the model was trained on, to look copies up in.

        Raises UsageError where the run's folder does not hold it any more.
        """
        from ostinato.evaluation.novelty import open_training_text
        from ostinato.text import open_corpus

        folder = self.path.parent / "text"
        try:
            corpus = open_corpus(folder)
            fits = corpus.fingerprint == self.config.get("text", {}).get("fingerprint")
        except TextError:
            fits = False
        if not fits:
            raise UsageError(
                f"the training text of {self.path} is not in {folder}, so copies cannot be found: keep the model in "
                "the folder that `ostinato train -o` made"
            )
        return open_training_text(corpus.train.ids, folder)

    def novelty(self, text: str) -> "Novelty":
        """What of `text` the model copied from its training text. Raises UsageError where that is gone."""
        from ostinato.evaluation.novelty import measure

        return measure(self.training_text, self._read(text), self.tokenizer)

    def save(self, path: str | Path) -> None:
        """Copy the model to the folder `path`, atomically. Raises BundleError when it cannot be written."""
        target = Path(path)
        if target.exists() and not (target.is_dir() and ((target / MANIFEST).is_file() or not any(target.iterdir()))):
            raise BundleError(f"cannot save to {target}: it holds something else than a saved model; name a new folder")
        write_folder(target, bundle_files(self.path))


def load(path: str | Path, *, precision: str = "fp32") -> Model:
    """Read a saved model. `precision` is `fp32` or `int8`. Raises BundleError."""
    return Model(path, precision=precision)


def bundle_files(folder: Path) -> dict[str, bytes | Callable[[Path], None]]:
    """The files of a bundle without its manifest, to be written elsewhere."""
    names = [f.relative_to(folder).as_posix() for f in sorted(folder.rglob("*")) if f.is_file() and f.name != MANIFEST]
    return {name: (folder / name).read_bytes() for name in names}
