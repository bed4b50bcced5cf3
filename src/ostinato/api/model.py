"""A trained model that writes and scores text."""

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Unpack, overload

import numpy as np
import numpy.typing as npt

from ostinato.bundle import Bundle, network_of, read_bundle, write_bundle, write_folder
from ostinato.errors import UsageError, needs
from ostinato.evaluation import Evaluation, evaluate
from ostinato.evaluation.perplexity import evaluate_many
from ostinato.generation import Piece, Sampler, Search, TextModel, WriteOptions, WriteRequest, Written
from ostinato.generation import write as write_freely
from ostinato.generation.request import TEMPERATURE, Restriction, new_seed
from ostinato.protocols import END_OF_DOCUMENT, Ids, StepModel
from ostinato.text.known_words import WORDS_FILE, known_words_of, read_words
from ostinato.text.openings import read_opening

if TYPE_CHECKING:
    from ostinato.api.html import History, Picture
    from ostinato.evaluation.novelty import Novelty, TrainingText
    from ostinato.form import Composed, Form
    from ostinato.generation import Event
    from ostinato.text import BaseTokenizer

PRECISIONS = ("fp32", "int8")


class TokenProbability(NamedTuple):
    """One token of a scored text: its text (`<end>` for the end of the document), its id, and ln P given the tokens
    before it."""

    token: str
    id: int
    log_probability: float


class Model:
    """A trained model of any kind. Only `predict` needs torch.

    `step_model` is the underlying `StepModel`, which reads token by token.

        >>> model = ostinato.load("my-model")
        >>> model.write("The night", lines=8, seed=7)
        >>> model.score("a text it has not seen").bits_per_character
    """

    def __init__(self, path: str | Path, *, precision: str = "fp32", threads: int | None = None) -> None:
        """Read the bundle at `path`, or the model in the output folder of a run.

        precision: `fp32` or `int8`. threads: the most threads that share the work of a token (None: as many as make it
        faster). Raises BundleError if the bundle is missing (then also a FileNotFoundError) or damaged, UsageError for
        an unknown precision.
        """
        if precision not in PRECISIONS:
            raise UsageError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
        self._bundle: Bundle = read_bundle(Path(path))
        self._precision, self._threads = precision, threads

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy the path only: another process reads the model from there and shares its memory."""
        return _reopened, (str(self.path.resolve()), self._precision, self._threads)

    def __repr__(self) -> str:
        return f"<ostinato.Model {self._bundle.kind} {str(self.path)!r}>"

    @property
    def path(self) -> Path:
        """The bundle's folder."""
        return self._bundle.path

    @property
    def kind(self) -> str:
        """`recurrent`, `window`, `ngram`, `context-mixing`, `mixture`, or `task` for a model of `train_task`."""
        return self._bundle.kind

    @property
    def config(self) -> dict[str, Any]:
        """The bundle's config: kind, model, text, training, evaluation."""
        return self._bundle.config

    @property
    def card(self) -> str:
        """A description of the model with its measured quality, in Markdown."""
        return self._bundle.card

    @property
    def tensors(self) -> Mapping[str, npt.NDArray[Any]]:
        """The bundle's arrays by name, memory-mapped."""
        return self._bundle.tensors

    @property
    def tokenizer(self) -> "BaseTokenizer":
        """Converts between text and the model's token ids."""
        return self._bundle.tokenizer

    @cached_property
    def network(self) -> "Model | None":
        """The recurrent network of a mixture as a separate model; the model itself if it is a network; None if there is
        no network."""
        bundle = network_of(self._bundle)
        if bundle is None or bundle is self._bundle:
            return None if bundle is None else self
        network = Model.__new__(Model)
        network._bundle, network._precision, network._threads = bundle, self._precision, self._threads
        return network

    @cached_property
    def step_model(self) -> StepModel:
        """The `StepModel`, which maps arrays of ids and states to arrays; loaded on first use."""
        from ostinato.runtime import load as load_runtime

        return load_runtime(self._bundle, precision=self._precision, threads=self._threads)

    @cached_property
    def text_model(self) -> TextModel:
        """The step model with its tokenizer and everything else that `ostinato.generation` needs to write text."""
        text = self.config.get("text", {})
        return TextModel(
            self.step_model,
            self.tokenizer,
            heading=self.heading,
            backward=self.backward,
            line_documents=text.get("documents") == "lines" or text.get("newlines") == "blank",
            restrict=self._no_copies,
            words=lambda: self.known_words,
            opening=read_opening(text, self.tokenizer.vocabulary_size),
        )

    def _no_copies(self, limit: int) -> Restriction:
        from ostinato.evaluation.novelty_limit import NoCopies

        return NoCopies(self.training_text, limit, self.step_model.vocabulary_size)

    @overload
    def write(self, prompt: str = "", *, count: None = None, **options: Unpack[WriteOptions]) -> str: ...
    @overload
    def write(self, prompt: str = "", *, count: int, **options: Unpack[WriteOptions]) -> list[str]: ...
    @overload
    def write(self, prompt: list[str], *, count: None = None, **options: Unpack[WriteOptions]) -> list[str]: ...
    @overload
    def write(self, prompt: list[str], *, count: int, **options: Unpack[WriteOptions]) -> list[list[str]]: ...
    def write(
        self, prompt: str | list[str] = "", *, count: int | None = None, **options: Unpack[WriteOptions]
    ) -> str | list[str] | list[list[str]]:
        """Continue `prompt` until the document ends, or until a limit of lines or tokens or a stop text is reached.

        - lines, tokens, stop: where the text ends; stop is one text or several.
        - temperature (default 0.8), top_k, top_p, min_p, repetition_penalty: how tokens are chosen; see `Sampler`.
        - title: the title to write under. None: the model makes one up if its texts have titles (see docs/form.md);
          "": no title.
        - only_known: write no character that occurs less than twice in the training text.
        - form: a `Form` with rhyme, line lengths and so on. `lines` is then the number of lines per stanza; tokens and
          stop are refused.
        - search: how lines in form are found, "sample" or "beam".
        - max_copy: copy at most this many tokens of the training text in a row.
        - seed: the same seed gives the same text; None uses a new one.

        Returns one text, or a list of `count` texts if `count` is given. A list of prompts is written in one batch and
        returns a list with one entry per prompt; each entry is what its prompt alone would give with this seed. Raises
        UsageError for an invalid value, GenerationError if no text with the form was found.
        """
        if options.get("seed") is None:
            options["seed"] = new_seed()
        prompts = [prompt] if isinstance(prompt, str) else _texts("prompt", prompt)
        texts = 1 if count is None else count
        requests = [WriteRequest.of(one, count=texts, **options) for one in prompts]
        if options.get("form") is None:
            written = write_freely(self.text_model, requests)
        else:
            written = [event for one in requests for event in self.events(one) if isinstance(event, Written)]
        found = [[w.text for w in written[at : at + texts]] for at in range(0, len(written), texts)]
        if isinstance(prompt, str):
            return found[0][0] if count is None else found[0]
        return [one for (one,) in found] if count is None else found

    def stream(self, prompt: str = "", **options: Unpack[WriteOptions]) -> Iterator[str]:
        """Yield the pieces of one text as soon as they are final; joined, they are what `write` returns.

            for piece in model.stream("night", lines=8):
                print(piece, end="", flush=True)

        Options and errors are those of `write`. A title that the model makes up is left out. A text in form arrives
        line by line, each as soon as it is final. A text of a model that reads from right to left arrives in one piece.
        """
        events = self.events(WriteRequest.of(prompt, **options))
        return (event.text for event in events if isinstance(event, Piece) and not event.title)

    def events(self, request: WriteRequest) -> "Iterator[Event]":
        """Write one request: yields each `Piece` of a row's text as soon as it is final, and each finished text as
        `Written`.

        Rows are numbered 0 .. count - 1. Raises UsageError and GenerationError as `write` does.
        """
        from ostinato.form import stream

        return stream(self.text_model, request)

    def compose(
        self,
        form: "Form",
        prompt: str = "",
        *,
        count: int = 1,
        sampler: Sampler | None = None,
        title: str | None = None,
        seed: int | None = None,
        search: Search = "sample",
        max_copy: int | None = None,
    ) -> "list[Composed]":
        """Write `count` texts in the given form; each result also says how the text was found. See `form.compose`.

        sampler: None samples at temperature 0.8. seed: None uses a new one. Raises UsageError for a form that
        contradicts itself, GenerationError if no text with the form was found.
        """
        from ostinato.form.composing import compose_request

        request = WriteRequest(
            prompt=prompt, form=form, sampler=sampler or Sampler(temperature=TEMPERATURE), title=title, search=search,
            seed=new_seed() if seed is None else seed, count=count, max_copy=max_copy,
        )  # fmt: skip
        return [compose_request(self.text_model, request, row) for row in range(count)]

    @cached_property
    def known_words(self) -> frozenset[str] | None:
        """The words of the training text, for a model of characters or bytes. In form it writes only these words.

        None for other models, and for models saved before 0.2 if their training text is missing.
        """
        if self.tokenizer.kind not in ("character", "byte"):
            return None
        saved = read_words(self.path / WORDS_FILE)
        if saved is not None:
            return saved
        try:
            return known_words_of(self.training_text.ids, self.tokenizer, backward=self.backward)
        except UsageError:
            return None

    @property
    def history(self) -> "History":
        """The rows of the run's `metrics.jsonl` as a list of dicts. Losses are in nats per token; rows between
        evaluations have no held-out loss (None).

        Empty if the model is not in the folder of a run. A notebook shows the losses as a curve.
        """
        from ostinato.api.html import History

        path = self.path.parent / "metrics.jsonl"
        if self.path.name != "model" or not path.is_file():
            return History()
        rows = History()
        for line in path.read_text("utf-8", errors="replace").splitlines():
            try:
                row = json.loads(line)
            except ValueError:  # cut short by a kill
                continue
            rows += [row] if isinstance(row, dict) else []
        return rows

    def plot(self) -> "Picture":
        """Training and held-out loss over time as a picture. A notebook shows it; `plot().save(path)` saves it.

        Raises UsageError if the model is not in the folder of a run, MissingExtraError if matplotlib is not installed.
        """
        rows = self.history
        if not rows:
            raise UsageError(
                f"there is nothing to plot: {self.path} does not lie in the folder of a run with its metrics.jsonl"
            )
        from ostinato.api.html import Picture
        from ostinato.runs.picture import draw_losses

        with tempfile.TemporaryDirectory(prefix="ostinato-") as folder:
            path = Path(folder) / "loss"
            draw_losses(rows, path, title=", ".join(self.config.get("text", {}).get("names", ())))
            return Picture(path.with_suffix(".svg").read_text("utf-8"), path.with_suffix(".png").read_bytes())

    def _repr_html_(self) -> str:
        """The card and the loss curve, for notebooks."""
        from ostinato.api.html import model_html

        return model_html(f"{self.kind} model at {self.path}", self.card, self.history)

    @property
    def backward(self) -> bool:
        """Whether the model reads and writes from right to left."""
        return bool(self.config.get("text", {}).get("direction") == "backward")

    @property
    def heading(self) -> str:
        """The characters that begin a title line in the model's documents (`"# "`); "" if they have no titles."""
        return str(self.config.get("text", {}).get("heading", ""))

    def ids(self, text: str) -> Ids:
        """The ids of `text` as one document: (T,) integers, in the order in which the model reads them, with the end of
        the document."""
        ids = self._read(text)
        return np.append(ids, ids.dtype.type(END_OF_DOCUMENT))

    def _read(self, text: str) -> Ids:
        if not isinstance(text, str):
            raise UsageError(f"text must be a text, got {text!r}")
        ids = self.tokenizer.encode(text)
        return ids[::-1] if self.backward else ids

    @overload
    def score(self, text: str) -> Evaluation: ...
    @overload
    def score(self, text: list[str]) -> list[Evaluation]: ...
    def score(self, text: str | list[str]) -> Evaluation | list[Evaluation]:
        """How well the model predicts `text` as one document. A list is scored in one batch and returns a list.

        Raises TextError for an empty text, UsageError if `text` is neither a string nor a list.
        """
        if isinstance(text, str):
            return evaluate(self.step_model, self.ids(text), len(text), split="given")
        text = _texts("text", text)
        return evaluate_many(self.step_model, list(map(self.ids, text)), list(map(len, text)), split="given")

    def logprobs(self, text: str) -> list[TokenProbability]:
        """The tokens of `text` as one document, including its end, each with ln P given the tokens before it.

        They are in the order in which the model reads them: from right to left if `backward` is True.
        """
        ids = self.ids(text)
        scores = self.step_model.score(ids).tolist()
        return [TokenProbability(self.tokenizer.token(i), i, p) for i, p in zip(ids.tolist(), scores, strict=True)]

    @cached_property
    def training_text(self) -> "TrainingText":
        """The text the model was trained on, for finding copies.

        Raises UsageError if the run's folder no longer contains it.
        """
        from ostinato.evaluation.novelty import open_training_text
        from ostinato.text import corpus_of

        corpus = corpus_of(self.path, self.config)
        if corpus is None:
            raise UsageError(
                f"the training text of {self.path} is not in {self.path.parent / 'text'}, so copies cannot be found: "
                "keep the model in the folder that `ostinato train -o` made"
            )
        return open_training_text(corpus.train.ids, corpus.directory)

    def novelty(self, text: str) -> "Novelty":
        """Which parts of `text` are copied from the training text. Raises UsageError if that text is missing."""
        from ostinato.evaluation.novelty import measure

        return measure(self.training_text, self._read(text), self.tokenizer)

    def predict(self, inputs: Sequence[Any]) -> list[Any]:
        """The prediction of a `train_task` model for each input: tags, a class, a text, or the next values.

        Inputs have the form they had in training: a list of tokens to tag; a text or an array (steps, features) of
        floats to classify; a text to translate or continue; an array (values,) of floats to forecast. Needs torch.
        Raises BundleError for a language model, TextError for an unsuitable input.
        """
        return self._predictor.predict(list(inputs))  # type: ignore[no-any-return]

    @cached_property
    def _predictor(self) -> Any:
        with needs("train", "predicting"):
            from ostinato.runs import load_task_model

            return load_task_model(self._bundle)

    def save(self, path: str | Path) -> None:
        """Copy the model to the folder `path`, completely or not at all. Raises BundleError if it cannot be written."""
        if not str(path):
            raise UsageError("cannot save to a folder without a name: give a path")
        b = self._bundle
        if b.files:
            write_folder(Path(path), {name: content.tobytes() for name, content in b.files.items()})
        else:  # a part of another
            write_bundle(Path(path), config=b.config, tokenizer=b.tokenizer, tensors=b.tensors, card=b.card)


def _texts(name: str, given: list[str]) -> list[str]:
    """Several texts. Raises UsageError if `given` is not a list."""
    if not isinstance(given, list | tuple):
        raise UsageError(f"{name} must be a text or a list of texts, got {given!r}")
    return list(given)


def _reopened(path: str, precision: str, threads: int | None) -> Model:
    """A model that was pickled. Raises BundleError if it is no longer at its path."""
    return Model(path, precision=precision, threads=threads)


def load(path: str | Path, *, precision: str = "fp32") -> Model:
    """Read the saved model at `path`. precision: `fp32` or `int8`. Raises as `Model` does."""
    return Model(path, precision=precision)
