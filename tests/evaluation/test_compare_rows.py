import json
import math

from ostinato.evaluation import Evaluation
from ostinato.evaluation.compare import ADAPTING, Comparison, Row
from ostinato.text.width import display_width


def comparison(*rows, notes=()):
    return Comparison("character", 300, 100, 90, rows, notes)


ROWS = (
    Row("uniform", "baseline", Evaluation(100 * math.log(300), 100, 90)),
    Row("歌词", "n-gram", Evaluation(100 * math.log(4), 100, 90), 1234, 200_000, 0.5, 2e6, 7),
    Row("cache", ADAPTING, Evaluation(math.inf, 100, 90), 10, 80, 90.0),
)


def test_table_is_aligned_by_display_width():
    lines = str(comparison(*ROWS, notes=("look here",))).splitlines()
    table = [line for line in lines if line.startswith(("uniform", "歌词", "cache", "model"))]
    ends = {display_width(line[: line.index(figure) + len(figure)]) for line, figure in
            zip(table, ("perplexity", "300.00", "4.00", "inf"), strict=True)}  # fmt: skip
    assert len(ends) == 1
    assert lines[-1] == "Note: look here"
    assert "200.0 kB" not in str(comparison(*ROWS))
    assert "0.2 MB" in str(comparison(*ROWS))
    assert "1.5 min" in str(comparison(*ROWS))


def test_adapting_models_stand_apart():
    text = str(comparison(*ROWS))
    assert text.index("歌词") < text.rindex("──\ncache") < text.index("Below the line")
    assert "Below the line" not in str(comparison(*ROWS[:2]))


def test_json_is_complete_and_has_no_infinities():
    report = json.loads(json.dumps(comparison(*ROWS).to_json(), allow_nan=False))
    assert [row["model"] for row in report["rows"]] == ["uniform", "歌词", "cache"]
    assert report["rows"][1]["perplexity"] == 4.0 or abs(report["rows"][1]["perplexity"] - 4) < 1e-9
    assert report["rows"][1]["tokens_per_second"] == 2_000_000
    assert report["rows"][2]["perplexity"] is None
    assert report["split"] == "held-out"
