"""A model in other formats: one file per format, found through one table."""

from ostinato.export.formats import FORMATS, export

__all__ = ["FORMATS", "export"]
