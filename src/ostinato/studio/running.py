"""`ostinato studio`: the application, and the process that answers with it."""

import contextlib
import dataclasses
import webbrowser
from pathlib import Path

from starlette.types import ASGIApp

from ostinato.errors import OstinatoError, UsageError
from ostinato.server.app import ENDPOINTS, assemble
from ostinato.server.endpoint import Endpoint
from ostinato.server.options import Options
from ostinato.server.running import listen, run_app
from ostinato.server.schema import closed
from ostinato.studio.comparisons import Comparisons
from ostinato.studio.describing import Describing
from ostinato.studio.events import Events
from ostinato.studio.guard import Guard, Headers
from ostinato.studio.library import Library
from ostinato.studio.lists import list_endpoint
from ostinato.studio.looking import GATES_TOKENS, HIDDEN_TOKENS, Looking
from ostinato.studio.pages import Pages
from ostinato.studio.place import Place, remove
from ostinato.studio.runs import Runs
from ostinato.studio.texts import PASTED, Texts
from ostinato.studio.writing import MOST_TOKENS, WritingRoutes
from ostinato.studio.writings import Writings
from ostinato.terminal import note

PORT = 8010


def build(place: Place, guard: Guard, options: Options, upload_bytes: int) -> tuple[ASGIApp, Library]:
    """The studio's application, and the service behind it."""
    library = Library(place, options)
    texts = Texts(place, upload_bytes)
    runs, comparisons = Runs(place, library, texts), Comparisons(place, library, texts)
    writings = Writings(place)
    limits = {"surprisal_tokens": MOST_TOKENS, "hidden_tokens": HIDDEN_TOKENS, "gates_tokens": GATES_TOKENS,
              "upload_bytes": upload_bytes, "paste_characters": PASTED, "rows": options.limits.rows,
              "tokens": options.tokens}  # fmt: skip
    parts = (
        Pages(guard), Describing(str(place.root), limits), texts, runs, comparisons,
        Events(library, texts, runs, comparisons), WritingRoutes(library),
        Looking(library), writings,
    )  # fmt: skip
    lists = (
        list_endpoint("texts", texts.list), list_endpoint("runs", runs.list),
        list_endpoint("comparisons", comparisons.list), list_endpoint("writings", writings.list),
    )  # fmt: skip
    studio = tuple(_strict(endpoint) for part in parts for endpoint in part.endpoints())
    app = assemble(library, (*ENDPOINTS, *lists, *studio), lambda line: None, guard.may_ask)
    return Headers(app), library


def _strict(endpoint: Endpoint) -> Endpoint:
    """The same with unknown fields refused: a misspelt `minutes` must not begin a full training."""
    return endpoint if endpoint.body is None else dataclasses.replace(endpoint, body=closed(endpoint.body))


def studio(folder: Path, *, port: int | None = None, upload_bytes: int = 256_000_000, open_page: bool = True) -> int:
    """Serve the studio of `folder` until a signal comes; returns the exit code.

    port: None takes PORT, or any free one where that is taken; 0 any free one. Raises UsageError, OstinatoError.
    """
    if upload_bytes < 1:
        raise UsageError(f"an upload must be allowed at least one byte, got {upload_bytes}")
    place = Place(folder)
    for left in place.uploads.iterdir():  # of a studio that was killed
        remove(left)
    options = Options(port=PORT if port is None else port, drain_seconds=3.0)
    try:
        listening = listen(options)
    except OstinatoError:
        if port is not None:
            raise
        listening = listen(dataclasses.replace(options, port=0))
    guard = Guard(listening.getsockname()[1])
    address = f"http://127.0.0.1:{listening.getsockname()[1]}/?token={guard.token}"
    app, library = build(place, guard, options, upload_bytes)
    note(f"studio at {address} (folder {place.root}; Ctrl-C ends it, training goes on)")
    if open_page:
        with contextlib.suppress(Exception):  # no browser here: the address is printed
            webbrowser.open(address)
    run_app(app, library, listening)
    return 0
