"""How many threads the kernels take, and that the head and the optimizer give the same bits with any number."""

import pytest
import torch

from ostinato.errors import UsageError
from ostinato.kernels.train import train_kernels
from ostinato.layers import threads
from ostinato.layers.head import linear_cross_entropy
from ostinato.layers.native_adamw import NativeAdamW

needs_kernels = pytest.mark.skipif(train_kernels("fp32") is None, reason="there are no compiled kernels here")


def test_what_is_given_comes_before_the_variable_and_that_before_torch(monkeypatch):
    monkeypatch.setattr(threads, "processors", lambda: 4)
    monkeypatch.delenv("OSTINATO_THREADS", raising=False)
    assert threads.wanted_threads() == min(torch.get_num_threads(), 4)
    monkeypatch.setenv("OSTINATO_THREADS", "3")
    assert threads.wanted_threads() == 3
    assert threads.wanted_threads(2) == 2


def test_never_more_threads_than_processors(monkeypatch):
    monkeypatch.setattr(threads, "processors", lambda: 2)
    assert threads.wanted_threads(64) == 2


def test_what_is_no_number_of_threads_is_refused(monkeypatch):
    for given in (0, -2):
        with pytest.raises(UsageError, match=f"threads must be at least 1, got {given}"):
            threads.wanted_threads(given)
    for text in ("two", "1.5", "-1", "٣"):
        monkeypatch.setenv("OSTINATO_THREADS", text)
        with pytest.raises(UsageError, match="OSTINATO_THREADS must be a number from 1 on, got"):
            threads.wanted_threads()
    monkeypatch.setenv("OSTINATO_THREADS", "0")
    with pytest.raises(UsageError, match="threads must be at least 1"):
        threads.wanted_threads()


@needs_kernels
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    ("rows", "features", "vocabulary"), [(300, 70, 1500), (70, 33, 9), (1, 1, 1), (900, 20, 33_000)]
)
def test_the_head_gives_the_same_bits_with_any_number_of_threads(precision, rows, features, vocabulary):
    if train_kernels(precision) is None:
        pytest.skip("no bfloat16 kernels on this machine")
    generator = torch.Generator().manual_seed(0)
    found = []
    for count in (1, 2, 3):
        generator.manual_seed(0)
        x, w = (torch.randn(n, features, generator=generator).requires_grad_() for n in (rows, vocabulary))
        bias = torch.randn(vocabulary, generator=generator).requires_grad_()
        targets = torch.randint(vocabulary, (rows,), generator=generator)
        with threads.kernel_threads(count, 1), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            loss = linear_cross_entropy(x, w, bias, targets)
        found.append([loss.detach(), *torch.autograd.grad(loss, (x, w, bias))])
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


@needs_kernels
def test_the_optimizer_gives_the_same_bits_with_any_number_of_threads():
    found = []
    for count in (1, 2, 3):
        generator = torch.Generator().manual_seed(0)
        parameters = [torch.nn.Parameter(torch.randn(n, generator=generator)) for n in (100_001, 7, 40_000)]
        optimizer = NativeAdamW(parameters, 1e-2, clip=1.0)
        with threads.kernel_threads(count, 1):
            for _ in range(3):
                for p in parameters:
                    p.grad = torch.randn(p.shape, generator=generator)
                optimizer.step()
        found.append((optimizer.norm, [p.detach().clone() for p in parameters]))
    for norm, values in found[1:]:
        assert norm == found[0][0]
        assert all(torch.equal(a, b) for a, b in zip(found[0][1], values, strict=True))
