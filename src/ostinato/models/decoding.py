"""The target an encoder-decoder prefers for a source: the best id at a time, or the best of several hypotheses."""

import torch
from torch import Tensor

from ostinato.errors import UsageError
from ostinato.models.encoder_decoder import EncoderDecoder, select_state
from ostinato.protocols import END_OF_DOCUMENT


def length_limit(source_length: int) -> int:
    """How many ids a target may have: one that repeats itself has to stop somewhere."""
    return 2 * source_length + 16


@torch.no_grad()
def greedy(model: EncoderDecoder, source: Tensor, lengths: Tensor) -> list[list[int]]:
    """The most probable id at every step, for sources (B, S): ids without the end."""
    memory = model.encode(source, lengths)
    state = memory.state
    ids = source.new_full((len(source),), END_OF_DOCUMENT)
    written: list[list[int]] = [[] for _ in lengths]
    limits = [length_limit(n) for n in lengths.tolist()]
    running = set(range(len(source)))
    while running:
        scores, state = model.step(ids, memory, state)
        ids = scores.argmax(-1)
        for row, token in enumerate(ids.tolist()):
            if row not in running:
                continue
            if token != END_OF_DOCUMENT:
                written[row].append(token)
            if token == END_OF_DOCUMENT or len(written[row]) >= limits[row]:
                running.discard(row)
    return written


@torch.no_grad()
def beam_search(
    model: EncoderDecoder, source: Tensor, lengths: Tensor, *, beam: int, length_penalty: float = 1.0
) -> list[list[int]]:
    """The best ended target of each source (B, S) among `beam` hypotheses, by log P / (ids with the end)^penalty.

    A hypothesis ends when its end is among the `beam` best continuations. A source is done when `beam` have ended and
    the best that has not is worse than the best that has, or when its length limit is reached. Beam 1 is `greedy`.
    Raises UsageError for a beam below 1.
    """
    if beam < 1:
        raise UsageError(f"beam must be at least 1, got {beam}")
    B, K, V = len(source), beam, model.vocabulary_size
    memory = model.encode(source, lengths)
    memory = memory.select(torch.arange(B, device=source.device).repeat_interleave(K))
    state = memory.state
    ids = source.new_full((B * K,), END_OF_DOCUMENT)
    live = torch.full((B, K), -torch.inf, device=source.device)
    live[:, 0] = 0.0  # all hypotheses start equal: only one of them is continued
    written: list[list[list[int]]] = [[[] for _ in range(K)] for _ in range(B)]
    ended: list[list[tuple[float, list[int]]]] = [[] for _ in range(B)]
    limits = [length_limit(n) for n in lengths.tolist()]
    done = [False] * B
    while not all(done):
        scores, state = model.step(ids, memory, state)
        best, places = (live[:, :, None] + scores.view(B, K, V)).flatten(1).topk(min(2 * K, K * V), dim=1)
        parents, tokens, totals = (places // V).tolist(), (places % V).tolist(), best.tolist()
        rows, following, kept = [], [], []
        for b in range(B):
            chosen: list[tuple[float, int, int]] = []
            for rank, (total, parent, token) in enumerate(zip(totals[b], parents[b], tokens[b], strict=True)):
                if token != END_OF_DOCUMENT:
                    chosen.append((total, parent, token))
                elif rank < K and not done[b] and total > -torch.inf:
                    text = written[b][parent]
                    ended[b].append((total / (len(text) + 1) ** length_penalty, text))
            chosen = chosen[:K]
            chosen += [(-torch.inf, 0, END_OF_DOCUMENT)] * (K - len(chosen))
            written[b] = [[*written[b][parent], token] for _, parent, token in chosen]
            rows += [b * K + parent for _, parent, _ in chosen]
            following += [token for _, _, token in chosen]
            kept += [total for total, _, _ in chosen]
            length = len(written[b][0])
            best_ended = max((score for score, _ in ended[b]), default=-torch.inf)
            beaten = len(ended[b]) >= K and chosen[0][0] / length**length_penalty <= best_ended
            if not done[b] and (beaten or length >= limits[b]):
                done[b] = True
                if len(ended[b]) < K:
                    ended[b] += [
                        (total / len(text) ** length_penalty, text)
                        for (total, _, _), text in zip(chosen, written[b], strict=True)
                        if total > -torch.inf
                    ]
        selected = torch.tensor(rows, device=source.device)
        state = select_state(state, selected)
        ids = torch.tensor(following, device=source.device)
        live = torch.tensor(kept, device=source.device).view(B, K)
    return [max(hypotheses, key=lambda h: h[0])[1] for hypotheses in ended]
