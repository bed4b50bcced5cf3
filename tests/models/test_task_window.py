"""The network over the last tokens: the torch module, its NumPy twin, and training it as a language model."""

import dataclasses

import numpy as np
import pytest
import torch

from ostinato.bundle import Bundle
from ostinato.cli.main import main
from ostinato.errors import BundleError, SettingsError, UsageError
from ostinato.models.step import TorchStepModel
from ostinato.models.window_mlp import WindowMLP, build_language_model
from ostinato.protocols import StepModel
from ostinato.runtime import load
from ostinato.runtime.window import load_window
from ostinato.settings import ModelSettings
from ostinato.text import build

IDS = np.random.default_rng(0).integers(0, 9, 60).astype(np.uint16)
TOKENIZER = build("character", ["abcdefgh\n" * 2])
V = TOKENIZER.vocabulary_size


def network(**changes):
    torch.manual_seed(2)
    model = WindowMLP(
        ModelSettings(**{"hidden_size": 8, "embedding_size": 5, "dropout": 0.2, "context": 3, **changes}), V
    )
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model.eval()


def in_runtime(model, tmp_path, tensors=None):
    config = {"kind": "window", "model": {**dataclasses.asdict(model.settings), "vocabulary_size": V}}
    return load_window(Bundle(tmp_path, config, TOKENIZER, tensors or model.save_tensors(), ""))


@pytest.mark.parametrize("changes", [{}, {"context": 1}, {"tied": True, "embedding_size": 8}, {"tied": True}])
def test_torch_and_numpy_agree_by_steps_and_at_once(changes, tmp_path):
    model = network(**changes)
    twin, torch_model = in_runtime(model, tmp_path), TorchStepModel(model)
    assert isinstance(twin, StepModel)
    np.testing.assert_allclose(twin.score(IDS), torch_model.score(IDS), rtol=1e-4, atol=1e-5)
    state, other = twin.initial_state(2), torch_model.initial_state(2)
    before = np.zeros(2, np.uint16)
    scores = []
    for token in IDS[:10]:
        logits, state = twin.step(before, state)
        expected, other = torch_model.step(before, other)
        np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)
        scores.append(logits[0, token] - np.log(np.exp(logits[0].astype(float)).sum()))
        before = np.array([token, token])
    np.testing.assert_allclose(scores, twin.score(IDS)[:10], rtol=1e-5)
    np.testing.assert_array_equal(twin.select(state, np.array([1, 1, 0])), state[[1, 1, 0]])


def test_only_the_last_tokens_count():
    model = network()
    ids = torch.from_numpy(IDS.astype(np.int64))[None]
    changed = ids.clone()
    changed[0, :10] = 1
    full, other = model(ids)[0], model(changed)[0]
    assert torch.equal(full[0, 12:], other[0, 12:])
    assert not torch.equal(full[0, 11], other[0, 11])


def test_pieces_with_carried_state_are_the_whole():
    model = network()
    ids = torch.from_numpy(IDS.astype(np.int64)).view(2, 30)
    whole, last = model(ids)
    first, state = model(ids[:, :13])
    second, state = model(ids[:, 13:], model.detach(state))
    torch.testing.assert_close(torch.cat([first, second], 1), whole)
    assert torch.equal(state, last)
    loss, _ = model.loss(ids[:, :-1], ids[:, 1:])
    expected = torch.nn.functional.cross_entropy(whole[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    torch.testing.assert_close(loss, expected)


def test_settings_and_shapes_that_do_not_fit(tmp_path):
    with pytest.raises(SettingsError, match="needs hidden_size, embedding_size and dropout"):
        network(embedding_size=0)
    with pytest.raises(SettingsError, match=r"model.context must be at least 1, got 0"):
        network(context=0)
    model = network()
    with pytest.raises(UsageError, match="ids must be integers"):
        model(torch.zeros(2, 3))
    with pytest.raises(UsageError, match="targets must have the shape of ids"):
        model.loss(torch.zeros(2, 3).long(), torch.zeros(2, 2).long())
    twin = in_runtime(model, tmp_path)
    with pytest.raises(UsageError, match="ids must lie in 0"):
        twin.score(np.array([V]))
    with pytest.raises(UsageError, match="ids must be whole numbers of shape"):
        twin.step(np.zeros((1, 1)), twin.initial_state(1))
    tensors = model.save_tensors()
    with pytest.raises(BundleError, match=r"lacks head.bias"):
        in_runtime(model, tmp_path, {k: v for k, v in tensors.items() if k != "head.bias"})
    with pytest.raises(BundleError, match=r"tensor window.weight is float32"):
        in_runtime(model, tmp_path, {**tensors, "window.weight": tensors["window.weight"][:, 1:]})


def test_a_window_model_trains_writes_and_scores(verses, tmp_path, capsys):
    out = tmp_path / "m"
    options = ["model.context=4", "model.hidden_size=24", "model.embedding_size=12", "training.batch_size=4",
               "training.window=16", "text.documents=^# ", "model.mixture=none"]  # fmt: skip
    sets = [part for option in options for part in ("--set", option)]
    assert main(["train", str(verses), "-o", str(out), "--steps", "60", "--quiet", *sets]) == 0
    assert main(["write", str(out), "风", "--lines", "2", "--seed", "1"]) == 0
    assert capsys.readouterr().out.splitlines()[-1]
    model = load(out / "model")
    assert model._context == 4
    assert main(["info", str(out)]) == 0
    assert "A window language model" in capsys.readouterr().out


def test_settings_choose_the_network():
    base = ModelSettings(hidden_size=4, embedding_size=3, dropout=0.0)
    assert type(build_language_model(base, 5)).__name__ == "LanguageModel"
    assert type(build_language_model(ModelSettings(**{**base.__dict__, "context": 2}), 5)).__name__ == "WindowMLP"
