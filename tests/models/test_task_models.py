"""Models of tasks: what one computes for a sequence does not depend on its neighbours, and equals torch's layers."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from ostinato.errors import BundleError, SettingsError, TextError, UsageError
from ostinato.models.classifier import IGNORED, Classifier, Tagger
from ostinato.models.decoding import beam_search, greedy
from ostinato.models.encoder_decoder import EncoderDecoder, Memory
from ostinato.models.forecaster import Forecaster
from ostinato.models.sequence_encoder import SequenceEncoder
from ostinato.runs.finding import named_task
from ostinato.settings import CELLS, POOLINGS, ModelSettings, TaskSettings
from ostinato.text import build


def task_model(task, tokenizer, labels=(), features=0):
    return named_task(task.name).model(task, SETTINGS, tokenizer, labels, features)


SETTINGS = ModelSettings(hidden_size=7, embedding_size=5, dropout=0.3, layers=2)
LENGTHS = torch.tensor([9, 1, 4])


def settings(**changes):
    return dataclasses.replace(SETTINGS, **changes)


def randomised(model):
    """The model in evaluation mode with larger weights than it starts with, so that differences show."""
    torch.manual_seed(3)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model.eval()


def inputs(kind):
    generator = torch.Generator().manual_seed(5)
    if kind == "ids":
        return torch.randint(1, 11, (3, 9), generator=generator)
    return torch.randn(3, 9, 4, generator=generator)


def sizes(kind):
    return {"vocabulary_size": 11} if kind == "ids" else {"features": 4}


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("kind", ["ids", "features"])
def test_both_directions_are_torchs_packed_layers(cell, kind):
    encoder = randomised(SequenceEncoder(settings(cell=cell, layers=1), **sizes(kind), bidirectional=True))
    x = inputs(kind)
    vectors = encoder.embedding.weight[x] if kind == "ids" else x
    cls = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}.get(cell, torch.nn.RNN)
    extra = {"nonlinearity": "relu"} if cell == "rnn-relu" else {}
    reference = cls(vectors.shape[2], 7, bidirectional=True, batch_first=True, **extra)
    state = dict(encoder.ahead[0].state_dict())
    state |= {f"{name}_reverse": value for name, value in encoder.back[0].state_dict().items()}
    reference.load_state_dict(state)
    packed, last = reference(pack_padded_sequence(vectors, LENGTHS, batch_first=True, enforce_sorted=False))
    expected, _ = pad_packed_sequence(packed, batch_first=True)
    y, summary = encoder(x, LENGTHS)
    h = last[0] if isinstance(last, tuple) else last
    torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(summary, torch.cat([h[0], h[1]], dim=1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", ["ids", "one-hot", "features"])
@pytest.mark.parametrize("pooling", [*POOLINGS, "tags"])
def test_a_sequence_alone_gives_what_it_gives_beside_longer_ones(pooling, kind, bidirectional):
    s = settings(embedding_size=0) if kind == "one-hot" else SETTINGS
    kind = "ids" if kind == "one-hot" else kind
    options = {**sizes(kind), "bidirectional": bidirectional}
    model = Tagger(s, 3, **options) if pooling == "tags" else Classifier(s, 3, pooling=pooling, **options)
    randomised(model)
    x = inputs(kind)
    together = model(x, LENGTHS)
    for row, n in enumerate(LENGTHS.tolist()):
        alone = model(x[row : row + 1, :n], LENGTHS[row : row + 1])
        beside = together[row : row + 1, :n] if pooling == "tags" else together[row : row + 1]
        torch.testing.assert_close(alone, beside, rtol=0, atol=1e-6)


def test_what_stands_in_the_padding_does_not_matter():
    model = randomised(Classifier(SETTINGS, 3, features=4))
    x = inputs("features")
    other = x.clone()
    other[1, 1:], other[2, 4:] = 1e3, -1e3
    assert torch.equal(model(x, LENGTHS), model(other, LENGTHS))


def test_features_are_standardised():
    encoder = SequenceEncoder(SETTINGS, features=2, bidirectional=False)
    rows = np.array([[0, 5], [2, 5], [4, 5]], np.float32)
    encoder.standardise(rows)
    found = encoder._vectors(torch.from_numpy(rows)[:, None], 0.0)
    np.testing.assert_allclose(found[:, 0, 0], [-math.sqrt(1.5), 0, math.sqrt(1.5)], rtol=1e-6)
    np.testing.assert_allclose(found[:, 0, 1], 0)  # a constant feature is no information, and no division by zero


def pairs():
    generator = torch.Generator().manual_seed(6)
    source = torch.randint(1, 11, (3, 9), generator=generator)
    targets = torch.randint(1, 11, (3, 6), generator=generator)
    for row, n in enumerate([6, 2, 4]):
        targets[row, n - 1], targets[row, n:] = 0, IGNORED
    given = torch.cat([torch.zeros(3, 1, dtype=torch.long), targets[:, :-1].clamp(min=0)], dim=1)
    return source, LENGTHS, given, targets


@pytest.mark.parametrize("attention", [False, True])
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_translations_do_not_depend_on_their_neighbours(cell, attention):
    model = randomised(EncoderDecoder(settings(cell=cell), 11, attention=attention))
    source, lengths, given, targets = pairs()
    together = model.log_probabilities(source, lengths, given, targets)
    written = greedy(model, source, lengths)
    searched = beam_search(model, source, lengths, beam=3)
    for row, (n, u) in enumerate(zip(lengths.tolist(), [6, 2, 4], strict=True)):
        one = slice(row, row + 1)
        alone = model.log_probabilities(source[one, :n], lengths[one], given[one, :u], targets[one, :u])
        torch.testing.assert_close(alone, together[one], rtol=1e-6, atol=1e-5)
        assert greedy(model, source[one, :n], lengths[one]) == [written[row]]
        assert beam_search(model, source[one, :n], lengths[one], beam=3) == [searched[row]]


def test_the_loss_is_the_mean_log_probability_and_equals_step_by_step():
    model = randomised(EncoderDecoder(settings(tied=True), 11))
    source, lengths, given, targets = pairs()
    total = model.log_probabilities(source, lengths, given, targets)
    loss, _ = model.loss(source, lengths, given, targets)
    assert math.isclose(float(loss.detach()), -float(total.sum()) / 12, rel_tol=1e-5)
    memory = model.encode(source, lengths)
    state, stepped = memory.state, torch.zeros(3)
    for u in range(6):
        scores, state = model.step(given[:, u], memory, state)
        kept = targets[:, u] != IGNORED
        stepped[kept] += scores[torch.arange(3), targets[:, u].clamp(min=0)][kept]
    torch.testing.assert_close(stepped, total, rtol=1e-5, atol=1e-5)


def test_every_parameter_learns():
    source, lengths, given, targets = pairs()
    model = EncoderDecoder(settings(dropout=0.0), 11)
    model.loss(source, lengths, given, targets)[0].backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.parametrize("attention", [False, True])
def test_beam_one_is_greedy(attention):
    model = randomised(EncoderDecoder(SETTINGS, 11, attention=attention))
    model.head.bias.data[0] += 1.0
    source = torch.randint(1, 11, (20, 7), generator=torch.Generator().manual_seed(1))
    lengths = torch.arange(20) % 7 + 1
    assert beam_search(model, source, lengths, beam=1) == greedy(model, source, lengths)


class Table:
    """A decoder that is a table: P(next | last), ids 0 (the end) to 3."""

    vocabulary_size = 4

    def __init__(self, rows):
        self.rows = torch.tensor(rows).log()

    def encode(self, source, lengths):
        return Memory(torch.zeros(len(source), 1, 1), torch.zeros(len(source), 1), torch.zeros(1, len(source), 1))

    def step(self, ids, memory, state):
        return self.rows[ids], state


def test_a_beam_finds_what_greedy_walks_past():
    # 1 looks best, but whatever follows it is improbable: 1 2 and end 0.6 * 0.4 * 1; 2 and end 0.4 * 1
    table = Table([[0.0, 0.6, 0.4, 0.0], [0.2, 0.0, 0.4, 0.4], [1.0, 0, 0, 0], [1.0, 0, 0, 0]])
    one = torch.tensor([[1]]), torch.tensor([1])
    assert greedy(table, *one) == [[1, 2]]
    assert beam_search(table, *one, beam=2, length_penalty=0.0) == [[2]]


def test_the_length_penalty_lets_longer_targets_win():
    table = Table([[0.0, 0.5, 0.5, 0.0], [0.99, 0.0, 0.0, 0.01], [0.0, 0.0, 0.0, 1.0], [0.8, 0.1, 0.1, 0.0]])
    one = torch.tensor([[1]]), torch.tensor([1])
    assert beam_search(table, *one, beam=3, length_penalty=0.0) == [[1]]  # log 0.495 against log 0.4
    assert beam_search(table, *one, beam=3, length_penalty=1.0) == [[2, 3]]  # halved against a third


def test_what_cannot_be_built_or_searched():
    with pytest.raises(SettingsError, match="needs an embedding"):
        EncoderDecoder(settings(embedding_size=0), 11)
    with pytest.raises(SettingsError, match="must be decided before"):
        Classifier(ModelSettings(), 3, features=2)
    with pytest.raises(UsageError, match="pooling must be one of last, mean, max, got 'sum'"):
        Classifier(SETTINGS, 3, features=2, pooling="sum")
    with pytest.raises(UsageError, match="beam must be at least 1, got 0"):
        beam_search(EncoderDecoder(SETTINGS, 11), torch.ones(1, 1).long(), torch.ones(1).long(), beam=0)
    with pytest.raises(SettingsError, match=r"task.history must be longer than task.season, got 12 and 12"):
        Forecaster(SETTINGS, TaskSettings(history=12, season=12))


@pytest.mark.parametrize("logarithm", [False, True])
@pytest.mark.parametrize("season", [0, 3])
def test_an_untrained_forecaster_repeats_the_last_season(season, logarithm):
    task = TaskSettings(history=8, horizon=5, season=season, logarithm=logarithm)
    model = Forecaster(SETTINGS, task).eval()
    series = np.array([3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5.0])
    model.standardise(series)
    found = model(torch.from_numpy(series[None, -8:]))[0].detach().numpy()
    np.testing.assert_allclose(found, [5, 3, 5, 5, 3] if season else [5] * 5, rtol=1e-5)
    np.testing.assert_array_equal(model.naive(series), [5, 3, 5, 5, 3] if season else [5] * 5)


def test_forecasts_follow_the_unit_and_the_level():
    task = TaskSettings(history=8, horizon=3, season=2)
    series = np.random.default_rng(0).standard_normal(30).cumsum()
    found = []
    for values in (series, 1000 * series + 7):
        model = randomised(Forecaster(SETTINGS, task))
        model.standardise(values)
        found.append(model(torch.from_numpy(values[None, -8:]))[0].detach().numpy())
    np.testing.assert_allclose(found[1], 1000 * found[0] + 7, rtol=1e-4)


def test_a_series_that_cannot_be_forecast():
    model = task_model(TaskSettings(name="forecast", history=5, logarithm=True), build("byte", []))
    with pytest.raises(TextError, match=r"needs values above 0, got -1: set task.logarithm=false"):
        model.predict([np.array([1, 2, -1, 4, 5.0])])
    with pytest.raises(TextError, match="the series has 2 values, but a forecast reads 5"):
        model.predict([np.array([1, 2.0])])


def test_a_classifier_refuses_other_inputs_than_it_was_trained_on():
    task, tokenizer = TaskSettings(name="classify"), build("byte", [])
    numbers = task_model(task, tokenizer, labels="ab", features=4)
    with pytest.raises(TextError, match="trained on 4 features, got a text"):
        numbers.predict(["x"])
    with pytest.raises(TextError, match="trained on 4 features, got 3"):
        numbers.predict([np.zeros((2, 3), np.float32)])
    with pytest.raises(TextError, match="trained on texts, got numbers"):
        task_model(task, tokenizer, labels="ab").predict([np.zeros((2, 3), np.float32)])


def test_tags_of_characters_that_are_spelled_in_bytes():
    tokenizer = build("character", ["abab\n"])
    model = task_model(TaskSettings(name="tag"), tokenizer, labels=["x", "y"])
    assert [len(tags) for tags in model.predict([list("a龍b"), [], ["ab", "龍龍"]])] == [3, 0, 2]
    ids, tags = model.example(list("a龍b"), ["x", "y", "z"])
    assert len(ids) == 5  # 龍 is three bytes; its tag stands at the last, and z is no class of the model
    assert tags.tolist() == [0, IGNORED, IGNORED, 1, IGNORED]


def test_saved_tensors_come_back_and_wrong_ones_are_refused():
    model, other = (randomised(EncoderDecoder(SETTINGS, 11)) for _ in range(2))
    torch.nn.init.zeros_(other.head.weight)
    other.load_tensors(model.save_tensors())
    assert torch.equal(other.head.weight, model.head.weight)
    with pytest.raises(BundleError, match=r"missing head.bias"):
        other.load_tensors({k: v for k, v in model.save_tensors().items() if k != "head.bias"})
