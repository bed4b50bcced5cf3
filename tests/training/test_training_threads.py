"""No number of threads changes a bit of what is learnt."""

import numpy as np
import pytest
import torch
from training_kit import Watcher, trainer, weights

from ostinato.kernels.train import train_kernels
from ostinato.layers import threads
from ostinato.models.language_model import LanguageModel
from ostinato.settings import ModelSettings

pytestmark = pytest.mark.skipif(train_kernels("fp32") is None, reason="there are no compiled kernels here")


@pytest.fixture(autouse=True)
def four_processors(monkeypatch):
    """So that three threads are three, whatever machine this is."""
    monkeypatch.setattr(threads, "processors", lambda: 4)


class Changing(Watcher):
    """Takes another number of threads after each step."""

    def stepped(self, position, loss, progress):
        super().stepped(position, loss, progress)
        threads._limit = 1 + position.step % 3


def model(cell):
    """Large enough that every kernel cuts it into several slices."""
    torch.manual_seed(0)
    settings = ModelSettings(cell=cell, layers=2, hidden_size=150, embedding_size=37, dropout=0.2, weight_drop=0.1,
                             backend="native")  # fmt: skip
    return LanguageModel(settings, 400)


def trained(folder, cell, count, *, watcher=None, steps=8, **settings):
    folder.mkdir(exist_ok=True)
    given = {"steps": steps, "batch_size": 20, **settings}
    run = trainer(folder, model=model(cell), watcher=watcher or Watcher(), **given)
    run.threads = count
    run.train()
    return run


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_weights_are_the_same_bits_for_any_number_of_threads(tmp_path, cell, precision):
    if train_kernels(precision) is None:
        pytest.skip(f"no kernels for {precision} here")
    alone = trained(tmp_path / "1", cell, 1, precision=precision)
    for name, count, watcher in (("2", 2, None), ("3", 3, None), ("changing", 2, Changing())):
        other = trained(tmp_path / name, cell, count, watcher=watcher, precision=precision)
        assert np.array_equal(weights(alone.model), weights(other.model)), name
        assert other.position.best_loss == alone.position.best_loss


@pytest.mark.parametrize("counts", [(2, 1, 2), (1, 3, 1)])
def test_a_run_goes_on_bit_for_bit_with_another_number_of_threads_and_back(tmp_path, counts):
    whole = trained(tmp_path / "whole", "lstm", counts[0], steps=9, schedule="constant")
    trained(tmp_path / "parts", "lstm", counts[0], steps=3, schedule="constant")
    for steps, count in zip((6, 9), counts[1:], strict=True):
        again = trainer(tmp_path / "parts", model=model("lstm"), steps=steps, batch_size=20, schedule="constant")
        again.resume()
        again.threads = count
        again.train()
        assert again.position.step == steps
    assert np.array_equal(weights(whole.model), weights(again.model))


def test_torch_keeps_out_of_the_kernels_way_and_gets_its_threads_back(tmp_path):
    before, seen = torch.get_num_threads(), []

    class Looking(Watcher):
        def stepped(self, position, loss, progress):
            seen.append((torch.get_num_threads(), threads.thread_limit()))

    trained(tmp_path / "ours", "lstm", 3, watcher=Looking(), steps=1)
    run = trainer(tmp_path, watcher=Looking(), steps=1)  # a model of torch's layers
    run.threads = 2
    run.train()
    assert seen == [(1, 3), (2, 2)]
    assert torch.get_num_threads() == before
