"""Files and folders that others may be using: locks, writing whole or not at all, reading what may be hostile."""

from ostinato.files.locks import hold, holder, refuse_if_held
from ostinato.files.reading import (
    UnsafeFileError,
    check_depth,
    checksum,
    open_regular,
    parse_json,
    parse_value,
    path,
    read_regular,
    unload,
)
from ostinato.files.writing import (
    NotFlushedError,
    building,
    disk_is_full,
    flush,
    is_unique,
    replacing,
    reserve,
    sweep,
    unique,
    write_file,
)

__all__ = [
    "NotFlushedError",
    "UnsafeFileError",
    "building",
    "check_depth",
    "checksum",
    "disk_is_full",
    "flush",
    "hold",
    "holder",
    "is_unique",
    "open_regular",
    "parse_json",
    "parse_value",
    "path",
    "read_regular",
    "refuse_if_held",
    "replacing",
    "reserve",
    "sweep",
    "unique",
    "unload",
    "write_file",
]
