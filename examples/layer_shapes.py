"""What goes into a recurrent layer, and what comes out, in one direction and in both.

Expected: output (1, 5, 3) and h_n (1, 1, 3), the last output being h_n; in both directions (1, 5, 6) and (2,
1, 3), the forward half ending at the last step and the backward half at the first.
"""

import torch

from ostinato.layers import RNN


def main() -> None:
    torch.manual_seed(1)
    x = torch.randn(1, 5, 4)  # one sequence of 5 time steps with 4 features each

    layer = RNN(input_size=4, hidden_size=3, batch_first=True)
    y, h_n = layer(x)
    print(f"one direction: input {tuple(x.shape)}, output {tuple(y.shape)}, h_n {tuple(h_n.shape)}")
    print("  the last output is h_n:", torch.equal(y[:, -1], h_n[0]))

    layer = RNN(input_size=4, hidden_size=3, batch_first=True, bidirectional=True)
    y, h_n = layer(x)
    forward, backward = y[..., :3], y[..., 3:]
    print(f"both directions: input {tuple(x.shape)}, output {tuple(y.shape)}, h_n {tuple(h_n.shape)}")
    print("  the forward half ends at the last step:", torch.equal(forward[:, -1], h_n[0]))
    print("  the backward half ends at the first step:", torch.equal(backward[:, 0], h_n[1]))
    print("  the whole last output is h_n:", torch.equal(y[:, -1], torch.cat([h_n[0], h_n[1]], dim=-1)))


if __name__ == "__main__":
    main()
