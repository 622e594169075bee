"""How things stand, for Prometheus: read from the database at the moment of asking, whoever is asked."""

import struct
import time
from collections.abc import Iterator
from contextlib import suppress

from django.db.models import Count

from console import backlog, clock, metrics, queue
from console.clock import Now
from console.models import Pause
from installations.models import Alert, Circuit, Installation


def exposition() -> bytes:
    """All that there is to know, in Prometheus' text format."""
    from prometheus_client import generate_latest

    registry = metrics.registry()
    registry.register(_Standing())
    for _ in range(5):
        with suppress(struct.error, ValueError, IndexError):
            return generate_latest(registry)
        # A process that has just begun is making its file at this moment.
        time.sleep(0.05)
    return generate_latest(registry)


class _Standing:
    """A collector, as prometheus_client calls it."""

    def describe(self):
        return []

    def collect(self) -> Iterator:
        from prometheus_client.core import GaugeMetricFamily

        def gauge(name: str, text: str, value: float):
            return GaugeMetricFamily(f"console_{name}", text, value=value)

        def by_label(name: str, text: str, label: str, values: dict[str, float]):
            family = GaugeMetricFamily(f"console_{name}", text, labels=[label])
            for key, value in values.items():
                family.add_metric([key], value)
            return family

        state = backlog.state()
        yield gauge("jobs_due", "Jobs that are due and that nobody has begun.", state["due"])
        yield gauge("jobs_oldest_seconds", "How long the oldest of them waits.", state["oldest_seconds"])
        yield gauge("jobs_running", "Jobs that a worker has.", state["running"])
        for name, text in (("due", "Jobs that are due"), ("failed", "Jobs that were given up")):
            kinds = {row["kind"]: row[name] for row in state["kinds"]}
            yield by_label(f"jobs_{name}_by_kind", f"{text}, by their kind.", "kind", kinds)
        yield gauge("jobs_failed", "Jobs that were given up.", state["failed"])
        yield gauge("paused", "1 while background work is paused.", Pause.objects.exists())
        if (seen_at := queue.last_seen()) is not None:
            age = (clock.now() - seen_at).total_seconds()
            yield gauge("worker_seen_seconds", "How long ago a worker looked for work.", age)
        yield gauge(
            "circuits_open",
            "Providers of partners that are not asked for now.",
            Circuit.objects.filter(open_until__gt=Now()).count(),
        )
        yield gauge("alerts_open", "Alerts to partners.", Alert.objects.filter(closed_at=None).count())
        states = Installation.objects.order_by().values_list("status").annotate(Count("pk"))
        yield by_label("installations", "Installations, by their state.", "state", dict(states))
