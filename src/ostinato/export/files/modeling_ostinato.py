"""A recurrent language model of ostinato for transformers: config, model and, for words, the tokenizer.

    e = embedding[ids]        (one-hot rows where embedding_size is 0)
    h, state = recurrent(e, state)
    logits = W (projection h) + bias,  W = embedding where tied

The state of a text is explicit: `outputs.cache` is a `RecurrentCache`, a few kilobytes per row however long
the text is. Padding is skipped: a padded position leaves the state as it is, on the left, on the right, or in between.
"""

import inspect
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional
from transformers import GenerationMixin, PretrainedConfig, PreTrainedModel, PreTrainedTokenizer
from transformers.utils import ModelOutput

CACHE = (
    "cache"
    if "cache" in inspect.signature(GenerationMixin.prepare_inputs_for_generation).parameters
    else "past_key_values"
)
"""What this version of transformers calls the state between two calls of `generate`."""


class OstinatoConfig(PretrainedConfig):
    """The shape of the model. `cell`: rnn, rnn-relu, gru or lstm. `beginning`: the ids that are read before a text
    without a prompt; `first_tokens`: the ids one of which is then its first token (none: any)."""

    model_type = "ostinato"

    def __init__(
        self,
        cell="lstm",
        layers=1,
        hidden_size=256,
        embedding_size=64,
        vocabulary_size=257,
        tied=False,
        direction="forward",
        beginning=(0,),
        first_tokens=(),
        **kwargs,
    ):
        self.cell, self.layers, self.hidden_size = cell, layers, hidden_size
        self.embedding_size, self.vocabulary_size = embedding_size, vocabulary_size
        self.tied, self.direction = tied, direction
        self.beginning, self.first_tokens = list(beginning), list(first_tokens)
        self.num_hidden_layers = layers
        kwargs.setdefault("vocab_size", vocabulary_size)
        super().__init__(**kwargs)


class RecurrentCache:
    """The state after what was read: h (layers, batch, hidden), and c for an LSTM; and how many tokens that was."""

    is_compileable = False

    def __init__(self, state, length=0):
        self.state, self.length = state, length

    def get_seq_length(self, layer_idx=0):
        return self.length

    def reorder_cache(self, rows):
        self.state = tuple(part.index_select(1, rows.to(part.device)) for part in self.state)
        return self

    def batch_repeat_interleave(self, repeats):
        self.state = tuple(part.repeat_interleave(repeats, dim=1) for part in self.state)

    def batch_select_indices(self, rows):
        self.reorder_cache(rows)


@dataclass
class OstinatoOutput(ModelOutput):
    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    cache: RecurrentCache | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None


class Table(nn.Module):
    """One vector per token."""

    def __init__(self, rows, size):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(rows, size))


class Output(nn.Module):
    """Logits from features; without a weight of its own where the embedding's is used."""

    def __init__(self, features, rows, tied):
        super().__init__()
        self.weight = None if tied else nn.Parameter(torch.zeros(rows, features))
        self.bias = nn.Parameter(torch.zeros(rows))


class OstinatoForCausalLM(PreTrainedModel, GenerationMixin):
    """Embedding, torch's own recurrent layers, and a linear output."""

    config_class = OstinatoConfig
    main_input_name = "input_ids"
    _is_stateful = True
    _tied_weights_keys = {}
    _no_split_modules = []

    def __init__(self, config):
        super().__init__(config)
        c = config
        kind = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN, "rnn-relu": nn.RNN}[c.cell]
        options = {"nonlinearity": "relu"} if c.cell == "rnn-relu" else {}
        inputs = c.embedding_size or c.vocabulary_size
        self.embedding = Table(c.vocabulary_size, c.embedding_size) if c.embedding_size else None
        self.recurrent = kind(inputs, c.hidden_size, c.layers, batch_first=True, **options)
        projected = c.tied and c.embedding_size != c.hidden_size
        self.projection = nn.Linear(c.hidden_size, c.embedding_size, bias=False) if projected else None
        self.head = Output(c.hidden_size, c.vocabulary_size, c.tied)
        self.post_init()

    def _init_weights(self, module):
        pass

    def tie_weights(self, *args, **kwargs):
        """The output reads the embedding's own weights: there is nothing to tie."""

    def get_input_embeddings(self):
        return None

    def get_output_embeddings(self):
        return None

    @classmethod
    def _supports_default_dynamic_cache(cls):
        return False

    def initial_state(self, batch):
        zeros = self.head.bias.new_zeros(self.config.layers, batch, self.config.hidden_size)
        return (zeros, zeros.clone()) if self.config.cell == "lstm" else (zeros,)

    def _vectors(self, ids):
        if self.embedding is None:
            return functional.one_hot(ids, self.config.vocabulary_size).to(self.head.bias.dtype)
        return functional.embedding(ids, self.embedding.weight)

    def _read(self, ids, state, mask):
        """Features (B, T, H) and the state after the last real token of each row."""
        given = state if len(state) == 2 else state[0]
        lengths = None if mask is None else mask.sum(1)
        if lengths is None or bool((lengths == ids.shape[1]).all()):
            features, after = self.recurrent(self._vectors(ids), given)
            return features, after if isinstance(after, tuple) else (after,)
        # the real tokens of each row move to the front, are read as a packed sequence, and move back
        order = torch.argsort(~mask, dim=1, stable=True)
        packed = nn.utils.rnn.pack_padded_sequence(
            self._vectors(ids.gather(1, order)), lengths.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False
        )
        output, after = self.recurrent(packed, given)
        features, _ = nn.utils.rnn.pad_packed_sequence(output, batch_first=True, total_length=ids.shape[1])
        back = torch.argsort(order, dim=1)[..., None].expand_as(features)
        after = after if isinstance(after, tuple) else (after,)
        empty = (lengths == 0)[None, :, None]  # nothing to read: the state stays
        return features.gather(1, back), tuple(torch.where(empty, s, a) for s, a in zip(state, after, strict=True))

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        cache=None,
        past_key_values=None,
        labels=None,
        use_cache=True,
        output_hidden_states=False,
        return_dict=True,
        **kwargs,
    ):
        """input_ids (B, T); attention_mask (B, T), 0 at padding; logits (B, T, V). labels: -100 is passed over."""
        past = cache if cache is not None else past_key_values
        state = self.initial_state(len(input_ids)) if past is None else past.state
        mask = None if attention_mask is None else attention_mask[:, -input_ids.shape[1] :].bool()
        features, state = self._read(input_ids, state, mask)
        x = features if self.projection is None else self.projection(features)
        weight = self.embedding.weight if self.head.weight is None else self.head.weight
        logits = functional.linear(x, weight, self.head.bias)
        loss = None
        if labels is not None:
            loss = functional.cross_entropy(logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten())
        length = input_ids.shape[1] + (past.length if past is not None else 0)
        hidden = (features,) if output_hidden_states else None
        output = OstinatoOutput(loss, logits, RecurrentCache(state, length) if use_cache else None, hidden)
        return output if return_dict else output.to_tuple()

    def write(self, count=1, **options):
        """Texts without a prompt, ids (count, T), 0 after the end; they begin where texts of this kind do. The options
        are those of `generate`, which goes on with a prompt."""
        c = self.config
        read = torch.tensor([c.beginning] * count, device=self.head.bias.device)
        if c.first_tokens:
            options.setdefault("begin_suppress_tokens", sorted(set(range(c.vocabulary_size)) - set(c.first_tokens)))
        return self.generate(read, attention_mask=torch.ones_like(read), **options)[:, read.shape[1] :]

    def prepare_inputs_for_generation(
        self, input_ids, cache=None, past_key_values=None, attention_mask=None, use_cache=True, **kwargs
    ):
        """After the first call only the last token is read."""
        cache = cache if cache is not None else past_key_values
        if cache is not None:
            input_ids = input_ids[:, -1:]
        return {"input_ids": input_ids, "attention_mask": attention_mask, "cache": cache, "use_cache": use_cache}

    def _update_model_kwargs_for_generation(self, outputs, model_kwargs, is_encoder_decoder=False, **kwargs):
        model_kwargs[CACHE] = outputs.cache
        mask = model_kwargs.get("attention_mask")
        if mask is not None:
            model_kwargs["attention_mask"] = torch.cat([mask, mask.new_ones((len(mask), 1))], dim=1)
        return model_kwargs

    def _reorder_cache(self, cache, beam_idx):
        return cache.reorder_cache(beam_idx)


class OstinatoTokenizer(PreTrainedTokenizer):
    """The tokenizer of a model over words; cutting words needs `pip install ostinato` (which needs no torch)."""

    vocab_files_names = {"vocab_file": "ostinato_tokenizer.json"}
    model_input_names = ["input_ids", "attention_mask"]

    def __init__(self, vocab_file=None, **kwargs):
        import json

        try:
            from ostinato.text import from_json
        except ImportError as error:
            raise ImportError("this tokenizer cuts words with ostinato: pip install ostinato") from error
        with open(vocab_file, encoding="utf-8") as file:
            self._cutter = from_json(json.load(file))
        super().__init__(**kwargs)

    @property
    def vocab_size(self):
        return self._cutter.vocabulary_size

    def get_vocab(self):
        return {self._name(token_id): token_id for token_id in range(self.vocab_size)}

    def _name(self, token_id):
        """A unique name: characters and words may look alike."""
        return self.bos_token if token_id == 0 else f"{token_id}:{self._cutter.token(token_id)}"

    def _tokenize(self, text, **kwargs):
        return [self._name(token_id) for token_id in self._cutter.encode(text).tolist()]

    def _convert_token_to_id(self, token):
        return 0 if token == self.bos_token else int(token.partition(":")[0])

    def _convert_id_to_token(self, index):
        return self._name(index)

    def convert_tokens_to_string(self, tokens):
        ids = [self._convert_token_to_id(token) for token in tokens]
        return self._cutter.decode(ids)

    def build_inputs_with_special_tokens(self, token_ids_0, token_ids_1=None):
        return [0, *token_ids_0] + ([] if token_ids_1 is None else [0, *token_ids_1])

    def save_vocabulary(self, save_directory, filename_prefix=None):
        import json
        from pathlib import Path

        name = f"{filename_prefix}-" if filename_prefix else ""
        path = Path(save_directory) / f"{name}ostinato_tokenizer.json"
        path.write_text(json.dumps(self._cutter.to_json(), ensure_ascii=False), "utf-8")
        return (str(path),)
