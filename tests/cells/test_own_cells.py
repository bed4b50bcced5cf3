"""A cell of one's own, in one file: trained, resumed, written with, scored, compared; and what refuses a wrong one."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import ostinato
from ostinato.bundle import PROBE, read_bundle, write_bundle
from ostinato.cells import (
    BUILT_IN,
    CELLS,
    Cell,
    CellWeights,
    cell_file,
    describe_cell,
    load_cell_file,
    register,
    same_cell,
)
from ostinato.cells.trial import fingerprint
from ostinato.cli.main import main
from ostinato.errors import BundleError, SettingsError, TrainingError, UsageError
from ostinato.kernels.claims import claims
from ostinato.kernels.load import available
from ostinato.layers import Recurrent
from ostinato.runtime import load
from ostinato.settings import ModelSettings
from ostinato.training.checkpoint import load_checkpoint

FILES = Path(__file__).parents[2] / "examples" / "cells"
OWN = {"minimal-gated": FILES / "minimal_gated_unit.py", "peephole-lstm": FILES / "peephole_lstm.py"}
SMALL = ("model.mixture=none", "training.schedule=constant", "training.weight_decay=0", "model.weight_drop=0",
         "model.dropout=0.1",
         "model.hidden_size=12", "training.batch_size=4", "training.window=8", "text.documents='^# '")  # fmt: skip


pytestmark = pytest.mark.usefixtures("cells_stay")


@pytest.fixture(params=OWN)
def own(request):
    """The name of a cell of a file in examples/cells, which was loaded."""
    assert load_cell_file(OWN[request.param]) == [request.param]
    return request.param


def _options(cell, *more):
    options = [f"model.cell={cell}", *SMALL, *more]
    return [word for option in options for word in ("--set", option)]


def _trained(verses, out, cell, *more, steps=6):
    assert main(["train", str(verses), "-o", str(out), "--steps", str(steps), "--quiet", *_options(cell), *more]) == 0
    return out


def _by_hand(name, x, state, weights, vectors):
    """From the papers' equations, row by row."""
    W_ih, W_hh, b_ih, b_hh = weights
    H = W_hh.shape[1]

    def s(a):
        return 1 / (1 + np.exp(-a))

    def rows(W, k):
        return W[k * H : (k + 1) * H]

    out = []
    for x_r, *parts in zip(x, *state, strict=True):
        if name == "minimal-gated":
            (h,) = parts
            f = s(rows(W_ih, 0) @ x_r + rows(b_ih, 0) + rows(W_hh, 0) @ h + rows(b_hh, 0))
            n = np.tanh(rows(W_ih, 1) @ x_r + rows(b_ih, 1) + rows(W_hh, 1) @ (f * h) + rows(b_hh, 1))
            out.append([(1 - f) * h + f * n])
        else:
            (h, c), (p_i, p_f, p_o) = parts, vectors
            i, f, g, o = (rows(W_ih, k) @ x_r + rows(b_ih, k) + rows(W_hh, k) @ h + rows(b_hh, k) for k in range(4))
            new_c = s(f + p_f * c) * c + s(i + p_i * c) * np.tanh(g)
            out.append([s(o + p_o * new_c) * np.tanh(new_c), new_c])
    return [np.array(part) for part in zip(*out, strict=True)]


def test_the_step_is_the_equation_in_numpy_and_in_torch(own):
    cell, random = CELLS[own], np.random.default_rng(3)
    B, N, H, G = 3, 4, 5, CELLS[own].gates
    arrays = [random.normal(size=size) for size in ((G * H, N), (G * H, H), (G * H,), (G * H,))]
    x, state = random.normal(size=(B, N)), tuple(random.normal(size=(B, H)) for _ in cell.parts)
    vectors = [random.normal(size=H) for _ in cell.vectors]
    expected = _by_hand(own, x, state, arrays, vectors)
    there = cell.step(x, state, CellWeights(*arrays), *vectors)

    def tensor(a):
        return torch.from_numpy(a)

    here = cell.step(tensor(x), tuple(map(tensor, state)), CellWeights(*map(tensor, arrays)), *map(tensor, vectors))
    for numpy_part, torch_part, part in zip(there, here, expected, strict=True):
        np.testing.assert_allclose(numpy_part, part, rtol=0, atol=1e-12)
        np.testing.assert_allclose(torch_part.numpy(), part, rtol=0, atol=1e-12)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_gradcheck(own, bidirectional):
    torch.manual_seed(1)
    layers = Recurrent(own, 2, 3, 2, bidirectional=bidirectional, dtype=torch.float64)
    x = torch.randn(3, 2, 2, dtype=torch.float64, requires_grad=True)
    names, values = zip(*layers.named_parameters(), strict=True)

    def run(x, *values):
        y, state = torch.func.functional_call(layers, dict(zip(names, values, strict=True)), (x,))
        return (y, *((state,) if isinstance(state, torch.Tensor) else state))

    assert torch.autograd.gradcheck(run, (x, *values))


def test_other_backends_do_not_claim_it(own):
    assert not claims(CELLS[own])
    for backend in ("torch", "native"):
        with pytest.raises(UsageError, match=f"backend '{backend}' does not compute the cell '{own}'"):
            Recurrent(own, 2, 3, backend=backend)(torch.randn(4, 1, 2))
    packed = torch.nn.utils.rnn.pack_sequence([torch.randn(3, 2), torch.randn(2, 2)])
    with pytest.raises(UsageError, match="PackedSequence"):
        Recurrent(own, 2, 3)(packed)


def test_trained_resumed_scored_compared_and_written_with(own, verses, tmp_path, capsys):
    out = _trained(verses, tmp_path / "m", own, steps=12)
    model = ostinato.load(out)
    assert model.config["cell_file"] == OWN[own].name
    assert model.write("风", tokens=12, seed=3) == ostinato.load(out).write("风", tokens=12, seed=3)
    assert ostinato.load(out, precision="int8").write("风", tokens=12, seed=3)
    heldout = model.config["evaluation"]["held-out"]["nats_per_token"]
    _trained(verses, tmp_path / "r", own, steps=6)
    assert main(["train", str(verses), "-o", str(tmp_path / "r"), "--resume", "--steps", "12", "--quiet"]) == 0
    whole, resumed = (load_checkpoint(folder / "checkpoint").tensors for folder in (out, tmp_path / "r"))
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    capsys.readouterr()
    options = ["--model", str(out), "--order", "2", "--quiet", "--json", "--no-dynamic"]
    assert main(["compare", str(verses), *options]) == 0
    (row,) = [row for row in json.loads(capsys.readouterr().out)["comparisons"][0]["rows"] if row["group"] == "network"]
    assert np.log(row["perplexity"]) == pytest.approx(heldout, abs=1e-4)


EDITED = """
from ostinato.cells import Cell, affine, register, tanh

def step(x, state, weights):
    (h,) = state
    a = affine(x, weights.weight_ih, weights.bias_ih) + affine(h, weights.weight_hh, weights.bias_hh)
    return (tanh(a) * 0.5,)

register(Cell("halved", 1, ("h",), step))
"""


def test_a_run_does_not_go_on_with_an_edited_cell(verses, tmp_path, capsys):
    file, out = tmp_path / "halved.py", tmp_path / "m"
    file.write_text(EDITED, "utf-8")
    load_cell_file(file)
    _trained(verses, out, "halved", steps=3)
    before = (out / "model" / "model.safetensors").read_bytes()
    resume = ["train", str(verses), "-o", str(out), "--resume", "--steps", "6", "--cell-file", str(file)]
    capsys.readouterr()
    file.write_text(EDITED.replace("0.5", "0.6"), "utf-8")
    assert main(resume) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line == (
        "ostinato: cannot resume with another cell: halved.py (cell halved) computes something else than when this run "
        "began; give the file as it was (--cell-file), or start a new run with -o"
    )
    assert (out / "model" / "model.safetensors").read_bytes() == before
    file.write_text(f"# as it was, with a remark\n{EDITED}", "utf-8")
    assert main(resume) == 0
    said = capsys.readouterr().err
    assert "halved.py (cell halved) was edited since this run began; it computes the same" in said
    assert said.rstrip().endswith(f"write with it: ostinato write {out} --cell-file {file}")
    file.write_text(EDITED, "utf-8")  # the file of before is loaded again, not taken for one that was loaded
    assert main([*resume, "--steps", "9"]) == 0


def test_nor_with_an_edited_cell_of_the_package(verses, tmp_path, capsys, monkeypatch):
    from ostinato.cells import registry

    out = _trained(verses, tmp_path / "m", "gru", steps=3)
    stock = CELLS["gru"]
    other = dataclasses.replace(stock, step=lambda *given: tuple(0.5 * part for part in stock.step(*given)))
    monkeypatch.setitem(registry._cells, "gru", other)
    assert main(["train", str(verses), "-o", str(out), "--resume", "--steps", "6"]) == 1
    assert "the cell gru computes something else than when this run began; restore the" in capsys.readouterr().err


def test_fingerprints_tell_cells_apart():
    cells = [fingerprint(cell) for cell in CELLS.values()]
    for at, one in enumerate(cells):
        assert [same_cell(one, other) for other in cells] == [at == n for n in range(len(cells))]
    near = {**cells[0], "outputs": [number + 1e-9 for number in cells[0]["outputs"]]}
    far = {**cells[0], "outputs": [number + 1e-3 for number in cells[0]["outputs"]]}
    assert same_cell(cells[0], json.loads(json.dumps(near)))
    assert not same_cell(cells[0], far)
    assert not same_cell(cells[0], {**cells[0], "outputs": ["nan", *cells[0]["outputs"][1:]]})


def test_it_is_written_with_in_a_process_without_torch(verses, tmp_path):
    load_cell_file(OWN["minimal-gated"])
    out = _trained(verses, tmp_path / "m", "minimal-gated")
    here = ostinato.load(out).write("风", tokens=12, seed=3)
    code = (
        "import sys, ostinato\nfrom ostinato.cells import load_cell_file\n"
        f"load_cell_file({str(OWN['minimal-gated'])!r})\n"
        f"print(ostinato.load({str(out)!r}).write('风', tokens=12, seed=3), end='')\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", env={"PYTHONIOENCODING": "utf-8"}
    )
    assert done.stderr == ""
    assert done.stdout == here


def test_the_file_is_named_where_it_is_missing(verses, tmp_path, capsys):
    load_cell_file(OWN["peephole-lstm"])
    out = _trained(verses, tmp_path / "m", "peephole-lstm")
    from ostinato.cells import registry

    del registry._cells["peephole-lstm"]
    registry._files.clear()
    with pytest.raises(BundleError, match=r"from the file 'peephole_lstm.py': name that file with --cell-file"):
        ostinato.load(out).write("风")
    with pytest.raises(SettingsError, match="name its file with --cell-file"):
        ModelSettings(cell="peephole-lstm")
    capsys.readouterr()
    assert main(["write", str(out), "风", "--tokens", "3", "--cell-file", str(OWN["peephole-lstm"])]) == 0
    assert capsys.readouterr().out


def test_a_mixture_with_an_own_cell(own, verses, tmp_path, capsys):
    out = _trained(verses, tmp_path / "m", own, "--set", "model.mixture=linear")
    assert read_bundle(out).kind == "mixture"
    assert main(["score", str(out), str(verses), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["perplexity"] > 1
    from ostinato.cells import registry

    del registry._cells[own]
    assert main(["write", str(out), "--tokens", "3"]) == 1
    line = capsys.readouterr().err
    assert "cell" in line
    assert own in line
    assert "Traceback" not in line


def test_an_own_cell_cannot_be_exported(own, verses, tmp_path, capsys):
    out = _trained(verses, tmp_path / "m", own)
    for to in ("html", "onnx", "huggingface"):
        assert main(["export", str(out), "--to", to, "-o", str(tmp_path / "e")]) == 2
        assert f"the cell '{own}' is not one of rnn" in capsys.readouterr().err


def test_a_changed_lstm_is_computed_as_it_is_written_and_refused_elsewhere(verses, tmp_path, monkeypatch):
    """Someone edits cells/lstm.py: training and writing follow, and a stock installation refuses the model."""
    from ostinato.cells import registry

    stock = CELLS["lstm"]

    def without_output_gate(x, state, weights, *vectors):
        _, c = stock.step(x, state, weights)
        return (np.tanh(c) if isinstance(c, np.ndarray) else c.tanh()), c

    assert claims(stock)
    before = _trained(verses, tmp_path / "stock", "lstm")
    monkeypatch.setitem(registry._cells, "lstm", dataclasses.replace(stock, step=without_output_gate))
    assert not claims(CELLS["lstm"])
    changed = _trained(verses, tmp_path / "changed", "lstm")
    assert ostinato.load(changed).write("风", tokens=5)
    line = r"does not compute here what it computed when it was saved .*: its cell lstm has another equation"
    with pytest.raises(BundleError, match=line):
        load(before)
    monkeypatch.undo()
    with pytest.raises(BundleError, match=line):
        load(changed)
    assert load(before)


TASKS = {
    "classify": "text,label\n" + "so sad a day,sad\nwhat a joy,glad\n" * 6,
    "tag": "我们走\tBEB\n你们\tBE\n" * 6,
    "translate": "one\t一\ntwo\t二\n" * 6,
    "forecast": "value\n" + "".join(f"{n % 7}\n" for n in range(60)),
}


@pytest.mark.parametrize("task", TASKS)
def test_tasks_use_own_cells_and_carry_a_probe(task, tmp_path, monkeypatch):
    from ostinato.cells import registry
    from ostinato.runs.record_task import load_task_model

    load_cell_file(OWN["peephole-lstm"])
    file = tmp_path / ("data.csv" if task in ("classify", "forecast") else "data.tsv")
    file.write_text(TASKS[task], "utf-8")
    settings = {"model.cell": "peephole-lstm", "model.hidden_size": 8, "task.saved": "network"}
    if task == "forecast":
        settings |= {"task.history": 7, "task.horizon": 3}
    model = ostinato.train_task(file, task=task, out=tmp_path / "m", steps=3, settings=settings, progress=False)
    bundle = read_bundle(tmp_path / "m")
    assert bundle.probe.outputs[0]
    assert load_task_model(bundle).labels == tuple(bundle.config["task"]["labels"])
    assert model.config["cell_file"] == "peephole_lstm.py"
    cell = CELLS["peephole-lstm"]

    def other(x, state, weights, *vectors):
        return cell.step(x, state, weights, *(vector + 1.0 for vector in vectors))

    monkeypatch.setitem(registry._cells, "peephole-lstm", dataclasses.replace(cell, step=other))
    with pytest.raises(BundleError, match="its cell peephole-lstm has another equation"):
        load_task_model(bundle)


def test_what_is_saved_in_the_place_of_a_network_needs_no_own_cell(tmp_path):
    from ostinato.cells import registry

    load_cell_file(OWN["peephole-lstm"])
    (tmp_path / "v.csv").write_text(
        "v\n" + "".join(f"{v}\n" for v in np.random.default_rng(1).normal(size=40).cumsum())
    )
    settings = {"model.cell": "peephole-lstm", "model.hidden_size": 4, "task.history": 7, "task.horizon": 3}
    ostinato.train_task(
        tmp_path / "v.csv", task="forecast", out=tmp_path / "m", steps=3, settings=settings, progress=False
    )
    registry._cells.pop("peephole-lstm")
    model = ostinato.Model(tmp_path / "m")
    assert "cell_file" not in model.config
    assert model.predict([np.arange(9.0)])[0].tolist() == [8, 8, 8]


@pytest.mark.parametrize("isa", available())
def test_every_runtime_computes_the_probe(verses, tmp_path, isa):
    out = _trained(verses, tmp_path / "m", "gru")
    assert read_bundle(out).probe is not None
    assert load(out, isa=isa).vocabulary_size
    assert load(out, isa=isa, precision="int8").vocabulary_size


def test_old_bundles_without_a_probe_open_and_damaged_ones_do_not(verses, tmp_path):
    bundle = read_bundle(_trained(verses, tmp_path / "m", "lstm"))

    def saved(name, probe):
        extra = {} if probe is None else {PROBE: json.dumps(probe).encode()}
        write_bundle(
            tmp_path / name, config=bundle.config, tokenizer=bundle.tokenizer, tensors=dict(bundle.tensors), card="",
            extra=extra,
        )  # fmt: skip
        return tmp_path / name

    assert load(saved("old", None)).vocabulary_size
    good = {"inputs": bundle.probe.inputs, "outputs": bundle.probe.outputs}
    assert load(saved("good", good)).vocabulary_size
    for name, probe in {
        "a": [], "b": {"inputs": 1, "outputs": []}, "c": {"inputs": [[-1]], "outputs": [[0.0]]},
        "d": {"inputs": [["x"]], "outputs": [[0.0]]}, "e": {"inputs": [[1]], "outputs": [["x"]]},
        "f": {"inputs": [[10**9]], "outputs": [[0.0]]}, "g": {**good, "outputs": good["outputs"][:-1]},
        "h": {**good, "outputs": [[None] * 3] * 4},
    }.items():  # fmt: skip
        with pytest.raises(BundleError, match=r"probe|computed when it was saved"):
            load(saved(name, probe))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", "registers no cell"),
        ("x = (\n", r"own.py, line 1: SyntaxError"),
        ("y = 1\nx = y / 0\n", r"own.py, line 2: ZeroDivisionError"),
        ("from ostinato.cells import *\nregister(Cell('lstm', 4, ('h', 'c'), lstm))\n", "the name lstm is taken"),
        ("from ostinato.cells import *\nregister(Cell('My Cell', 1, ('h',), gru))\n", "small letters, digits"),
        ("from ostinato.cells import *\nregister(Cell('own', 0, ('h',), gru))\n", "gates must be 1 to 16"),
        ("from ostinato.cells import *\nregister(Cell('own', 1, ('h', 'h'), gru))\n", "tuple of different names"),
        ("from ostinato.cells import *\nregister(Cell('own', 1, ('h',), gru))\n", "its step fails: ValueError"),
        (
            "from ostinato.cells import *\nregister(Cell('own', 1, ('h',), lambda x, s, w: None))\n",
            "its step fails: Type",
        ),
        (
            "from ostinato.cells import *\nregister(Cell('own', 4, ('h',), lambda x, s, w: s + s))\n",
            "a tuple of 1 arrays",
        ),
        (
            "from ostinato.cells import *\nregister(Cell('own', 1, ('h',), gru, ('weight_x',)))\n",
            "called weight or bias",
        ),
    ],
)
def test_files_that_do_not_fit(tmp_path, capsys, text, message):
    file = tmp_path / "own.py"
    file.write_text(text)
    before = dict(CELLS)
    with pytest.raises(UsageError, match=message):
        load_cell_file(file)
    assert dict(CELLS) == before
    assert main(["info", "lyrics-en", "--cell-file", str(file)]) == 2
    assert capsys.readouterr().err.startswith("ostinato: ")


def test_a_missing_file(tmp_path):
    with pytest.raises(UsageError, match="no file of cells"):
        load_cell_file(tmp_path / "gone.py")


def test_a_file_is_run_once_until_it_changes(tmp_path):
    file = tmp_path / "own.py"
    text = OWN["minimal-gated"].read_text("utf-8")
    file.write_text(text, "utf-8")
    assert load_cell_file(file) == ["minimal-gated"]
    first = CELLS["minimal-gated"]
    assert load_cell_file(file) == ["minimal-gated"]
    assert CELLS["minimal-gated"] is first
    assert cell_file("minimal-gated") == "own.py"
    file.write_text(text + "\n# again\n", "utf-8")
    load_cell_file(file)
    assert CELLS["minimal-gated"] is not first
    assert set(BUILT_IN) < set(CELLS)


def test_a_notebook_registers_again():
    def step(x, state, weights):
        return (state[0],)

    first = register(Cell("own-rnn", 1, ("h",), step))
    second = register(Cell("own-rnn", 2, ("h",), step))
    assert CELLS["own-rnn"] is second is not first
    assert cell_file("own-rnn") is None


def test_a_process_of_a_team_that_has_another_cell_ends(monkeypatch):
    from ostinato.cells import registry
    from ostinato.runs.network import _as_told
    from ostinato.settings import decide, load_recipe, to_mapping

    model = {"hidden_size": 8, "embedding_size": 8, "dropout": 0.0, "weight_drop": 0.0, "mixture": "none"}
    training = {
        "batch_size": 4,
        "window": 8,
        "learning_rate": 0.1,
        "weight_decay": 0.0,
        "evaluate_every": 1.0,
        "candidates": 0,
    }
    recipe = decide(load_recipe("concise-rnn"), model, training)
    told = {"resolved": to_mapping(recipe), "precision": "fp32", "name": "concise-rnn", "fingerprint": "f",
            "cell": describe_cell(recipe.model.cell)}  # fmt: skip
    assert _as_told(None, told, "f", torch.device("cpu")).recipe == recipe
    stock = CELLS[recipe.model.cell]
    other = dataclasses.replace(stock, step=lambda *given: tuple(0.5 * part for part in stock.step(*given)))
    monkeypatch.setitem(registry._cells, stock.name, other)
    with pytest.raises(TrainingError, match="computes something else in this process than in the first one"):
        _as_told(None, told, "f", torch.device("cpu"))
