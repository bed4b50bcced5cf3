"""Every backend is the same function as torch.nn: values and gradients, every cell, depth and direction."""

import copy
import importlib.util
import itertools

import pytest
import torch

from ostinato.cells import CELLS
from ostinato.layers import GRU, LSTM, RNN

BACKENDS = ["reference", "torch"]
if importlib.util.find_spec("ostinato.layers.native"):
    BACKENDS.append("native")
LAYERS = {"rnn": RNN, "rnn-relu": RNN, "gru": GRU, "lstm": LSTM}
THEIRS = {"rnn": torch.nn.RNN, "rnn-relu": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}
TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-12}
T, B, N, H = 5, 3, 4, 6  # steps, rows, inputs, units

everything = pytest.mark.parametrize(
    ("backend", "cell"), list(itertools.product(BACKENDS, CELLS)), ids=lambda value: str(value)
)


def _pair(cell, backend, **keywords):
    """Ours and torch.nn's with the same random weights, no two of them alike."""
    if cell == "rnn-relu":
        keywords["nonlinearity"] = "relu"
    theirs = THEIRS[cell](N, H, **keywords)
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    ours = LAYERS[cell](N, H, **keywords, backend=backend)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def _state(cell, groups, dtype):
    parts = tuple(torch.randn(groups, B, H, dtype=dtype, requires_grad=True) for _ in CELLS[cell].parts)
    return parts if len(parts) > 1 else parts[0]


def _tensors(value):
    return (value,) if isinstance(value, torch.Tensor) else tuple(value)


def _weighed(y, state, weights):
    """A scalar to which every output and every state contribute with a weight of its own."""
    return sum((w * t).sum() for w, t in zip(weights, (y, *_tensors(state)), strict=True))


@everything
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(("given", "batch_first"), [(False, False), (True, False), (True, True)])
def test_values_and_gradients(backend, cell, layers, bidirectional, given, batch_first, dtype):
    torch.manual_seed(layers)
    ours, theirs = _pair(
        cell, backend, num_layers=layers, bidirectional=bidirectional, batch_first=batch_first, dtype=dtype
    )
    x = torch.randn((B, T, N) if batch_first else (T, B, N), dtype=dtype, requires_grad=True)
    state = _state(cell, layers * (1 + bidirectional), dtype) if given else None
    results = []
    for module in (ours, theirs):
        y, last = module(x, state)
        torch.manual_seed(7)
        weights = [torch.randn_like(t) / t.numel() for t in (y, *_tensors(last))]
        inputs = [x, *(_tensors(state) if given else ()), *module.parameters()]
        gradients = torch.autograd.grad(_weighed(y, last, weights), inputs)
        results.append((y, *_tensors(last), *gradients))
    for our, their in zip(*results, strict=True):
        torch.testing.assert_close(our, their, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@everything
@pytest.mark.parametrize("bidirectional", [False, True])
def test_gradcheck(backend, cell, bidirectional):
    torch.manual_seed(3)
    keywords = {"nonlinearity": "relu"} if cell == "rnn-relu" else {}
    module = LAYERS[cell](2, 2, bidirectional=bidirectional, dtype=torch.float64, backend=backend, **keywords)
    names = [name for name, _ in module.named_parameters()]
    weights = [torch.randn_like(p).requires_grad_() for p in module.parameters()]
    x = torch.randn(3, 2, 2, dtype=torch.float64, requires_grad=True)
    parts = [torch.randn(1 + bidirectional, 2, 2, dtype=torch.float64, requires_grad=True) for _ in CELLS[cell].parts]

    def run(x, *rest):
        state = rest[0] if len(parts) == 1 else rest[: len(parts)]
        values = dict(zip(names, rest[len(parts) :], strict=True))
        y, last = torch.func.functional_call(module, values, (x, state))
        return (y, *_tensors(last))

    assert torch.autograd.gradcheck(run, [x, *parts, *weights])


@everything
@pytest.mark.parametrize("bias", [True, False])
def test_step_by_step_equals_whole_sequence(backend, cell, bias):
    torch.manual_seed(4)
    module, _ = _pair(cell, backend, num_layers=2, bias=bias, dtype=torch.float64)
    x, state = torch.randn(T, B, N, dtype=torch.float64), _state(cell, 2, torch.float64)
    whole, last = module(x, state)
    steps = []
    for x_t in x:
        y_t, state = module(x_t[None], state)
        steps.append(y_t)
    torch.testing.assert_close(torch.cat(steps), whole, rtol=0, atol=1e-13)
    for a, b in zip(_tensors(state), _tensors(last), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-13)


@everything
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("vocabulary", [5, 50], ids=["V<GH", "V>GH"])
def test_integers_are_one_hot_rows(backend, cell, bidirectional, vocabulary):
    """Values and gradients of the look-up are those of the product with the written-out rows."""
    torch.manual_seed(5)
    keywords = {"nonlinearity": "relu"} if cell == "rnn-relu" else {}
    module = LAYERS[cell](
        vocabulary, H, 2, bidirectional=bidirectional, dtype=torch.float64, backend=backend, **keywords
    )
    ids = torch.randint(vocabulary, (T, B))
    results = []
    for x in (ids, torch.nn.functional.one_hot(ids, vocabulary).double()):
        y, last = module(x)
        torch.manual_seed(7)
        loss = _weighed(y, last, [torch.randn_like(t) for t in (y, *_tensors(last))])
        results.append((y, *_tensors(last), *torch.autograd.grad(loss, list(module.parameters()))))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@everything
def test_one_sequence_alone(backend, cell):
    torch.manual_seed(6)
    ours, theirs = _pair(cell, backend, num_layers=2, bidirectional=True, batch_first=True)
    x = torch.randn(T, N)
    state = _state(cell, 4, torch.float32)
    state = tuple(part[:, 0] for part in state) if cell == "lstm" else state[:, 0]
    for our, their in zip(ours(x, state), theirs(x, state), strict=True):
        for a, b in zip(_tensors(our), _tensors(their), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)


@everything
def test_training_dropouts_do_not_depend_on_the_backend(backend, cell):
    """With locked dropout and weight-drop the masks are drawn outside the backends: same seed, same result."""
    module, _ = _pair(cell, backend, num_layers=3, dropout=0.5)
    module.locked_dropout, module.weight_drop = True, 0.3
    other = copy.deepcopy(module)
    other.backend = "reference"
    x = torch.randn(T, B, N)
    results = []
    for m in (module, other):
        torch.manual_seed(8)
        results.append(m(x)[0])
    torch.testing.assert_close(*results, rtol=1e-6, atol=1e-6)
    module.eval()
    assert not torch.allclose(module(x)[0], results[0])
    assert torch.equal(module(x)[0], module(x)[0])


@everything
def test_state_dict_both_ways(backend, cell):
    ours, theirs = _pair(cell, backend, num_layers=2, bidirectional=True)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for parameter in ours.parameters():
        torch.nn.init.normal_(parameter)
    theirs.load_state_dict(ours.state_dict())
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(tensor, ours.state_dict()[name])
