"""How the queue of background work is, for those who watch it."""

from collections import defaultdict

from django.db.models import Count, Min, Value
from django.db.models.functions import Coalesce

from console import clock
from console.models import Job


def state() -> dict:
    """How the queue is: {"due", "running", "failed", "oldest_seconds", "kinds"}."""
    at = clock.now()
    # Each along an index of its own: of a million that wait for their time none is looked at.
    late = Job.objects.filter(failed_at=None, due_at__lte=at).order_by()
    given_up = Job.objects.filter(failed_at__isnull=False).order_by()
    waiting = late.filter(started_at=None).aggregate(count=Count("pk"), oldest=Min("due_at"))
    kinds: dict[str, dict] = defaultdict(lambda: {"due": 0, "failed": 0})
    for name, rows in (("due", late), ("failed", given_up)):
        # By an expression: to group by the column SQLite would walk along another index, past all rows.
        counted = rows.annotate(of=Coalesce("kind", Value(""))).values_list("of")
        for kind, count in counted.annotate(count=Count("*")):
            kinds[kind][name] = count
    return {
        "due": waiting["count"],
        "oldest_seconds": (at - waiting["oldest"]).total_seconds() if waiting["oldest"] else 0.0,
        "running": Job.objects.filter(started_at__isnull=False, failed_at=None).count(),
        "failed": sum(counts["failed"] for counts in kinds.values()),
        "kinds": [{"kind": kind, **counts} for kind, counts in sorted(kinds.items())],
    }
