"""The options of a server."""

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from ostinato.engine import Limits
from ostinato.errors import TextError, UsageError


@dataclass(frozen=True)
class Options:
    """The limits and options of a server. Raises UsageError for values that do not go together.

    keys: the accepted API keys (none: no key is needed, and only this machine can reach the address). origins: web
    pages that may send requests (CORS). body_bytes, prompt_tokens, prompts, tokens: the limits of one request.
    body_seconds: the time in which a body must arrive. send_seconds: how long a client may read nothing. log_text: log
    the texts, too.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    keys: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    body_bytes: int = 1 << 20
    body_seconds: float = 30.0
    send_seconds: float = 60.0
    prompt_tokens: int = 1 << 16
    prompts: int = 128
    tokens: int = 4096
    drain_seconds: float = 30.0
    log_text: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise UsageError(f"the port must be 0 to 65535, got {self.port}")
        if not self.keys and not self.loopback:
            raise UsageError(
                f"at {self.host} others than this machine can ask: give --api-key-file with a key a line, or leave "
                "--host at 127.0.0.1"
            )

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        try:
            return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def read_keys(path: Path) -> tuple[str, ...]:
    """Read keys from a file, one per line; blank lines and lines that begin with # are skipped.

    Raises TextError if the file cannot be read, has no key, or has a key that cannot be sent in a header.
    """
    try:
        lines = [line.strip() for line in path.read_text("utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise TextError(f"cannot read the keys in {path}: {getattr(error, 'strerror', None) or error}") from None
    keys = tuple(line for line in lines if line and not line.startswith("#"))
    if not keys:
        raise TextError(f"{path} has no key: write one per line")
    for number, line in enumerate(lines, 1):
        if line in keys and not (line.isascii() and line.isprintable() and " " not in line):
            raise TextError(f"line {number} of {path} is no key: a key is printable ASCII without blanks")
    return keys
