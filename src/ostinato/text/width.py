"""How wide a text is in a terminal: East Asian wide characters take two columns, combining marks none."""

import unicodedata


def display_width(text: str) -> int:
    """Columns that `text` takes in a terminal (Unicode Standard Annex 11; ambiguous characters count as one)."""
    return sum(_character_width(c) for c in text)


def _character_width(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Cc", "Cf", "Me", "Mn"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def fit(text: str, columns: int) -> str:
    """`text` cut to at most `columns`, ending in an ellipsis where something was cut."""
    if display_width(text) <= columns:
        return text
    kept, used = [], 1
    for character in text:
        used += _character_width(character)
        if used > columns:
            break
        kept.append(character)
    return "".join(kept) + "…" if columns > 0 else ""


def pad(text: str, columns: int, *, right: bool = False) -> str:
    """`text` filled up with blanks to `columns`; `right` puts the text at the right end."""
    blanks = " " * max(0, columns - display_width(text))
    return blanks + text if right else text + blanks
