"""X W_xh + H W_hh is one product: [X H] [W_xh; W_hh].

Expected: both (3, 4) matrices are the same, which is why one larger matrix product may stand for two smaller
ones.
"""

import torch


def main() -> None:
    torch.manual_seed(1)
    X, W_xh = torch.randn(3, 1), torch.randn(1, 4)
    H, W_hh = torch.randn(3, 4), torch.randn(4, 4)
    two = X @ W_xh + H @ W_hh
    side_by_side, stacked = torch.cat([X, H], dim=1), torch.cat([W_xh, W_hh], dim=0)
    one = side_by_side @ stacked
    print(f"[X H] is {tuple(side_by_side.shape)}, [W_xh; W_hh] is {tuple(stacked.shape)}")
    print(f"two products: {tuple(two.shape)}, one product: {tuple(one.shape)}")
    print("equal:", torch.allclose(one, two, atol=1e-6))


if __name__ == "__main__":
    main()
