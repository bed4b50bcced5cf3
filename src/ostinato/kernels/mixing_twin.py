"""The twin of csrc/mixing.cc in Python: the same numbers, some hundred times slower."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ostinato.kernels import mixing_tables as tables
from ostinato.kernels.mixing_tables import APM_STEPS, HISTORY, KINDS, LETTER, LINE, NEWLINE, PROBE, SETS, MixingArrays

Words = npt.NDArray[np.uint32]

_MASK = 0xFFFFFFFF
_ORDERS = (1, 2, 3, 4, 5, 6, 8, 11)
_BRANCHING = 0x8000
_WORD, _BEFORE, _EARLIER, _POSITION, _START, _ABOVE_LENGTH, _RHYME, _RHYME_ABOVE, _LETTER = range(HISTORY, HISTORY + 9)
_LINE = HISTORY + 9
_ABOVE = _LINE + LINE


def _mix(code: int, value: int) -> int:
    code = (code + value + 1) * 0x9E3779B1 & _MASK
    return code ^ (code >> 15)


def advance(m: MixingArrays, state: Words, token: int) -> Words:
    """The state after one more token."""
    if token == 0:
        return np.zeros_like(state)
    s = state.tolist()
    s[1:HISTORY], s[0] = s[: HISTORY - 1], token
    folded, kind = int(m.folded[token]), int(m.classes[token])
    if kind == LETTER:
        s[_WORD] = _mix(s[_WORD], folded)
        s[_LETTER] = folded
    elif s[_WORD]:
        s[_EARLIER], s[_BEFORE], s[_WORD] = s[_BEFORE], s[_WORD], 0
    if kind == NEWLINE:
        s[_ABOVE:], s[_LINE:_ABOVE] = s[_LINE:_ABOVE], [0] * LINE
        s[_ABOVE_LENGTH] = s[_POSITION]
        s[_RHYME_ABOVE], s[_RHYME] = s[_RHYME], s[_LETTER]
        s[_POSITION] = s[_START] = 0
    else:
        if s[_POSITION] < LINE:
            s[_LINE + s[_POSITION]] = token
        s[_POSITION] += 1
        if s[_POSITION] <= 4:
            s[_START] = _mix(s[_START], token)
    return np.array(s, np.uint32)


def contexts(state: Words) -> list[int]:
    """The hashes of the KINDS contexts of a state."""
    s = state.tolist()
    hashes, code, read = [0], 0, 0
    for order in _ORDERS:
        for token in s[read:order]:
            code = _mix(code, token)
        read = order
        hashes.append(code)
    word = _mix(s[_WORD], s[0])
    pair, skip, place = _mix(word, s[_BEFORE]), _mix(s[1], s[2]), s[_POSITION]
    over, after = (s[_ABOVE + p] if p < LINE else 0 for p in (place, place + 1))
    left = min(s[_ABOVE_LENGTH] + 8 - min(place, s[_ABOVE_LENGTH] + 8), 24)
    hashes += [
        word, pair, _mix(pair, s[_EARLIER]), _mix(word, s[_EARLIER]), skip, _mix(skip, s[3]),
        _mix(min(place, 63), s[0]),
        _mix(s[_START], word), _mix(_mix(over, after), s[0]), _mix(_mix(left, s[_RHYME]), s[0]),
        _mix(_mix(left, s[_RHYME_ABOVE]), s[_RHYME]),
    ]  # fmt: skip
    return [_mix(code, 0x10000 * (k + 1)) for k, code in enumerate(hashes)]


def _check(code: int) -> int:
    return code >> 20 << 4


def _places(code: int, size: int) -> list[int]:
    first = code * 0x2545F491 & _MASK
    return [(first + i) & (size - 1) for i in range(PROBE)]


def _find_record(m: MixingArrays, code: int) -> int | None:
    for at in _places(code, len(m.records)):
        head = int(m.records[at, 0])
        if head & 15 and head & 0xFFF0 == _check(code):
            return at
    return None


def _slot_hash(context: int, node: int) -> int:
    return _mix(context, node ^ 0x5BD1E995)


def _find_slot(m: MixingArrays, code: int) -> int | None:
    for at in _places(code, len(m.slots)):
        check = int(m.slots[at, 0])
        if check == 0:
            return None
        if check == code >> 16 | 1:
            return at
    return None


@dataclass
class _Token:
    """What is the same for all nodes of a token."""

    hashes: list[int]
    last: int
    second: int
    last_rank: int
    place: int
    branching: list[int] = field(default_factory=list)
    certain: dict[int, tuple[int, int]] = field(default_factory=dict)


def _open(m: MixingArrays, state: Words) -> _Token:
    last = int(state[0])
    place = 4 * min(int(state[_POSITION]), 15) + int(m.classes[last])
    token = _Token(contexts(state), last, int(state[1]), int(m.ranks[last]), place)
    for k, code in enumerate(token.hashes):
        at = _find_record(m, code)
        if at is None:
            continue
        head, tail = m.records[at].tolist()
        if tail & _BRANCHING:
            token.branching.append(k)
        else:
            token.certain[k] = head & 15, tail & 0x7FFF
    return token


def _certain(count: int, bit: int) -> tuple[int, int]:
    p = int(tables.certain_table()[count])
    return (p, count) if bit else (65536 - p, count << 4)


@dataclass
class _Decision:
    """What a decision was mixed from. opinions: of each kind that speaks, its history and two inputs."""

    opinions: list[tuple[int, int, int, int]]
    sets: list[int]
    layer: list[int]
    final_set: int
    mixed_p: int
    apm: list[tuple[npt.NDArray[np.uint16], int]]
    apm_weight: int
    p: int
    alone: bool = False


def _clamp(value: int) -> int:
    return max(-2047, min(2047, value))


def _decide(m: MixingArrays, t: _Token, node: int, said: list[tuple[int, int, int]]) -> _Decision:
    """said: (kind, p, history) of every context that speaks at `node`."""
    if len(said) == 1 and said[0][0] == 0:
        return _Decision([], [], [], 0, 0, [], 0, said[0][1], alone=True)
    stretch, squash = tables.stretch_table(), tables.squash_table()
    opinions = [(k, h, int(stretch[p >> 4]), int(stretch[int(m.maps[k, h]) >> 20])) for k, p, h in said]
    orders = [h for k, _, h in said if 1 <= k <= len(_ORDERS)]
    sure = bool(orders) and (not orders[-1] & 15 or not orders[-1] >> 4)
    final_set = 2 * len(orders) + sure
    group = min(len(orders) // 2, 3)
    sets = [
        final_set,
        32 + 4 * min(node, 255) + group,
        32 + 1024 + 4 * t.last_rank + group,
        32 + 1024 + 1024 + 4 * t.place + group,
    ]
    layer, total = [], 0
    for j, row in enumerate(sets):
        w = m.weights[row].tolist()
        dot = 256 * w[2 * KINDS] + sum(w[2 * k] * x + w[2 * k + 1] * y for k, _, x, y in opinions)
        layer.append(_clamp(dot >> 20))
        total += int(m.final_weights[final_set, j]) * layer[j]
    mixed = _clamp(total >> 20)
    low, weight = divmod((mixed + 2048) * (APM_STEPS - 1), 4096)
    row = _mix(_mix(t.last, t.second), node) & (tables.APM_ROWS - 1)
    apm = [(m.apm[node], low), (m.apm_last[row], low)]
    refined = [(int(a[low]) * (4096 - weight) + int(a[low + 1]) * weight) >> 12 for a, low in apm]
    mixed_p = int(squash[mixed + 2048])
    p = max(1, min(65535, (2 * mixed_p + sum(refined) + 2) >> 2))
    return _Decision(opinions, sets, layer, final_set, mixed_p, apm, weight, p)


def frequencies(m: MixingArrays) -> npt.NDArray[np.uint16]:
    """What the frequencies of tokens alone say at each node, (V-1,): p of a 1, or 0 where they say nothing."""
    alone = contexts(np.zeros(tables.STATE_SIZE, np.uint32))[0]
    slots = [_find_slot(m, _slot_hash(alone, node)) for node in range(len(m.tree.children))]
    return np.array([0 if at is None else m.slots[at, 1] for at in slots], np.uint16)


def _listen(
    m: MixingArrays, t: _Token, node: int, active: list[int], sure: dict[int, int]
) -> tuple[list[tuple[int, int, int]], dict[int, int]]:
    """What each context says at `node`, and the slots of those that have one; `active` loses those that have none.

    sure: the decisions that contexts which one token alone has followed take here.
    """
    said, slots = [], {}
    for k in range(KINDS):
        if k in active:
            at = _find_slot(m, _slot_hash(t.hashes[k], node))
            if at is None:
                active.remove(k)
            else:
                slots[k] = at
                said.append((k, int(m.slots[at, 1]), int(m.slots[at, 2]) & 255))
        elif k in sure:
            said.append((k, *_certain(t.certain[k][0], sure[k])))
    return said, slots


def _path(m: MixingArrays, token: int) -> list[tuple[int, int]]:
    span = slice(int(m.tree.starts[token]), int(m.tree.starts[token + 1]))
    return list(zip(m.tree.nodes[span].tolist(), m.tree.bits[span].tolist(), strict=True))


def distribution(m: MixingArrays, state: Words) -> npt.NDArray[np.float64]:
    """ln p of every token after `state`: (V,) float64."""
    t, logarithms = _open(m, state), tables.logarithm_table()
    sure: dict[int, dict[int, int]] = {}
    for k, (_, token) in t.certain.items():
        for node, bit in _path(m, token):
            sure.setdefault(node, {})[k] = bit
    out = np.empty(m.vocabulary_size)
    reached: dict[int, tuple[float, list[int]]] = {0: (0.0, t.branching)}
    for node, children in enumerate(m.tree.children.tolist()):
        total, above = reached.pop(node)
        active = list(above)
        d = _decide(m, t, node, _listen(m, t, node, active, sure.get(node, {}))[0])
        for child, p in zip(children, (65536 - d.p, d.p), strict=True):
            after = total + float(logarithms[p])
            if child < 0:
                out[-1 - child] = after
            else:
                reached[child] = after, active
    return out


def read(
    m: MixingArrays,
    ids: Sequence[int],
    state: Words,
    rates: npt.NDArray[np.int32] | None,
    counters: bool,
    limit: int,
    map_limit: int,
    predict: bool,
) -> tuple[npt.NDArray[np.float64], Words]:
    """See `kernels.mixing.learn`."""
    scores = np.zeros(len(ids))
    for i, token in enumerate(ids):
        rate = 0 if rates is None else int(rates[i])
        if predict:
            scores[i] = _read_token(m, state, token, rate, counters, limit, map_limit)
        elif counters:
            t = _open(m, state)
            for node, bit in _path(m, token):
                for k in t.branching:
                    _learn_slot(m, _make_slot(m, _slot_hash(t.hashes[k], node)), bit, limit)
        if counters:
            _learn_records(m, contexts(state), token, limit)
        state = advance(m, state, token)
    return scores, state


def _read_token(
    m: MixingArrays, state: Words, token: int, rate: int, counters: bool, limit: int, map_limit: int
) -> float:
    t, total = _open(m, state), 0.0
    active, certain = list(t.branching), dict.fromkeys(t.certain)
    for depth, (node, bit) in enumerate(_path(m, token)):
        sure = {k: _path(m, t.certain[k][1])[depth][1] for k in certain}
        said, slots = _listen(m, t, node, active, sure)
        d = _decide(m, t, node, said)
        total += float(tables.logarithm_table()[d.p if bit else 65536 - d.p])
        if rate:
            _learn_decision(m, d, bit, rate, map_limit)
        if counters:
            for k in t.branching:
                _learn_slot(m, slots[k] if k in slots else _make_slot(m, _slot_hash(t.hashes[k], node)), bit, limit)
        certain = {k: None for k in certain if sure[k] == bit}
    return total


def _learn_decision(m: MixingArrays, d: _Decision, bit: int, rate: int, map_limit: int) -> None:
    if d.alone:
        return
    target, squash = bit << 16, tables.squash_table()
    for j, row in enumerate(d.sets):
        w = m.weights[row]
        error = (target - int(squash[d.layer[j] + 2048])) * rate
        for k, _, x, y in d.opinions:
            w[2 * k] += (error * x) >> 20
            w[2 * k + 1] += (error * y) >> 20
        w[2 * KINDS] += (error * 256) >> 20
    for j in range(SETS):
        m.final_weights[d.final_set, j] += ((target - d.mixed_p) * rate * d.layer[j]) >> 22
    for k, h, _, _ in d.opinions:
        n, p = int(m.maps[k, h]) & 1023, int(m.maps[k, h]) >> 10
        goal = (1 << 22) - 1 if bit else 0
        p += ((goal - p) * int(tables.rate_table()[min(n, 255)])) >> 16
        m.maps[k, h] = p << 10 | (n + 1 if n < map_limit else n)
    for array, low in d.apm:
        at = low + (d.apm_weight >> 11)
        array[at] = int(array[at]) + (((65535 if bit else 0) - int(array[at])) >> 7)


def _next_history(history: int, bit: int) -> int:
    other, same = (history >> 4, history & 15) if bit else (history & 15, history >> 4)
    same = min(same + 1, 15)
    if other > 2:
        other = 1 + (other >> 2)
    return other << 4 | same if bit else same << 4 | other


def _learn_slot(m: MixingArrays, at: int, bit: int, limit: int) -> None:
    _, p, tail = m.slots[at].tolist()
    n = tail >> 8
    moved = p + ((((65535 if bit else 0) - p) * int(tables.rate_table()[n])) >> 16)
    m.slots[at, 1] = max(16, min(65520, moved))
    m.slots[at, 2] = (n + 1 if n < limit else n) << 8 | _next_history(tail & 255, bit)


def _make_slot(m: MixingArrays, code: int) -> int:
    places, best, fewest = _places(code, len(m.slots)), 0, 256
    for at in places:
        check, _, tail = m.slots[at].tolist()
        if check == code >> 16 | 1:
            return at
        seen = tail >> 8 if check else -1
        if seen < fewest:
            fewest, best = seen, at
        if not check:
            break
    m.slots[best] = code >> 16 | 1, 32768, 0
    return best


def _make_record(m: MixingArrays, code: int) -> int:
    best, fewest = 0, 1 << 20
    for at in _places(code, len(m.records)):
        head, tail = m.records[at].tolist()
        seen = (head & 15) + (256 if tail & _BRANCHING else 0)
        if seen < fewest:
            fewest, best = seen, at
        if not head & 15:
            break
    return best


def _learn_path(m: MixingArrays, code: int, path: list[tuple[int, int]], limit: int) -> None:
    for node, bit in path:
        _learn_slot(m, _make_slot(m, _slot_hash(code, node)), bit, limit)


def _learn_records(m: MixingArrays, hashes: list[int], token: int, limit: int) -> None:
    for code in hashes:
        at = _find_record(m, code)
        if at is None:
            m.records[_make_record(m, code)] = _check(code) | 1, token
            continue
        head, tail = m.records[at].tolist()
        if tail & _BRANCHING:
            continue
        if tail == token:
            m.records[at, 0] = head + (head & 15 < 15)
            continue
        for node, bit in _path(m, tail):
            p, history = _certain(head & 15, bit)
            slot = m.slots[_make_slot(m, _slot_hash(code, node))]
            slot[1], slot[2] = p, (head & 15) << 8 | history
        _learn_path(m, code, _path(m, token), limit)
        m.records[at, 1] = tail | _BRANCHING
