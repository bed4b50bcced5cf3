"""A recipe and its sections: one dataclass per table, with its fields, their limits and what they mean."""

from dataclasses import dataclass

from ostinato import cells
from ostinato.settings.checking import Checked, setting

TOKENIZERS = ("character", "word", "byte", "whitespace")
CELLS = cells.NAMES
"""Every cell that there is now: also those that were registered since."""
OWN_CELL = "; if it is a cell of your own, name its file with --cell-file"
BACKENDS = ("auto", "reference", "torch", "native")
INITIALISATIONS = ("default", "torch", "normal-0.01", "uniform-0.1", "orthogonal")
OPTIMIZERS = ("sgd", "adam", "adamw")
SCHEDULES = ("constant", "linear", "cosine", "one-cycle", "plateau")
SAMPLINGS = ("random", "consecutive", "windows")
PRECISIONS = ("auto", "fp32", "bf16")
COMPRESSIONS = ("none", "fp16")
TASKS = ("classify", "forecast", "language", "next-line", "tag", "translate")
"""One task per file in `runs/tasks/` (a test compares them)."""
VOCABULARIES = ("join", "new")
MIXTURES = ("none", "linear", "gated", "best")
POOLINGS = ("last", "mean", "max")
_MOST = 2**31 - 1
"""Larger counts are taken for typing errors."""
SMOOTHINGS = ("none", "kneser-ney", "add-k", "maximum-likelihood", "context-mixing")


@dataclass(frozen=True)
class TextSettings(Checked):
    """[text]: how files become documents and documents become tokens."""

    section = "text"

    tokenizer: str = setting("character", "how text is split into tokens", among=TOKENIZERS)
    documents: str = setting(
        "auto",
        "where a new document begins: files, lines, paragraphs, auto, or a regular expression for its first line",
    )
    limit: int = setting(0, "use only the first N characters of the text (0: all)", low=0, high=_MOST)
    newlines: str = setting("keep", "keep newlines, or replace each with a space (blank)", among=("keep", "blank"))
    min_count: int | None = setting(
        None, "spell out tokens that occur fewer times than this (auto: 2; 1 for whitespace)", low=1, high=_MOST
    )
    direction: str = setting("forward", "direction in which the text is read", among=("forward", "backward"))
    heldout: float = setting(0.1, "fraction of the text held out for evaluation", low=0.0, high=0.5)
    field: str = setting("text", "field that contains the text in JSON Lines files (.jsonl)")
    heldout_files: tuple[str, ...] = setting(
        (), "held-out files for choosing the model, instead of a fraction of the text (--heldout)"
    )
    test_files: tuple[str, ...] = setting((), "test files, used once at the end to measure the chosen model (--test)")


@dataclass(frozen=True)
class ModelSettings(Checked):
    """[model]: the recurrent language model."""

    section = "model"

    cell: str = setting("lstm", "recurrent cell: built in or your own (--cell-file)", among=CELLS, hint=OWN_CELL)
    layers: int = setting(1, "number of recurrent layers", low=1, high=16)
    hidden_size: int | None = setting(None, "units per layer", low=1, high=16384)
    embedding_size: int | None = setting(None, "size of the token embeddings (0: one-hot input)", low=0, high=16384)
    tied: bool = setting(False, "share weights between the embedding and the output layer")
    dropout: float | None = setting(None, "dropout rate of layer inputs and outputs", low=0.0, high=0.95)
    embedding_dropout: float = setting(
        0.0, "fraction of the vocabulary whose embeddings are dropped", low=0.0, high=0.95
    )
    locked_dropout: bool = setting(True, "use one dropout mask for all time steps (variational dropout)")
    weight_drop: float | None = setting(
        None,
        "dropout rate of the hidden-to-hidden weights (DropConnect; auto: depends on text size and passes)",
        low=0.0,
        high=0.95,
    )
    initialisation: str = setting("default", "how weights are initialised", among=INITIALISATIONS)
    forget_bias: float | None = setting(
        None, "initial bias of the LSTM forget gate (auto: set by initialisation)", low=-1e3, high=1e3
    )
    backend: str = setting("auto", "implementation of the recurrent layers", among=BACKENDS)
    context: int = setting(
        0, "number of tokens that a network without hidden state sees (0: recurrent network)", low=0, high=1024
    )
    mixture: str | None = setting(
        None,
        "mix the network with count-based models if this predicts the held-out text better (auto: best, "
        "which picks the best of linear, gated and none; language models only)",
        among=MIXTURES,
    )

    @property
    def name(self) -> str:
        """The network in a table: `lstm 256`, `gru 2 × 512`, `window of 8`."""
        if self.context:
            return f"window of {self.context}"
        return f"{self.cell} {f'{self.layers} × ' if self.layers > 1 else ''}{self.hidden_size}"

    @property
    def shape(self) -> str:
        """The network in a line of its own: `lstm, 1 × 256`, `window of 8 tokens, 256`."""
        if self.context:
            return f"{self.name} tokens, {self.hidden_size}"
        return f"{self.cell}, {self.layers} × {self.hidden_size}"


@dataclass(frozen=True)
class TrainingSettings(Checked):
    """[training]: minibatches, optimizer, schedule, and when to stop."""

    section = "training"

    sampling: str = setting("consecutive", "how minibatches are drawn", among=SAMPLINGS)
    batch_size: int | None = setting(None, "rows per minibatch", low=1, high=65536)
    window: int | None = setting(None, "time steps per minibatch (truncated BPTT)", low=1, high=65536)
    stride: int | None = setting(
        1,
        "distance between neighbouring windows (sampling = windows; auto: 1, or up to half a window if "
        "minutes are set)",
        low=1,
        high=_MOST,
    )
    optimizer: str = setting("adamw", "optimizer", among=OPTIMIZERS)
    learning_rate: float | None = setting(None, "peak learning rate", low=0.0, high=1e6)
    weight_decay: float | None = setting(
        None,
        "decoupled weight decay (adamw; auto: depends on text size and passes) or L2 penalty (sgd, adam; auto: 0)",
        low=0.0,
        high=1e6,
    )
    momentum: float = setting(0.0, "momentum (sgd)", low=0.0, high=1.0)
    schedule: str | None = setting(
        "linear",
        "how the learning rate changes over time (auto: linear; plateau for windows without minutes)",
        among=SCHEDULES,
    )
    warmup: float = setting(
        0.02, "fraction of training spent on warm-up (linear, cosine, one-cycle)", low=0.0, high=1.0
    )
    plateau_factor: float = setting(0.5, "factor by which each plateau multiplies the learning rate", low=0.0, high=1.0)
    plateau_patience: int = setting(
        2, "cut the learning rate after more than this many evaluations in a row without improvement", low=0, high=_MOST
    )
    clip: float = setting(1.0, "maximum global gradient norm (0: no clipping)", low=0.0, high=1e30)
    epochs: float | None = setting(None, "passes over the training text", low=0.001, high=1e9)
    steps: int | None = setting(None, "optimizer steps", low=1, high=_MOST)
    minutes: float | None = setting(None, "minutes of training", low=0.001, high=1e7)
    evaluate_every: float | None = setting(
        None, "epochs between evaluations (auto: depends on their cost)", low=0.0, high=1e9
    )
    patience: int | None = setting(
        0,
        "evaluations in a row without improvement before training stops early (0: never; auto: 0; 3 for "
        "windows without minutes)",
        low=0,
        high=_MOST,
    )
    averaging: float = setting(
        0.0, "decay of the exponential moving average of the weights (0: no averaging)", low=0.0, high=1.0
    )
    candidates: int | None = setting(
        None,
        "tokens in the softmax of a training step (auto: 4,096 for much larger vocabularies; 0: all)",
        low=0,
        high=_MOST,
    )
    accumulate: int = setting(1, "minibatches per optimizer step", low=1, high=65536)
    local_steps: int = setting(
        1, "with several processes: steps between averages of the weights (1: average gradients at every step)", low=1,
        high=65536,
    )  # fmt: skip
    compression: str = setting(
        "none", "with several processes: how gradients are compressed before sending", among=COMPRESSIONS
    )
    precision: str = setting("auto", "precision of matrix products", among=PRECISIONS)
    vocabulary: str = setting(
        "join",
        "with --from: join the model's tokens with the text's, or use only the text's (new)",
        among=VOCABULARIES,
    )
    layer_rates: float = setting(
        1.0,
        "with --from: learning rate of each layer as a fraction of that of the layer above",
        low=0.0,
        high=1.0,
    )
    unfreeze: float = setting(
        0.0, "with --from: fraction of the run after which the lowest layer starts to learn", low=0.0, high=1.0
    )
    seed: int = setting(1, "seed for initial weights, sampling and dropout", low=0, high=2**63 - 1)


@dataclass(frozen=True)
class NgramSettings(Checked):
    """[ngram]: a model of counts in place of the recurrent one, if `smoothing` names one.

    context-mixing makes no use of the other settings.
    """

    section = "ngram"

    smoothing: str = setting(
        "none", "how unseen n-grams get a probability (none: train a network instead)", among=SMOOTHINGS
    )
    order: int = setting(5, "length of the longest n-grams, in tokens", low=1, high=10)
    k: float = setting(1.0, "amount that add-k adds to every count", low=0.0, high=1e9)
    prune: int = setting(0, "drop n-grams of 3 or more tokens that occur at most N times", low=0, high=_MOST)
    memory: float = setting(
        0.0, "GiB of memory for counting kneser-ney; the rest goes to disk (0: no limit)", low=0.0, high=1e6
    )


@dataclass(frozen=True)
class TaskSettings(Checked):
    """[task]: what is learnt from the data; `language` is the language model of a text."""

    section = "task"

    name: str = setting("language", "what the model does", among=TASKS)
    bidirectional: bool = setting(True, "read in both directions (tag, classify, translate, next-line)")
    pooling: str = setting("mean", "how a sequence becomes one vector (classify)", among=POOLINGS)
    attention: bool = setting(True, "attend to the source at every output token (translate, next-line)")
    beam: int = setting(4, "hypotheses kept in beam search (1: greedy; translate, next-line)", low=1, high=256)
    length_penalty: float = setting(
        1.0, "divide scores by the length to this power (0: do not divide)", low=0.0, high=4.0
    )
    label: str = setting("label", "column or field that contains the class (classify)")
    column: str = setting("auto", "column that contains the series (auto: the last; forecast)")
    history: int = setting(24, "past values that a forecast reads", low=2, high=65536)
    horizon: int = setting(12, "future values that a forecast predicts", low=1, high=65536)
    season: int = setting(
        0, "values per season; forecasts correct the last season (0: the last value)", low=0, high=65536
    )
    logarithm: bool = setting(False, "forecast the logarithm, for series that grow by percentages")
    saved: str = setting(
        "best",
        "best: save a method without a network where it does better; network: always save the network "
        "(forecast, classify, tag)",
        among=("best", "network"),
    )


@dataclass(frozen=True)
class Recipe:
    """A whole recipe. `name` is where it came from, for messages."""

    text: TextSettings = TextSettings()
    model: ModelSettings = ModelSettings()
    training: TrainingSettings = TrainingSettings()
    ngram: NgramSettings = NgramSettings()
    task: TaskSettings = TaskSettings()
    name: str = "default"
