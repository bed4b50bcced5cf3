"""A recurrent network written out, beside the layer: the same numbers, the same gradients, and it learns.

Expected: differences around 1e-7, and a loss on sine waves that falls from about 0.4 to well below 0.01.
"""

import torch
from torch import Tensor

from ostinato.layers import RNN


class WrittenOut(torch.nn.Module):
    """h_t = tanh(x_t W_ih + b_ih + h_(t-1) W_hh + b_hh), and a linear layer on every h_t. x: (B, T, I)."""

    def __init__(self, input_size: int, hidden_size: int, output_size: int) -> None:
        super().__init__()
        scale = hidden_size**-0.5
        self.W_ih = torch.nn.Parameter(torch.empty(input_size, hidden_size).uniform_(-scale, scale))
        self.W_hh = torch.nn.Parameter(torch.empty(hidden_size, hidden_size).uniform_(-scale, scale))
        self.b_ih = torch.nn.Parameter(torch.zeros(hidden_size))
        self.b_hh = torch.nn.Parameter(torch.zeros(hidden_size))
        self.linear = torch.nn.Linear(hidden_size, output_size)

    def init_hidden(self, batch: int) -> Tensor:
        return torch.zeros(batch, len(self.W_hh))

    def hidden(self, x: Tensor, h: Tensor) -> Tensor:
        outputs = []
        for x_t in x.unbind(1):
            h = torch.tanh(x_t @ self.W_ih + self.b_ih + h @ self.W_hh + self.b_hh)  # the new h, not the first one
            outputs.append(h)
        return torch.stack(outputs, dim=1)

    def forward(self, x: Tensor) -> Tensor:
        predicted: Tensor = self.linear(self.hidden(x, self.init_hidden(len(x))))
        return predicted


def main() -> None:
    torch.manual_seed(1)
    model = WrittenOut(input_size=1, hidden_size=16, output_size=1)
    layer = RNN(1, 16, batch_first=True)
    layer.load_state_dict(
        {
            "weight_ih_l0": model.W_ih.t(),
            "weight_hh_l0": model.W_hh.t(),
            "bias_ih_l0": model.b_ih,
            "bias_hh_l0": model.b_hh,
        }
    )
    waves = torch.sin(torch.arange(101) * 0.2 + torch.arange(4)[:, None])[..., None]  # (4, 101, 1), four phases
    x, y = waves[:, :-1], waves[:, 1:]  # the target is the next value of the same wave: it stands still

    ours, theirs = model.hidden(x, model.init_hidden(4)), layer(x)[0]
    ours.square().mean().backward()
    theirs.square().mean().backward()
    print("same outputs:  ", torch.allclose(ours, theirs, atol=1e-6))
    print("same gradients:", torch.allclose(model.W_hh.grad.t(), layer.weight_hh_l0.grad, atol=1e-6))

    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for step in range(101):
        loss = torch.nn.functional.mse_loss(model(x), y)
        if step % 50 == 0:
            print(f"step {step:3}: mean squared error {loss.item():.4f}")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    main()
