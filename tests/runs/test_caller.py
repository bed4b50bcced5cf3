"""Training from Python leaves the caller's process as it was."""

import signal

import pytest

import ostinato

matplotlib = pytest.importorskip("matplotlib")
torch = pytest.importorskip("torch")
TINY = {"model.hidden_size": 8, "training.batch_size": 4, "training.window": 8}


@pytest.mark.parametrize("recipe", ["default", "kneser-ney"])
def test_nothing_of_the_caller_s_is_changed(verses, tmp_path, recipe):
    def state():
        return (
            torch.get_num_threads(), torch.is_grad_enabled(), torch.get_default_dtype(), dict(matplotlib.rcParams),
            matplotlib.get_backend(), [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)],
        )  # fmt: skip

    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        before = state()
        options = {} if recipe == "kneser-ney" else {"steps": 2, "settings": TINY}
        ostinato.train(verses, out=tmp_path / "m", recipe=recipe, progress=False, **options)
        assert state() == before
    finally:
        torch.set_num_threads(threads)
