"""Errors of a request, as OpenAI's error object."""

import errno
import os

from ostinato.engine import DeadlineError, FullError, StoppedError, StoppingError
from ostinato.errors import GenerationError, MissingExtraError, OstinatoError, TextError, UsageError
from ostinato.files import disk_is_full

RETRY_AFTER = 1
"""Seconds after which a client that was refused may ask again."""

_TYPES = {
    400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error",
    429: "rate_limit_error",
}  # fmt: skip
_STATUS: tuple[tuple[type[OstinatoError], int], ...] = (
    (FullError, 429),
    (StoppingError, 503),
    (DeadlineError, 504),
    (StoppedError, 499),
    (MissingExtraError, 501),
    (GenerationError, 422),
    (UsageError, 400),
    (TextError, 400),
)
_CODES = {429: "queue_full", 503: "stopping", 504: "deadline"}


class Problem(Exception):
    """A request that is answered with an error. param: the field that caused it. code: a word for programs. allow: the
    methods that the address supports."""

    def __init__(
        self, status: int, message: str, *, param: str | None = None, code: str | None = None, allow: str = ""
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.allow = status, message, param, allow
        self.code = _CODES.get(status) if code is None else code

    @classmethod
    def of(cls, error: OstinatoError) -> "Problem":
        """The error to send for one of ostinato's own exceptions."""
        status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
        return cls(status, str(error))

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the response."""
        if self.status in (429, 503):
            return {"retry-after": str(RETRY_AFTER)}
        if self.allow:
            return {"allow": self.allow}
        return {"www-authenticate": "Bearer"} if self.status == 401 else {}

    def to_json(self) -> dict[str, object]:
        """OpenAI's error object."""
        kind = _TYPES.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}


_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO)


def of_the_disk(error: Exception) -> Problem | None:
    """The error to send if a file cannot be read or written because of the machine (a full disk, say); None for any
    other error."""
    if not isinstance(error, OSError):
        return None
    if disk_is_full(error):
        return Problem(507, "the server's disk is full: make room there, then ask again", code="disk_full")
    if error.errno in _REFUSED:
        return Problem(507, f"the server cannot read or write a file: {os.strerror(error.errno)}", code="disk")
    return None
