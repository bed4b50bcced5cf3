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
LESSONS = {
    "scratch, random": ("scratch-rnn", "training.sampling=random"),
    "scratch, consecutive": ("scratch-rnn",),
    "concise": ("concise-rnn",),
    "concise, output as torch": ("concise-rnn", "model.initialisation=torch"),
}


class Losses(Observer):
    def __init__(self):
        self.of_steps = []

    def stepped(self, position, loss, progress):
        self.of_steps.append(loss)


@pytest.fixture(scope="module", params=list(LESSONS))
def lesson(request, tmp_path_factory):
    """A recipe, its losses, the ids that it read, the weights that it began with, and where it is saved."""
    name, *overrides = LESSONS[request.param]
    recipe = apply_overrides(
        load_recipe(name),
        [*overrides, f"model.hidden_size={HIDDEN}", f"training.steps={STEPS}", f"training.seed={SEED}",
         "training.epochs=auto", "text.limit=8000"],
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
    w = {n.removeprefix("recurrent.").removesuffix("_l0"): p for n, p in weights.items()}
    first = (w["weight_ih"].t(), w["weight_hh"].t(), w["bias_ih"] + w["bias_hh"], w["head.weight"].t(), w["head.bias"])
    parameters = [p.clone().requires_grad_() for p in first]
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
    V = len(weights["head.bias"])
    rnn, dense = torch.nn.RNN(V, HIDDEN), torch.nn.Linear(HIDDEN, V)
    rnn.load_state_dict({n.removeprefix("recurrent."): w for n, w in weights.items() if n.startswith("recurrent.")})
    dense.load_state_dict({n.removeprefix("head."): w for n, w in weights.items() if n.startswith("head.")})
    optimizer = torch.optim.Adam([*rnn.parameters(), *dense.parameters()], recipe.training.learning_rate)
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


def loop(recipe, ids, weights):
    """The losses of the recipe's textbook."""
    return (from_scratch if recipe.training.optimizer == "sgd" else with_layers)(recipe, ids, weights)


def test_every_step_is_the_loops(lesson):
    recipe, losses, ids, weights, _ = lesson
    assert losses == pytest.approx(loop(recipe, ids, weights), abs=2e-5)
    assert losses[-1] < losses[0]


def test_a_loop_that_knows_only_the_characters_of_the_text_takes_nearly_the_same_steps(lesson):
    """What the bytes and the end cost at first: as if each were a tenth of a token of the text."""
    recipe, losses, ids, weights, _ = lesson
    known, dense = np.unique(ids, return_inverse=True)
    unseen = 0.1 * (len(weights["head.bias"]) - len(known)) / len(ids)
    few = {n: w[known] if n.startswith("head.") else w for n, w in weights.items()}
    few["recurrent.weight_ih_l0"] = weights["recurrent.weight_ih_l0"][:, known]
    expected = loop(recipe, dense, few)
    assert losses[0] == pytest.approx(expected[0] + np.log1p(unseen), abs=0.1 * unseen)
    assert losses == pytest.approx(expected, abs=2 * unseen)


def test_a_textbooks_cell_has_one_bias(lesson):
    recipe, _, _, weights, out = lesson
    learnt = read_bundle(out / "model").tensors
    moved = {n: not np.array_equal(learnt[n], w.numpy()) for n, w in weights.items()}
    assert moved.pop("recurrent.bias_hh_l0") == (recipe.name == "concise-rnn")
    assert all(moved.values())
