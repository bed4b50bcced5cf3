"""The lessons' recipes take the very steps of the loops that textbooks write, from the same weights on."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from ostinato.batching import minibatches
from ostinato.bundle import read_bundle
from ostinato.layers import start_output_bias
from ostinato.models import LanguageModel
from ostinato.runs import run as running
from ostinato.settings import apply_overrides, load_recipe
from ostinato.text import open_corpus
from ostinato.training.observers import Observer

STEPS, HIDDEN, SEED = 6, 32, 5


class Losses(Observer):
    def __init__(self):
        self.of_steps = []

    def stepped(self, position, loss, progress):
        self.of_steps.append(loss)


@pytest.fixture(scope="module", params=[("scratch-rnn", "random"), ("scratch-rnn", "consecutive"),
                                        ("concise-rnn", "consecutive")])  # fmt: skip
def lesson(request, tmp_path_factory):
    """A recipe, its losses, the ids that it read, and the weights that it began with."""
    name, sampling = request.param
    recipe = apply_overrides(
        load_recipe(name),
        [f"training.sampling={sampling}", f"training.steps={STEPS}", f"model.hidden_size={HIDDEN}",
         f"training.seed={SEED}", "training.epochs=auto", "text.limit=8000"],
    )  # fmt: skip
    losses, out = Losses(), tmp_path_factory.mktemp("lesson") / "run"
    running.train(["lyrics-zh"], out=out, recipe=recipe, device="cpu", progress=False, observers=[losses])
    corpus = open_corpus(out / "text")
    ids, V = np.array(corpus.train.ids), corpus.tokenizer.vocabulary_size
    torch.manual_seed(SEED)
    model = LanguageModel(recipe.model, V)
    start_output_bias(model.head.bias.data, np.bincount(ids, minlength=V), recipe.model.initialisation)
    return recipe, losses.of_steps, ids, {n: p.detach().clone() for n, p in model.named_parameters()}, out


def batches(recipe, ids):
    t = recipe.training
    drawn = minibatches(t.sampling, ids, batch_size=t.batch_size, window=t.window, seed=SEED, epoch=0)
    return drawn.carries_state, [tuple(map(torch.from_numpy, drawn[k])) for k in range(STEPS)]


def from_scratch(recipe, ids, weights):
    """Losses of plain gradient descent on five tensors, the gradient's norm clipped."""
    t = recipe.training
    parameters = [w.clone().requires_grad_() for w in weights]
    W_xh, W_hh, b_h, W_hq, b_q = parameters
    carries, drawn = batches(recipe, ids)
    H, losses = torch.zeros(t.batch_size, HIDDEN), []
    for x, targets in drawn:
        H = H.detach() if carries else torch.zeros_like(H)
        outputs = []
        for X in functional.one_hot(x.t(), len(b_q)).float():
            H = torch.tanh(X @ W_xh + H @ W_hh + b_h)
            outputs.append(H @ W_hq + b_q)
        loss = functional.cross_entropy(torch.cat(outputs), targets.t().reshape(-1))
        losses.append(loss.item())
        gradients = torch.autograd.grad(loss, parameters)
        norm = torch.sqrt(sum((g**2).sum() for g in gradients))
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter -= t.learning_rate * gradient * min(1.0, t.clip / norm)
    return losses


def with_layers(recipe, ids, weights):
    """Losses of torch's layers and Adam."""
    t = recipe.training
    V = len(weights["head.bias"])
    rnn, dense = torch.nn.RNN(V, HIDDEN), torch.nn.Linear(HIDDEN, V)
    rnn.load_state_dict({n.removeprefix("recurrent."): w for n, w in weights.items() if n.startswith("recurrent.")})
    dense.load_state_dict({n.removeprefix("head."): w for n, w in weights.items() if n.startswith("head.")})
    optimizer = torch.optim.Adam([*rnn.parameters(), *dense.parameters()], t.learning_rate)
    state, losses = None, []
    for x, targets in batches(recipe, ids)[1]:
        outputs, state = rnn(functional.one_hot(x.t(), V).float(), state)
        state = state.detach()
        loss = functional.cross_entropy(dense(outputs).flatten(0, 1), targets.t().reshape(-1))
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return losses


def test_every_step_is_the_loops(lesson):
    recipe, losses, ids, weights, _ = lesson
    if recipe.training.optimizer == "adam":
        expected = with_layers(recipe, ids, weights)
    else:
        expected = from_scratch(recipe, ids, five(weights, slice(None)))
    assert losses == pytest.approx(expected, abs=2e-5)
    assert losses[-1] < losses[0]


def test_a_loop_that_knows_only_the_characters_of_the_text_takes_nearly_the_same_steps(lesson):
    """What the bytes and the end cost at first: as if each were a tenth of a token of the text."""
    recipe, losses, ids, weights, _ = lesson
    if recipe.training.optimizer == "adam":
        pytest.skip("it starts from frequencies, which no loop does")
    known, dense = np.unique(ids, return_inverse=True)
    unseen = 0.1 * (len(weights["head.bias"]) - len(known)) / len(ids)
    expected = from_scratch(recipe, dense, five(weights, known))
    assert losses[0] == pytest.approx(expected[0] + np.log1p(unseen), abs=1e-4)
    assert losses == pytest.approx(expected, abs=2 * unseen)


def test_a_textbooks_cell_has_one_bias(lesson):
    recipe, _, _, weights, out = lesson
    learnt = read_bundle(out / "model").tensors
    moved = {n: not np.array_equal(learnt[n], w.numpy()) for n, w in weights.items()}
    assert moved.pop("recurrent.bias_hh_l0") == (recipe.name == "concise-rnn")
    assert all(moved.values())


def five(weights, known):
    """The five tensors of the scratch loop, for the tokens `known`."""
    w = {n.removeprefix("recurrent."): p for n, p in weights.items()}
    return (
        w["weight_ih_l0"].t()[known],
        w["weight_hh_l0"].t(),
        w["bias_ih_l0"] + w["bias_hh_l0"],
        w["head.weight"].t()[:, known],
        w["head.bias"][known],
    )
