"""What is counted, for Prometheus: where METRICS_TOKEN is set, and nothing of it is loaded where it is not.

Each process counts in a file of its own in METRICS_DIR, and whoever is asked adds all of them up, so that it
does not matter which of several processes that is. A label is a route, a kind or a code of ours: never what
somebody entered.
"""

import os
from functools import cache
from threading import Lock

from django.conf import settings

BUCKETS = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


_one_at_a_time = Lock()


def _made() -> dict:
    # Two of it would write into the same file and lose what the other one counted.
    with _one_at_a_time:
        return _make()


@cache
def _make() -> dict:
    settings.METRICS_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Read when the library is imported, and then never again.
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(settings.METRICS_DIR)
    from prometheus_client import CollectorRegistry, Counter, Histogram

    # Of this process alone; nobody asks it.
    own = {"registry": CollectorRegistry()}
    return {
        "request": Histogram(
            "console_request_seconds",
            "Requests, how they were answered and how long that took.",
            ["method", "route", "status"],
            buckets=BUCKETS,
            **own,
        ),
        "job": Counter("console_jobs_ended", "Jobs, by how they ended.", ["kind", "outcome"], **own),
        "renewal": Counter(
            "console_renewals", "Renewals of tokens, by what came of them.", ["outcome"], **own
        ),
    }


def known(method: str) -> str:
    """A request's method is whatever the other side likes to say."""
    return method if method in METHODS else "other"


def request(method: str, route: str, status: int, seconds: float) -> None:
    if settings.METRICS_TOKEN:
        _made()["request"].labels(known(method), route, str(status)).observe(seconds)


def job(kind: str, outcome: str) -> None:
    if settings.METRICS_TOKEN:
        _made()["job"].labels(kind, outcome).inc()


def renewal(outcome: str) -> None:
    """`outcome`: "renewed", or a code of console.problems."""
    if settings.METRICS_TOKEN:
        _made()["renewal"].labels(outcome).inc()


def registry():
    """A registry that adds up what all processes of this machine have counted."""
    _made()
    from prometheus_client import CollectorRegistry
    from prometheus_client.multiprocess import MultiProcessCollector

    found = CollectorRegistry()
    MultiProcessCollector(found, path=str(settings.METRICS_DIR))
    return found
