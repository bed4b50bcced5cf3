"""One-hot vectors, and why nobody has to make them: multiplying by one is looking up a row.

Expected: three ways to the same numbers; the one-hot tensor of a usual minibatch takes 513 times the ids'
memory; float ids are refused.
"""

import torch

from ostinato.errors import UsageError
from ostinato.layers import RNN
from ostinato.models import LanguageModel
from ostinato.settings import ModelSettings


def main() -> None:
    torch.manual_seed(1)
    vectors = torch.nn.functional.one_hot(torch.tensor([0, 2]), 5).float()
    print(f"0 and 2 among 5: {vectors.int().tolist()}")

    V, H = 1027, 16
    ids = torch.randint(V, (35, 32))  # 35 time steps, 32 rows
    one_hot = torch.nn.functional.one_hot(ids, V).float()
    layer = RNN(V, H)
    W = layer.weight_ih_l0  # (H, V)
    print("one-hot times W is a column of W:", torch.allclose(one_hot @ W.t(), W.t()[ids], atol=1e-6))
    print("a layer takes ids in place of one-hot vectors:", torch.allclose(layer(one_hot)[0], layer(ids)[0], atol=1e-6))
    print(f"memory: one-hot {one_hot.nbytes / 2**20:.1f} MiB, ids {ids.nbytes / 2**20:.3f} MiB")

    model = LanguageModel(ModelSettings(cell="rnn", hidden_size=H, embedding_size=0, dropout=0.0), V)
    try:
        model(ids.t().float())
    except UsageError as error:
        print("float ids:", error)


if __name__ == "__main__":
    main()
