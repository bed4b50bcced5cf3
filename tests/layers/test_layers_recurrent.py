"""What the recurrent layers add to torch.nn's, what they refuse, and which implementation runs."""

import copy

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from ostinato import settings
from ostinato.cells import CELLS
from ostinato.errors import UsageError
from ostinato.kernels.load import available
from ostinato.kernels.train import train_kernels
from ostinato.layers import BACKENDS, GRU, LSTM, RNN, choose, select_backend

needs_onednn = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch without oneDNN")


def test_backends_are_those_of_the_settings():
    assert BACKENDS == settings.BACKENDS


def _operators(run):
    with torch.profiler.profile() as profile:
        run()
    return {event.key for event in profile.key_averages()}


@needs_onednn
@pytest.mark.filterwarnings("ignore:.*Profiler.*")
@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("keywords", [{}, {"weight_drop": 0.5}, {"dropout": 0.5, "locked_dropout": True}], ids=str)
def test_training_an_lstm_on_a_cpu_goes_through_onednn(bf16, keywords):
    if bf16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("this CPU has no bf16 in oneDNN")
    layers = LSTM(4, 6, 2, **keywords, backend="torch")
    x = torch.randn(5, 3, 4, requires_grad=True)

    def run():
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            y, _ = layers(x)
        y.float().sum().backward()

    operators = _operators(run)
    assert {"aten::mkldnn_rnn_layer", "aten::mkldnn_rnn_layer_backward"} <= operators


@pytest.mark.parametrize(
    ("isa", "cell", "name"),
    [("numpy", "gru", "torch"), ("portable", "gru", "torch"), ("avx2", "lstm", "native"), ("avx2", "gru", "native"),
     ("avx512", "lstm", "native")],
)  # fmt: skip
def test_auto_is_the_cell_itself_for_a_single_step_and_what_was_measured_for_many(monkeypatch, isa, cell, name):
    if isa not in available():
        pytest.skip(f"this machine has no {isa}")
    monkeypatch.setenv("OSTINATO_ISA", isa)
    train_kernels.cache_clear()
    try:
        assert choose(CELLS[cell], torch.empty(1, 2, 3), hidden_size=4) == "reference"
        assert choose(CELLS[cell], torch.empty(2, 2, 3), hidden_size=4) == name
        assert choose(CELLS[cell], torch.empty(2, 2, 3).double(), hidden_size=4) == "torch"
        assert select_backend("auto", CELLS[cell], torch.empty(2, 2, 3), hidden_size=4).name == name
    finally:
        train_kernels.cache_clear()


def test_weight_drop_is_one_mask_a_call():
    """A weight that is dropped is dropped at every time step: no gradient reaches it. The others are scaled."""
    torch.manual_seed(1)
    layers = GRU(4, 32, weight_drop=0.4, backend="torch")
    layers(torch.randn(6, 3, 4))[0].sum().backward()
    dropped = (layers.weight_hh_l0.grad == 0).double().mean()
    assert 0.36 < dropped < 0.44
    assert (layers.weight_ih_l0.grad != 0).all()
    layers.eval()
    layers.zero_grad()
    layers(torch.randn(6, 3, 4))[0].sum().backward()
    assert (layers.weight_hh_l0.grad != 0).all()


def test_standard_dropout_between_layers_acts_only_in_training():
    torch.manual_seed(1)
    layers = RNN(4, 8, 2, dropout=0.5)
    x = torch.randn(6, 3, 4)
    assert not torch.equal(layers(x)[0], layers(x)[0])
    layers.eval()
    assert torch.equal(layers(x)[0], layers(x)[0])


@pytest.mark.parametrize(("ours", "theirs"), [(RNN, torch.nn.RNN), (GRU, torch.nn.GRU), (LSTM, torch.nn.LSTM)])
def test_packed_sequences(ours, theirs):
    torch.manual_seed(2)
    a = ours(4, 6, 2, bidirectional=True)
    b = theirs(4, 6, 2, bidirectional=True)
    b.load_state_dict(a.state_dict())
    packed = pack_padded_sequence(torch.randn(5, 3, 4), torch.tensor([2, 5, 3]), enforce_sorted=False)
    state = torch.randn(4, 3, 6)
    state = (state, torch.randn(4, 3, 6)) if ours is LSTM else state
    (y_a, last_a), (y_b, last_b) = a(packed, state), b(packed, state)
    torch.testing.assert_close(pad_packed_sequence(y_a), pad_packed_sequence(y_b))
    torch.testing.assert_close(last_a, last_b)
    in_order = pack_padded_sequence(torch.randn(5, 3, 4), torch.tensor([5, 3, 2]))
    torch.testing.assert_close(a(in_order)[1], b(in_order)[1])


def test_copies_and_conversions_keep_working():
    layers = LSTM(4, 6)
    x = torch.randn(5, 3, 4)
    torch.testing.assert_close(copy.deepcopy(layers)(x)[0], layers(x)[0])
    assert layers.double()(x.double())[0].dtype == torch.float64


def test_repr_names_what_is_ours():
    assert repr(LSTM(4, 6, 2, weight_drop=0.5)) == (
        "LSTM(4, 6, num_layers=2, backend='auto', weight_drop=0.5, locked_dropout=False)"
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LSTM(4, 6, proj_size=2), "proj_size is not supported, got 2"),
        (lambda: LSTM(4, 6, backend="cuda"), "backend must be one of auto, reference, torch, native, got 'cuda'"),
        (lambda: LSTM(4, 6, weight_drop=1.0), "weight_drop must be at least 0 and below 1, got 1.0"),
        (lambda: RNN(4, 6, nonlinearity="gelu"), "nonlinearity must be 'tanh' or 'relu', got 'gelu'"),
        (lambda: GRU(4, 0), "hidden_size must be greater than zero"),
        (lambda: GRU(4, 6, 2, dropout=1.5), "dropout should be a number in range"),
    ],
)
def test_constructor_refuses(make, message):
    with pytest.raises(UsageError, match=message):
        make()


@pytest.mark.parametrize(
    ("input", "state", "message"),
    [
        (torch.zeros(5), None, r"input must be \(T, B, I\)"),
        (torch.zeros(2, 2, 2, 4), None, r"input must be \(T, B, I\)"),
        (torch.zeros(2, 2, 4, dtype=torch.long), None, r"input must be \(T, B, I\)"),
        (torch.zeros(5, 2, 3), None, r"4 features last, got \(5, 2, 3\)"),
        (torch.zeros(0, 2, 4), None, "at least one time step"),
        (torch.zeros(5, 2, 4, dtype=torch.float64), None, "input must be torch.float32 like the parameters"),
        (torch.zeros(5, 2, 4), torch.zeros(1, 2, 6), r"state must be h and c of shape \(1, 2, 6\), got \(1, 2, 6\)"),
        (torch.zeros(5, 2, 4), (torch.zeros(1, 3, 6),) * 2, r"got \(1, 3, 6\) and \(1, 3, 6\)"),
        (torch.zeros(5, 4), (torch.zeros(1, 2, 6),) * 2, r"state must be h and c of shape \(1, 6\)"),
        (torch.zeros(5, 2, 4), (torch.zeros(1, 2, 6).double(),) * 2, "state must be torch.float32"),
    ],
)
def test_input_refused(input, state, message):
    with pytest.raises(UsageError, match=message):
        LSTM(4, 6)(input, state)


def test_packed_sequence_refused_where_it_cannot_run():
    packed = pack_padded_sequence(torch.zeros(5, 1, 4), torch.tensor([5]))
    for layers in (LSTM(4, 6, backend="reference"), LSTM(4, 6, 2, dropout=0.1, locked_dropout=True)):
        with pytest.raises(UsageError, match="PackedSequence needs backend 'torch'"):
            layers(packed)


def test_unknown_and_missing_backends(monkeypatch):
    x = torch.zeros(2, 1, 4)
    with pytest.raises(UsageError, match="unknown backend 'fast'"):
        select_backend("fast", CELLS["gru"], x, hidden_size=6)
    monkeypatch.setitem(__import__("sys").modules, "ostinato.layers.native", None)
    with pytest.raises(UsageError, match="backend 'native' is not part of this installation: use"):
        GRU(4, 6, backend="native")(x)
