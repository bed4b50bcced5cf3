"""What mkdocs cannot do by itself with links that also work in the repository."""

import posixpath
import re
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent
_LIST = "<!-- decisions: the site lists them here -->"
_LINK = re.compile(r"(!?)\[([^\]\n]*)\]\(([^)\s#]+)(#[^)\s]*)?\)")


def decisions() -> str:
    """A line for each decision."""
    pages = sorted((_HERE / "decisions").glob("[0-9]*.md"))
    titles = (page.read_text("utf-8").partition("\n")[0].removeprefix("# ").strip() for page in pages)
    return "\n".join(f"- [{title}]({page.name})" for title, page in zip(titles, pages, strict=True))


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:
    """The text of a page as the site has it.

    A link to a file of the repository outside docs/ is plain text. So is a link to the same page in the other language,
    for which the site has a menu. In Chinese, a link leads to the Chinese page where there is one, whose headings have
    other names: it leads to its top.
    """
    if page.file.src_uri == "decisions/README.md":
        markdown = markdown.replace(_LIST, decisions())
    folder = posixpath.dirname(page.file.src_uri)
    chinese = config.theme.get("language") == "zh"

    def fitting(link: re.Match[str]) -> str:
        image, text, target = link[1], link[2], link[3]
        if image or "://" in target:
            return link[0]
        place = posixpath.normpath(posixpath.join(folder, target))
        if place.startswith("../"):
            name = re.sub(r"^(\.\./)+", "", target)
            return text if name in text else f"{text} (`{name}`)"
        if target.endswith(".zh.md"):
            return text
        if chinese and link[4] and (_HERE / place.removesuffix(".md")).with_suffix(".zh.md").is_file():
            return f"[{text}]({target})"
        return link[0]

    return _LINK.sub(fitting, markdown)
