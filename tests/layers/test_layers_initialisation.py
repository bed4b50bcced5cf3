import pytest
import torch

from ostinato import settings
from ostinato.errors import UsageError
from ostinato.layers import (
    GRU,
    INITIALISATIONS,
    LSTM,
    RNN,
    initialisation,
    initialise,
    keep_one_bias,
    start_output_bias,
)


def _model():
    return torch.nn.ModuleDict({"layers": LSTM(30, 40, 2), "head": torch.nn.Linear(40, 50)})


def _initialised(name, **keywords):
    torch.manual_seed(1)
    model = _model()
    initialise(model, name, **keywords)
    return dict(model.named_parameters())


def test_names_are_those_of_the_settings():
    assert settings.INITIALISATIONS == INITIALISATIONS


def test_normal():
    for label, parameter in _initialised("normal-0.01").items():
        if "bias" in label:
            assert (parameter == 0).all()
        else:
            assert abs(parameter.std() - 0.01) < 0.001
            assert abs(parameter.mean()) < 0.001


def test_uniform():
    for label, parameter in _initialised("uniform-0.1").items():
        bound = 0.0 if "bias" in label else 0.1
        assert bound * 0.98 <= parameter.abs().max() <= bound


def test_default():
    for label, parameter in _initialised("default").items():
        bound = 0.0 if label == "head.bias" else 40**-0.5
        assert bound * 0.9 <= parameter.abs().max() <= bound


def test_torch_begins_as_its_own_layers():
    parameters = _initialised("torch")
    torch.manual_seed(1)
    for label, parameter in _model().named_parameters():
        bound = 40**-0.5
        assert bound * 0.9 <= parameters[label].abs().max() <= bound
        assert abs(parameters[label].std() - parameter.std()) < 0.2 * parameter.std()
    bias = parameters["head.bias"].detach().clone()
    start_output_bias(bias, [5] * 48 + [0, 0], "torch")
    assert torch.equal(bias[:48], parameters["head.bias"][:48])
    assert torch.allclose(bias[48:], torch.tensor(0.1 * 48 / 240).log())


def test_orthogonal():
    parameters = _initialised("orthogonal")
    for gate in parameters["layers.weight_hh_l1"].chunk(4):
        torch.testing.assert_close(gate @ gate.t(), torch.eye(40), atol=1e-5, rtol=0)
    assert (parameters["layers.bias_hh_l0"] == 0).all()
    assert parameters["layers.weight_ih_l0"].abs().max() <= (6 / 70) ** 0.5
    assert parameters["head.weight"].abs().max() > 0.15


@pytest.mark.parametrize("name", INITIALISATIONS)
def test_forget_bias_is_the_sum_of_both(name):
    parameters = _initialised(name, forget_bias=1.5)
    plain = _initialised(name)
    for layer in (0, 1):
        ih, hh = (parameters[f"layers.bias_{kind}_l{layer}"] for kind in ("ih", "hh"))
        assert (ih + hh)[40:80].eq(1.5).all()
        assert torch.equal(ih[:40], plain[f"layers.bias_ih_l{layer}"][:40])
        assert torch.equal(hh[80:], plain[f"layers.bias_hh_l{layer}"][80:])


def test_forget_bias_leaves_other_cells_alone():
    layers = GRU(4, 6)
    initialise(layers, "uniform-0.1", forget_bias=2.0)
    assert (layers.bias_ih_l0 == 0).all()


def test_unknown_name():
    with pytest.raises(UsageError, match="initialisation must be one of"):
        initialise(_model(), "xavier")


@pytest.mark.parametrize("name", ["default", "orthogonal"])
def test_an_output_bias_starts_from_frequencies(name):
    bias = torch.zeros(4)
    start_output_bias(bias, [30, 0, 10, 60], name)
    assert torch.allclose(bias.softmax(0), torch.tensor([30, 0.1, 10, 60]) / 100.1)


@pytest.mark.parametrize("name", ["normal-0.01", "uniform-0.1"])
def test_outputs_that_never_occur_start_unlikely_where_the_others_start_alike(name):
    bias = torch.full((5,), 7.0)
    start_output_bias(bias, [30, 0, 10, 60, 0], name)
    assert (bias[[0, 2, 3]] == 0).all()
    assert torch.allclose(bias[[1, 4]], torch.tensor(0.1 * 3 / 100).log())
    share = bias.softmax(0)
    assert torch.allclose(share[1] / share[0], torch.tensor(0.1 / (100 / 3)))  # a tenth against the mean count


@pytest.mark.parametrize("name", ["normal-0.01", "uniform-0.1"])
@pytest.mark.parametrize("counts", [[30, 1, 10, 60], [0, 0, 0]])
def test_an_output_bias_stays_0_where_nothing_is_unseen_or_nothing_seen(name, counts):
    bias = torch.full((len(counts),), 7.0)
    start_output_bias(bias, counts, name)
    assert torch.equal(bias, torch.zeros(len(counts)))


@pytest.mark.parametrize(("layers", "frozen"), [(RNN, True), (LSTM, True), (GRU, False)])
def test_of_two_biases_that_are_only_added_one_learns(layers, frozen):
    """A GRU's second bias also stands inside the reset gate's product."""
    model = torch.nn.ModuleDict({"layers": layers(3, 4, 2), "head": torch.nn.Linear(4, 3)})
    keep_one_bias(model)
    still = {label for label, parameter in model.named_parameters() if not parameter.requires_grad}
    assert still == ({"layers.bias_hh_l0", "layers.bias_hh_l1"} if frozen else set())


def test_what_goes_with_an_initialisation():
    """Recipes of textbooks: one bias learns, and the output begins without the frequencies."""
    assert [name for name in INITIALISATIONS if initialisation(name).one_bias] == ["normal-0.01"]
    assert [name for name in INITIALISATIONS if initialisation(name).frequencies] == ["default", "orthogonal"]
    with pytest.raises(UsageError, match="must be one of default, torch"):
        initialisation("zeros")
