"""The documentation as a site: it builds strictly, in both languages, and can be searched without a network."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    for package in ("mkdocs", "material", "mkdocs_static_i18n", "jieba"):
        pytest.importorskip(package)
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(folder)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


def test_every_page_is_there_in_both_languages(site):
    for page in (ROOT / "docs").glob("**/*.md"):
        if page.name.endswith(".zh.md"):
            continue
        name = page.relative_to(ROOT / "docs").with_suffix(".html")
        name = name.with_name("index.html") if name.name == "README.html" else name
        assert (site / name).is_file(), name
        assert (site / "zh" / name).is_file(), name
    assert "第一个小时" in (site / "zh" / "first-hour.html").read_text("utf-8")


def test_both_languages_can_be_searched(site):
    found = [json.loads(path.read_text("utf-8")) for path in site.glob("**/search_index.json")]
    texts = " ".join(entry["text"] + entry["title"] for index in found for entry in index["docs"])
    assert "perplexity" in texts
    assert "留出" in texts.replace("\u200b", "")
    words = (ROOT / "docs" / "search_words.txt").read_text("utf-8").split("\n")
    for index in found:  # Chinese words are divided by U+200B, which the search must take for a blank
        divided = re.compile(index["config"]["separator"])
        cut = set(divided.split(" ".join(entry["text"] + " " + entry["title"] for entry in index["docs"])))
        assert {"困惑度", "检查点", "押韵"} <= cut
        assert {word.split(" ")[0] for word in words if word} - cut == set()


def test_lines_of_chinese_meet_without_a_blank(site):
    for page in site.glob("zh/*.html"):
        for paragraph in re.findall(r"<p>(.*?)</p>", page.read_text("utf-8"), re.S):
            assert not re.search(r"[\u4e00-\u9fff，。、；：]\n[\u4e00-\u9fff]", paragraph), page
    assert "AABA，藏头“春夏秋冬”" in (site / "zh" / "form.html").read_text("utf-8")
    assert "窗子啊，我们聊到<br" in (site / "zh" / "form.html").read_text("utf-8")


def test_nothing_is_fetched_from_elsewhere(site):
    for page in site.glob("**/*.html"):
        html = page.read_text("utf-8")
        assert not re.search(r'<(?:script|img|iframe)[^>]+src="(?:https?:)?//', html), page
        assert not re.search(r'<link[^>]+rel="stylesheet"[^>]+href="(?:https?:)?//', html), page
