"""What mkdocs cannot do by itself with links that also work in the repository."""

import posixpath
import re
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent
_LIST = "<!-- decisions: the site lists them here -->"
_HAN = "[\u2014\u201c\u201d\u2026\u3000-\u303f\u3400-\u9fff\uff00-\uffef]"
_LINK = re.compile(r"(!?)\[([^\]\n]*)\]\(([^)\s#]+)(#[^)\s]*)?\)")


def decisions() -> str:
    """A line for each decision."""
    pages = sorted((_HERE / "decisions").glob("[0-9]*.md"))
    titles = (page.read_text("utf-8").partition("\n")[0].removeprefix("# ").strip() for page in pages)
    return "\n".join(f"- [{title}]({page.name})" for title, page in zip(titles, pages, strict=True))


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:
    """The text of a page as the site has it.

    A link to a file of the repository outside docs/ is plain text. So is a link to the same page in the other language,
    for which the site has a menu. A link to a Chinese page is one to the page, which the site shows in the reader's
    language. In Chinese, a link to an English page leads to the Chinese one where there is one: to its top, because its
    headings have other names.
    """
    if page.file.src_uri == "decisions/README.md":
        markdown = markdown.replace(_LIST, decisions())
    here = page.file.src_uri
    folder = posixpath.dirname(here)
    chinese = config.theme.get("language") == "zh"

    def fitting(link: re.Match[str]) -> str:
        image, text, target = link[1], link[2], link[3]
        if image or "://" in target:
            return link[0]
        place = posixpath.normpath(posixpath.join(folder, target))
        if place.startswith("../"):
            name = re.sub(r"^(\.\./)+", "", target)
            return text if name in text else f"{text} (`{name}`)"
        if place.replace(".zh.md", ".md") == here.replace(".zh.md", ".md"):
            return text
        if target.endswith(".zh.md"):
            return f"[{text}]({target.removesuffix('.zh.md')}.md{link[4] or ''})" if chinese else text
        if chinese and link[4] and (_HERE / place.removesuffix(".md")).with_suffix(".zh.md").is_file():
            return f"[{text}]({target})"
        return link[0]

    markdown = _LINK.sub(fitting, markdown)
    return joined(markdown) if chinese else markdown


def joined(markdown: str) -> str:
    """Lines of Chinese text that belong together as one line: a browser would put a blank where they meet."""
    lines: list[str] = []
    fenced = False
    for line in markdown.split("\n"):
        fenced ^= line.startswith("```")
        before = lines[-1] if lines else ""
        text = re.match(rf"(?: {{2,3}})?(?={_HAN})", line)
        if text and not fenced and re.search(rf"{_HAN}$", before) and not re.match(r"#|\||    ", before):
            lines[-1] = before + line[text.end() :]
        else:
            lines.append(line)
    return "\n".join(lines)
