"""The studio's page in a real Chromium: the journey of a person who trains, writes, looks inside and compares."""

import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "export"))
import browser

PAGE = Path(__file__).parents[2] / "src" / "ostinato" / "studio" / "page"
OLD = Path(__file__).parents[1] / "old"
AXE = Path(os.environ.get("OSTINATO_AXE", Path(__file__).parents[2] / "build" / "axe" / "package" / "axe.min.js"))
WORDS = ["moon", "river", "silver", "night", "garden", "winter", "lantern", "sparrow", "harbor", "morning"]
VERSES = "\n\n".join(
    f"The {a} is over the {b}\nand the {b} is under the light\n"
    f"we sing of the {a} and {c}\ntill the day is deep as the night"
    for a in WORDS for b in WORDS for c in WORDS[:1] if a != b
)  # fmt: skip


@pytest.fixture(scope="module")
def chromium():
    with browser.chromium() as found:
        yield found


@contextmanager
def opened(chromium, studio, address="", **options):
    """The studio's page; fails on anything in the console and on any request that leaves the machine."""
    wrong = []
    context = chromium.new_context(**{"viewport": {"width": 1200, "height": 900}, "locale": "en-GB", **options})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.set_default_timeout(30_000)
    page.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda asked: wrong.append(asked.url) if not asked.url.startswith(studio.url) else None)
    try:
        page.goto(f"{studio.url}/?token={studio.token}")
        page.wait_for_selector("h1")
        if address:
            page.goto(f"{studio.url}/#{address}")
        yield page
    finally:
        context.close()
    assert wrong == []


def number(text):
    return float(re.search(r"[\d.]+", text)[0])


def test_a_journey(chromium, start, tmp_path):
    studio = start(tmp_path / "dir")
    song = tmp_path / "my <b>songs.txt"
    song.write_text(VERSES, "utf-8")
    with opened(chromium, studio) as page:
        # a text goes in; what was understood is shown before anything is trained
        page.set_input_files("#file", str(song))
        page.wait_for_selector("dl.facts")
        assert page.locator("h1").inner_text() == "my _b_songs.txt"
        assert "English" in page.locator("dl.facts").inner_text()
        # train for 20 seconds, from nothing
        page.click("text=Train on this")
        page.fill("[name=minutes]", "0.33")
        page.select_option("[name=start]", "none")
        page.fill("form [name=name]", "songs")
        page.click("button.main:has-text('Train')")
        page.wait_for_selector("h1:has-text('songs')")
        page.wait_for_selector(".uplot canvas", timeout=240_000)
        page.wait_for_selector(".state:has-text('finished')", timeout=300_000)
        assert page.locator("section:has(h2:has-text('Samples')) .text").count() >= 1
        assert number(page.locator(".figures b").first.inner_text()) < 4
        # write with rhyme and acrostic
        page.click("a.main:has-text('Write')")
        page.fill("[name=lines]", "4")
        page.fill("[name=seed]", "3")
        page.click("summary:has-text('Form')")
        page.fill("[name=acrostic]", "tata")
        page.fill("[name=rhyme]", "AABB")
        page.click("[name=begin]")
        page.wait_for_selector("article button:has-text('Copy')", timeout=90_000)
        text = page.locator("article .tokens").text_content()
        lines = [line for line in text.splitlines() if line.strip()]
        assert [line.strip()[0].lower() for line in lines] == list("tata")
        # take an alternative and go on from there
        page.fill("[name=acrostic]", "")
        page.fill("[name=rhyme]", "")
        page.click("[name=begin]")
        page.wait_for_selector("article button:has-text('Copy')", timeout=60_000)
        before = page.locator("article .tokens").text_content()
        page.locator("article .tokens i").nth(5).click()
        page.wait_for_selector(".beside")
        page.locator(".beside li button:not(.taken):not(:disabled)").first.click()
        page.wait_for_selector("article button:has-text('Undo')")
        after = page.locator("article .tokens").text_content()
        assert after != before
        page.click("article button:has-text('Undo')")
        assert page.locator("article .tokens").text_content() == before
        # keep it
        page.click("article button:has-text('Keep')")
        page.fill("dialog input", "first verse")
        page.click("dialog button.main")
        page.wait_for_selector("#said:has-text('first verse')", state="attached")
        # hidden units
        page.click("article button:has-text('Look inside')")
        page.click("button:has-text('Hidden units')")
        page.wait_for_selector("button.unit")
        assert page.locator(".tokens i[class*=h], .tokens i[class*=c]").count() > 3
        page.locator("button.unit").nth(2).click()
        page.click("button:has-text('Gates')")
        page.wait_for_selector(".uplot canvas")
        page.click("button:has-text('Gradients')")
        page.wait_for_selector(".uplot canvas", timeout=60_000)
        page.click("button:has-text('Embedding')")
        page.wait_for_selector("table")
        # compare
        page.click("nav a:has-text('Compare')")
        page.fill("[name=order]", "3")
        page.click("form button.main")
        page.wait_for_selector(".card .state:has-text('finished')", timeout=300_000)
        assert page.locator("tbody tr").count() >= 4
    assert studio.stop() == 0

    again = start(tmp_path / "dir")
    with opened(chromium, again) as page:
        page.wait_for_selector("a:has-text('songs')")
        assert page.locator("tbody tr").count() == 1
        page.click("nav a:has-text('Compare')")
        page.wait_for_selector("tbody tr")
        page.click("nav a:has-text('Write')")
        page.click("summary:has-text('Kept writings')")
        page.click("button:has-text('first verse')")
        assert "first verse" in page.locator("article h2").first.inner_text()
        page.goto(f"{again.url}/#/run/songs")
        page.wait_for_selector(".uplot canvas")


ROOMS = ["/", "/text/verses.txt", "/train/verses.txt", "/run/lstm", "/write/lstm", "/look/lstm", "/compare"]


def test_chinese_dark_and_on_a_phone(chromium, studio):
    phone = {"viewport": {"width": 390, "height": 844}, "locale": "zh-CN", "color_scheme": "dark"}
    with opened(chromium, studio, **phone) as page:
        for room in ROOMS:
            page.goto(f"{studio.url}/#{room}")
            page.wait_for_selector("h1")
            page.wait_for_timeout(200)
            wide = page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, room
            latin = re.findall(r"\b(?:the|and|of|with|your)\b", page.locator("main").inner_text())
            assert len(latin) < 12, (room, latin)  # texts stay as they are
        assert page.evaluate("() => getComputedStyle(document.body).backgroundColor") == "rgb(23, 22, 20)"
        assert page.locator("html").get_attribute("lang") == "zh"
        refused = page.evaluate("""async () => {
          const answer = { error: { message: "no text is called x.txt" } };
          const before = window.fetch;
          window.fetch = async () => new Response(JSON.stringify(answer), { status: 404 });
          const { get } = await import("/page/client.js");
          return get("").catch((error) => error.message).finally(() => (window.fetch = before));
        }""")
        assert refused == "没有名为 x.txt 的文本"  # what the server says is in the reader's language, too
        other = page.evaluate("() => import('/page/said.js').then((m) => m.said('something that nobody says'))")
        assert other == "原文：something that nobody says"
        page.select_option("#choices select >> nth=0", "en")
        page.wait_for_selector("h1:has-text('Compare')")


@pytest.mark.parametrize("room", ROOMS)
def test_no_serious_accessibility_fault(chromium, studio, room):
    if not AXE.exists():
        pytest.skip("axe-core is not there: make axe")
    for scheme in ("light", "dark"):
        with opened(chromium, studio, room, color_scheme=scheme, bypass_csp=True) as page:
            page.wait_for_timeout(800)
            page.add_script_tag(path=AXE)
            found = page.evaluate("() => axe.run().then((all) => all.violations)")
            serious = [
                (one["id"], [node["html"][:150] for node in one["nodes"][:3]])
                for one in found if one["impact"] in ("serious", "critical")
            ]  # fmt: skip
            assert serious == [], json.dumps(serious, indent=1)


def test_the_first_page_is_small(chromium, studio):
    with opened(chromium, studio) as page:
        sizes = page.evaluate("() => performance.getEntriesByType('resource').map((e) => [e.name, e.transferSize])")
        first = page.evaluate("() => performance.getEntriesByType('navigation')[0].transferSize")
    assert first + sum(size for _, size in sizes) < 150_000, sizes


def test_curves_of_100_000_points_and_texts_of_20_000_tokens_are_smooth(chromium, studio):
    """By the processor's time that a frame takes, which a busy machine does not change much."""
    with opened(chromium, studio) as page:
        page.evaluate("""async () => {
            const { Curves } = await import("/page/chart.js");
            const { Tokens, heat } = await import("/page/tokens.js");
            const chart = globalThis.chart = new Curves({ label: "a", xLabel: "x", yLabel: "y" });
            const view = globalThis.view = new Tokens({ label: "b", paint: (token) => heat(token.bits) });
            document.getElementById("main").replaceChildren(chart.element, view.element);
            const x = Array.from({ length: 100000 }, (_, i) => i);
            await chart.update([{ label: "c", x, y: x.map((i) => Math.sin(i / 1000) + Math.random()) }]);
            view.set(Array.from({ length: 20000 }, (_, i) => ({ text: i % 30 ? "字" : "\\n", bits: i % 13 })));
            await new Promise((done) => setTimeout(done, 500));
        }""")
        browser_ = page.context.new_cdp_session(page)
        browser_.send("Performance.enable", {"timeDomain": "threadTicks"})

        def spent():
            metrics = browser_.send("Performance.getMetrics")["metrics"]
            return next(one["value"] for one in metrics if one["name"] == "TaskDuration")

        before = spent()
        page.evaluate("""async () => {
            for (let i = 0; i < 60; i++) {
                view.element.scrollTop += 400;
                if (i % 10 === 0) chart.chart.setScale("x", { min: i * 100, max: 100000 - i * 100 });
                await new Promise(requestAnimationFrame);
            }
        }""")
        frame = 1000 * (spent() - before) / 60
    assert 0 < frame < 33, f"{frame:.1f} ms of the page's thread per frame, on a machine that draws without a GPU"


def test_what_is_said_is_there_in_both_languages():
    words = (PAGE / "words.js").read_text("utf-8")
    known = dict(re.findall(r'^  "?([^":\n]+)"?: \["((?:[^"\\]|\\.)*)", "', words, re.M))
    both = re.findall(r'^  (?:"[^"\n]+"|\w+): \["(?:[^"\\]|\\.)+", "(?:[^"\\]|\\.)+"\],$', words, re.M)
    assert len(both) == len(known) == len(re.findall(r"^  \S.*\],$", words, re.M))
    used = {
        key
        for file in PAGE.rglob("*.js") if file.parent.name != "uplot"
        for key in re.findall(r'\bt\("([^"]+)"', file.read_text("utf-8"))
    }  # fmt: skip
    assert used <= set(known), used - set(known)


def test_names_and_texts_are_never_html(chromium, start, tmp_path):
    hostile = "<img src=x onerror=alert(1)>"
    folder = tmp_path / "dir"
    (folder / "texts").mkdir(parents=True)
    names = ("<svg onload=alert(1)>.txt", "&lt;svg onload=alert(2)&gt;.txt")
    for name in names:
        (folder / "texts" / name).write_text(f"{hostile}\n\n{hostile} again\n" * 30, "utf-8")
    for name in ("<b>bold<b>", "&lt;b&gt;bold"):
        shutil.copytree(OLD / "lstm", folder / name)
    studio = start(folder)
    with opened(chromium, studio) as page:
        page.on("dialog", lambda dialog: pytest.fail("a script ran"))
        page.wait_for_selector("tbody tr")
        assert page.locator("tbody tr").count() == 2
        for name in names:
            page.goto(f"{studio.url}/#/")
            page.click(f"text={name}")
            page.wait_for_selector(f"p.text:has-text('{hostile}')")
            assert page.locator("h1").inner_text() == name
        assert page.locator("main img, main svg, main b >> text=bold").count() == 0


def test_every_module_is_sound():
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node.js is not installed")
    for file in sorted(PAGE.rglob("*.js")):
        if file.parent.name != "uplot":
            checked = subprocess.run(
                [node, "--check", "--input-type=module"], input=file.read_text("utf-8"), capture_output=True, text=True
            )
            assert checked.returncode == 0, (file, checked.stderr)
