"""One matrix as embedding and output weight: gradients as autograd's, in place."""

import pytest
import torch
from torch.nn import functional

from ostinato.layers import shared
from ostinato.models import language_model
from ostinato.models.window_mlp import build_language_model
from ostinato.settings import ModelSettings


def losses(weight, rows, product):
    ids = torch.tensor([[1, 3, 1], [0, 4, 4]])
    vectors = functional.embedding(ids, rows, sparse=rows is not weight)
    return (vectors.tanh() @ product.t()).logsumexp(-1).sum()


def test_gradients_are_those_of_one_matrix_used_twice():
    weight = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    (expected,) = torch.autograd.grad(losses(weight, weight, weight), weight)
    (found,) = torch.autograd.grad(losses(weight, *shared(weight)), weight)
    torch.testing.assert_close(found, expected)


def test_one_of_the_two_alone():
    weight = torch.randn(5, 3, generator=torch.Generator().manual_seed(1)).requires_grad_()
    rows, product = shared(weight)
    (by_rows,) = torch.autograd.grad(functional.embedding(torch.tensor([2, 2]), rows, sparse=True).sum(), weight)
    assert by_rows.tolist() == [[0] * 3, [0] * 3, [2] * 3, [0] * 3, [0] * 3]
    (by_product,) = torch.autograd.grad(product.sum(), weight)
    assert (by_product == 1).all()


def test_the_gradient_of_the_product_becomes_that_of_the_matrix():
    weight = torch.randn(5, 3).requires_grad_()
    rows, product = shared(weight)
    made = []
    product.register_hook(lambda gradient: made.append(gradient.data_ptr()))
    (functional.embedding(torch.tensor([2]), rows, sparse=True) @ product.t()).sum().backward()
    assert made == [weight.grad.data_ptr()]


@pytest.mark.parametrize("context", [0, 3])
@pytest.mark.parametrize("whole", [False, True])
def test_language_models_use_it(monkeypatch, context, whole):
    made = []

    def watched(weight):
        rows, product = shared(weight)
        product.register_hook(lambda gradient: made.append(gradient.data_ptr()))
        return rows, product

    monkeypatch.setattr(language_model, "shared", watched)
    model = build_language_model(
        ModelSettings(hidden_size=6, embedding_size=4, dropout=0.0, tied=True, context=context), 9
    )
    ids = torch.tensor([[1, 2, 3], [4, 4, 0]])
    value = model(ids)[0].logsumexp(-1).sum() if whole else model.loss(ids, ids)[0]
    value.backward()
    assert made == [model.embedding.weight.grad.data_ptr()]
