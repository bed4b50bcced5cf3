"""A text for a text."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from ostinato.evaluation.translation import bleu, chrf
from ostinato.layers import start_output_bias
from ostinato.models.classifier import IGNORED
from ostinato.models.decoding import beam_search, greedy
from ostinato.models.encoder_decoder import EncoderDecoder
from ostinato.models.padding import lengths_of, pad
from ostinato.models.task_models import Arrays, Example, TaskModel
from ostinato.runs.record_data import Part, TaskData
from ostinato.runs.record_task import Defaults, RecordTask
from ostinato.settings import ModelSettings, TaskSettings, TextSettings
from ostinato.text import BaseTokenizer
from ostinato.text.records import Records, read_pairs


class TranslateModel(TaskModel[EncoderDecoder]):
    """A text for a text, by an encoder and a decoder."""

    quick = False

    def input_arrays(self, value: Any) -> Example:
        return (self._text(value),)

    def example(self, value: Any, target: Any) -> Example:
        return self._text(value), self._text(target)

    def batch(self, examples: Sequence[Example]) -> Arrays:
        sources = [e[0] for e in examples]
        if len(examples[0]) == 1:
            return pad(sources), lengths_of(sources)
        targets = [e[1] for e in examples]
        given = pad([np.roll(t, 1) for t in targets])  # the end, last of each target, is also what it starts from
        return pad(sources), lengths_of(sources), given, pad(targets, IGNORED)

    def targets(self, batch: Sequence[Any]) -> int:
        return int((batch[3] != IGNORED).sum())

    def probe_records(self) -> list[tuple[Any, Any]]:
        return [("abc", "cba"), ("b", "a")]

    def _outputs(self, tensors: Sequence[Tensor], inputs: Sequence[Any]) -> list[Any]:
        source, lengths = tensors
        if self.task.beam == 1:
            written = greedy(self.network, source, lengths)
        else:
            written = beam_search(
                self.network, source, lengths, beam=self.task.beam, length_penalty=self.task.length_penalty
            )
        return [self.tokenizer.decode(np.array(ids, np.uint32)) for ids in written]

    def scores(self, predictions: Sequence[Any], targets: Sequence[Any]) -> dict[str, float]:
        exact = float(np.mean([p == t for p, t in zip(predictions, targets, strict=True)]))
        return {"exact": exact, "bleu": bleu(predictions, targets), "chrf": chrf(predictions, targets)}


class TranslateTask(RecordTask):
    """Learn to translate from pairs of texts."""

    title = "A translator"
    large = True
    defaults = Defaults(hidden_size=256, embedding_size=128, dropout=0.3, batch_size=64, learning_rate=3e-3, epochs=12)

    def records(self, paths: Sequence[str], task: TaskSettings, text: TextSettings, **options: Any) -> Records:
        """Lines `source TAB target`, or JSONL."""
        return read_pairs(paths, **options)

    def pieces(self, train: Part) -> list[str]:
        """Both sides share a vocabulary."""
        return [*train.inputs, *train.targets]

    def model(
        self, task: TaskSettings, model: ModelSettings, tokenizer: BaseTokenizer, labels: Sequence[str], features: int
    ) -> TranslateModel:
        """With weights from torch's global random generator."""
        network = EncoderDecoder(
            model, tokenizer.vocabulary_size, bidirectional=task.bidirectional, attention=task.attention
        )
        return TranslateModel(network, tokenizer, task)

    def prepare(self, model: Any, records: Records, data: TaskData, initialisation: str) -> None:
        """The decoder's output bias starts from the frequencies of the targets' tokens."""
        bias = model.network.head.bias
        start_output_bias(bias, data.target_counts(len(bias)), initialisation)


TASK = TranslateTask()
