"""Every example runs, shows what it says it shows, and stands in the lessons as it is."""

import importlib.util
import re
from pathlib import Path

import pytest

pytest.importorskip("torch")

# `ostinato.train` without a folder keeps its model in a temporary one, which goes when the model does
pytestmark = pytest.mark.filterwarnings("ignore:Implicitly cleaning up:ResourceWarning")

ROOT = Path(__file__).parents[1]
spec = importlib.util.spec_from_file_location("lessons_include", ROOT / "docs" / "lessons" / "include.py")
include = importlib.util.module_from_spec(spec)
spec.loader.exec_module(include)

LANGUAGES = {
    "English": [p for p in include.LESSONS if not p.name.endswith(".zh.md")],
    "Chinese": [p for p in include.LESSONS if p.name.endswith(".zh.md")],
}
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?(?:[eE][+-]?\d+)?")

SHOWS = {
    "layer_shapes.py": ["output (1, 5, 3), h_n (1, 1, 3)", "output (1, 5, 6), h_n (2, 1, 3)", "output is h_n: True",
                        "the last step: True", "the first step: True", "whole last output is h_n: False"],
    "cell_beside_layer.py": ["same outputs:   True", "same gradients: True"],
    "concat_identity.py": ["equal: True"],
    "samplers.py": ["rows continue: True", "do not overlap: True", "new order each epoch: True",
                    "x  0  1  2  3  4  5   y  1  2  3  4  5  6"],
    "one_hot.py": ["column of W: True", "place of one-hot vectors: True", "float ids: ids must be integers"],
    "gradient_clipping.py": ["no clipping  perplexity above a million", "norm 1.30 becomes 1.00"],
    "perplexity_cases.py": ["always right          perplexity 1\n", "perplexity 1027", "perplexity inf", "of it 5.28"],
    "hello_ohlol.py": ["ohlol"],
    "hello_elloh.py": ["hand-made: hello -> elloh", "framework: hello -> elloh"],
    "noise_labels.py": ["chance"],
    "both_directions.py": ["as in writing"],
    "vanishing_gradients.py": ["LSTM, forget bias 3"],
    "strengths_and_limits.py": ["100% at 500 bits", "last 3 bits: 5"],
    "lyric_generator.py": ["> greedy", "> top-k", "> sampled", "longest copy"],
    "carried_state.py": ["100 steps, differs by up to 0.000 nats", "5,050 steps, differs by up to 0.000 nats"],
    "checkpoint_and_resume.py": ["stopped at step 11", "bit for bit: True", "state.safetensors"],
    "ngram_tradeoff.py": ["impossible"],
    "window_beside_state.py": ["5-grams", "LSTM"],
}  # fmt: skip


class Printed:
    """What the examples print, each run once; pictures go to one folder."""

    def __init__(self, folder):
        self.folder, self.texts = folder, {}

    def __getitem__(self, name):
        if name not in self.texts:
            self.texts[name] = include.run(name, self.folder)
        return self.texts[name]

    def numbers(self, name, pattern):
        """The first group of every match, as floats."""
        return [float(n.replace(",", "")) for n in re.findall(pattern, self[name])]


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    return Printed(tmp_path_factory.mktemp("examples"))


@pytest.mark.parametrize("name", sorted(include.code()))
def test_shows_what_it_says(printed, name):
    for text in SHOWS[name]:
        assert text in printed[name]


def test_cell_learns_a_wave(printed):
    losses = printed.numbers("cell_beside_layer.py", r"error ([\d.]+)")
    assert losses[0] > 0.1
    assert losses[-1] < 0.01


def test_clipping_trains(printed):
    vocabulary, clipped = printed.numbers("gradient_clipping.py", r"perplexity (\d+)")
    assert clipped < vocabulary / 2


def test_longer_ngrams_fit_the_training_text_and_meet_the_unseen(printed):
    rows = [line.split() for line in printed["ngram_tradeoff.py"].splitlines()[2:]]
    training, smooth = ([float(row[k]) for row in rows] for k in (2, 5))
    assert training[0] > training[1] > training[2]
    assert smooth[0] > smooth[1] > smooth[2]
    assert rows[1][3] == rows[2][3] == "inf"


def test_a_longer_window_predicts_better_and_a_state_best(printed):
    bits, numbers = zip(
        *(line.split()[-2:] for line in printed["window_beside_state.py"].splitlines()[4:]), strict=True
    )
    assert sorted(map(float, bits), reverse=True) == list(map(float, bits))
    assert sorted(numbers[:-1]) == list(numbers[:-1])


def test_ohlol_is_solved_for_18_of_20_seeds_both_ways(printed):
    solved = printed.numbers("hello_ohlol.py", r"(\d+) of 20")
    assert len(solved) == 2
    assert min(solved) >= 18
    layer, cell = printed["hello_ohlol.py"].splitlines()[:2]
    assert layer.split(":")[1].split() == cell.split(":")[1].split()


def test_elloh_ends_below_a_hundredth(printed):
    assert max(printed.numbers("hello_elloh.py", r"-> ([\d.]+)")) < 0.01
    assert (printed.folder / "hello_elloh.png").stat().st_size > 1000


def test_noise_is_learnt_by_heart_and_no_further(printed):
    training = printed.numbers("noise_labels.py", r"training accuracy ([\d.]+)%")
    assert training[-1] > training[0] + 10
    (unseen,) = printed.numbers("noise_labels.py", r"held-out accuracy ([\d.]+)%")
    assert 49 <= unseen <= 51


def test_the_future_is_a_cheat(printed):
    figures = [NUMBER.findall(line) for line in printed["both_directions.py"].splitlines()[1:]]
    (forward, same), (with_future, without), (gap,) = [[float(n) for n in row] for row in figures]
    assert forward == same
    assert with_future < 1.5
    assert without > forward * 1.1
    assert 1.5 < gap < forward


def test_the_plain_gradient_vanishes_first(printed):
    rates = printed.numbers("vanishing_gradients.py", r"keeps ([\d.]+) of")
    plain, gru, lstm, opened = rates
    assert plain < min(gru, lstm) - 0.03
    assert opened > max(gru, lstm) + 0.1
    assert (printed.folder / "vanishing_gradients.png").stat().st_size > 1000


def test_an_open_forget_gate_recalls(printed):
    rows = [line for line in printed["strengths_and_limits.py"].splitlines() if line.startswith(">")]
    accuracy = {row[2:26].strip(): [int(n) for n in re.findall(r"(\d+)%", row)] for row in rows}
    closed, opened = accuracy["lstm"], accuracy["lstm, forget gate open"]
    assert sum(opened[:2]) > 180
    assert sum(opened[2:]) > sum(closed[2:])


def test_lyrics_are_learnt(printed):
    (vocabulary, perplexity) = printed.numbers("lyric_generator.py", r"(?:vocabulary|perplexity) (\d+)")
    assert perplexity < vocabulary / 3


def test_another_state_gives_other_probabilities(printed):
    assert printed.numbers("carried_state.py", r"up to ([\d.]+)")[-1] > 0.01


@pytest.mark.parametrize("name", sorted(include.code()))
def test_is_short_and_says_what_to_expect(name):
    source = include.code()[name]
    assert "Expected:" in source.split('"""')[1]
    assert len(source.splitlines()) <= 80


@pytest.mark.parametrize("language", LANGUAGES)
def test_lessons_hold_every_example_once(language):
    names = [name for page in LANGUAGES[language] for name in include.blocks(page.read_text("utf-8"), "example")]
    assert sorted(names) == sorted(include.code())


@pytest.mark.parametrize("page", include.LESSONS, ids=lambda p: p.name)
def test_code_in_lessons_is_fresh(page):
    text = page.read_text("utf-8")
    assert include.fill(text, "example", include.code()) == text, "run: python docs/lessons/include.py"


@pytest.mark.parametrize("page", include.LESSONS, ids=lambda p: p.name)
def test_output_in_lessons_is_what_is_printed(printed, page):
    for name, recorded in include.blocks(page.read_text("utf-8"), "output").items():
        old, new = (_fixed_lines(text) for text in (recorded, printed[name]))
        assert [NUMBER.sub("#", line).split() for line in old] == [NUMBER.sub("#", line).split() for line in new], name
        for a, b in zip(_numbers(old), _numbers(new), strict=True):
            assert abs(a - b) <= max(0.25 * abs(a), 0.02), f"{name}: run: python docs/lessons/include.py --run"


def _fixed_lines(text):
    return [line for line in text.splitlines() if not line.startswith(">")]


def _numbers(lines):
    return [float(number.replace(",", "")) for line in lines for number in NUMBER.findall(line)]
