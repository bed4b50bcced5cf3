"""A classifier of sequences (many to one) that learns noise, and why training accuracy says nothing.

The sequences are noise, and so are their two labels: nothing can be learnt that helps on others. Batches of
64, 10 features, the last step's output to a linear layer, Adam 1e-3, 25 epochs; 512 sequences of 10 steps.
Expected: training accuracy rises far above 50 %; on 40,000 sequences that were not trained on it stays at 50
± 1 %.
"""

import torch
from torch import Tensor

from ostinato.layers import LSTM


class LastStep(torch.nn.Module):
    """(B, T, 10) features to the logits of two classes, (B, 2)."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = LSTM(10, 96, batch_first=True)
        self.linear = torch.nn.Linear(96, 2)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.linear(self.rnn(x)[0][:, -1])
        return logits


@torch.no_grad()
def accuracy(model: LastStep, x: Tensor, labels: Tensor) -> float:
    right = sum(int((model(a).argmax(1) == b).sum()) for a, b in zip(x.split(4000), labels.split(4000), strict=True))
    return right / len(x)


def main() -> None:
    torch.manual_seed(1)
    x, labels = torch.randn(512, 10, 10), torch.randint(2, (512,))
    unseen_x, unseen_labels = torch.randn(40_000, 10, 10), torch.randint(2, (40_000,))
    model = LastStep()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for epoch in range(1, 26):
        nats = 0.0
        for batch in torch.randperm(len(x)).split(64):
            loss = torch.nn.functional.cross_entropy(model(x[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            nats += loss.item() * len(batch)
        if epoch % 5 == 0:
            print(f"epoch {epoch:2}: loss {nats / len(x):.3f}, training accuracy {accuracy(model, x, labels):.1%}")
    print(f"held-out accuracy {accuracy(model, unseen_x, unseen_labels):.1%}: chance")


if __name__ == "__main__":
    main()
