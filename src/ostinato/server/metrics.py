"""Metrics for Prometheus."""

from collections.abc import Mapping
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from ostinato.engine import Engine

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_SECONDS_A_TOKEN = (0.00001, 0.00003, 0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3)


class Metrics:
    """The metrics of one server."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "ostinato_requests", "Requests that were answered", ["route", "status"], registry=registry
        )
        self.tokens = Counter("ostinato_tokens", "Tokens read and written", ["model", "kind"], registry=registry)
        self.first_token = Histogram(
            "ostinato_first_token_seconds", "From the request to its first text", registry=registry, buckets=_SECONDS
        )
        self.token_seconds = Histogram(
            "ostinato_token_seconds", "From a request's first text to its last, per token", registry=registry,
            buckets=_SECONDS_A_TOKEN,
        )  # fmt: skip
        self.cancelled = Counter("ostinato_cancelled", "Requests whose client went away", registry=registry)
        self.refused = Counter("ostinato_refused", "Requests that were refused", ["status"], registry=registry)
        self._rows = Gauge("ostinato_rows", "Texts that are being written in the batch", ["model"], registry=registry)
        self._waiting = Gauge("ostinato_waiting", "Requests that wait for a row", ["model"], registry=registry)
        self._beside = Gauge("ostinato_beside", "Requests beside the batch", ["model"], registry=registry)

    def watch(self, engines: Mapping[str, Engine]) -> None:
        """Report the state of the engines at the moment of each scrape."""
        for name, engine in engines.items():
            self._rows.labels(name).set_function(partial(getattr, engine, "rows"))
            self._waiting.labels(name).set_function(partial(getattr, engine, "waiting"))
            self._beside.labels(name).set_function(partial(len, engine.beside))

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)
