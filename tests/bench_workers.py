"""How fast workers renew, how long it takes to find what is due, and what a worker grows by.

Against a token endpoint on this machine that rotates, with the spool's files flushed to the disk.
"""

import random
import statistics
import time
from datetime import timedelta
from uuid import uuid4

from django.db import connection

from console import clock, jobs, queue
from console.models import Job
from installations.models import CredentialVersion
from tests.drills import jobs_of_drill
from tests.drills.field import Field
from tests.rotating import Rotating
from tests.stand_ins.process import running

RENEWALS, WORKERS = 600, (1, 2, 4)
REFRESHES, WARMED_UP = 10_000, 1_000
JOBS = (10_000, 100_000, 1_000_000)
PER_SECOND_BAR, DUE_BAR_MS, GROWTH_BAR_MB = 20.0, 50.0, 8.0


def rows() -> list[tuple]:
    """The rows of the bench's table."""
    from django.conf import settings

    from connectors import registry

    with running("tests.stand_ins.rotating") as server:
        settings.STAND_IN_ORIGINS = {"https://rotating.test": server.origin}
        settings.CONNECTOR_LIBRARIES = [settings.BASE_DIR / "tests" / "library"]
        registry.all.cache_clear()
        field = Field(Rotating(server.origin))
        try:
            return [*refreshing(field), growing(field), *due_among(field)]
        finally:
            field.remove()


def _let_due(field: Field, installations: list) -> None:
    now = clock.now()
    Job.objects.filter(partner=field.partner).delete()
    field.expire(installations)
    Job.objects.bulk_create(
        Job(kind="renew", subject_id=row.pk, partner=field.partner, due_at=now) for row in installations
    )


def _wait(field: Field, installations: list, seconds: float = 300) -> None:
    """Until all their tokens are new ones."""
    old = CredentialVersion.objects.filter(installation__in=installations, expires_at__lt=clock.now())
    field.wait_until(lambda: not old.exists(), seconds)


def refreshing(field: Field) -> list[tuple]:
    found = []
    installations = field.connected(RENEWALS)
    for many in WORKERS:
        workers = [field.child(jobs_of_drill.worker, field.partner.pk) for _ in range(many)]
        # Loaded and idle by then: what is measured is how they renew, not how they start.
        time.sleep(2)
        _let_due(field, installations)
        started = time.perf_counter()
        for _ in workers:
            queue.wake()
        _wait(field, installations)
        each = RENEWALS / (time.perf_counter() - started)
        field.end()
        assert not field.lost(installations)
        bar = PER_SECOND_BAR if many == 1 else None
        found.append(
            (
                f"renewals, {many} worker{'s' * (many > 1)}",
                f"{RENEWALS:,}",
                "",
                f"{each:.0f}/s",
                f"{each / many:.0f}/s each",
                f"{bar:.0f}/s" if bar else "",
                "held" if not bar or each >= bar else "MISSED",
            )
        )
    return found


def growing(field: Field) -> tuple:
    """What a worker holds after ten thousand renewals more than after the first thousand."""
    field.begin_anew()
    installations = field.connected(200)
    worker = field.child(jobs_of_drill.worker, field.partner.pk)
    sizes = []
    for number in range(REFRESHES // len(installations)):
        _let_due(field, installations)
        queue.wake()
        _wait(field, installations)
        if (number + 1) * len(installations) in (WARMED_UP, REFRESHES):
            sizes.append(_resident_mb(worker.process.pid))
    field.end()
    grown = sizes[1] - sizes[0]
    held = "held" if grown <= GROWTH_BAR_MB else "MISSED"
    return (
        "a worker's memory",
        f"{REFRESHES:,}",
        "",
        f"{sizes[1]:.0f} MB",
        f"{grown:+.1f} MB",
        f"{GROWTH_BAR_MB:+.0f} MB",
        held,
    )


def _resident_mb(process_id: int) -> float:
    with open(f"/proc/{process_id}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024


def due_among(field: Field) -> list[tuple]:
    """The time to find what is due, of which there is the same number among ever more rows."""
    field.begin_anew()
    found, made, at = [], 0, clock.now()
    for many in JOBS:
        Job.objects.bulk_create(
            (
                Job(kind="check", subject_id=uuid4(), partner=field.partner, due_at=_some_time(at, number))
                for number in range(made, many)
            ),
            batch_size=5_000,
        )
        made = many
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
        plan = jobs.due().explain()
        assert "job_by_due" in plan, plan
        times = []
        for _ in range(40):
            started = time.perf_counter()
            assert len(jobs.due()) == jobs.CHOICE
            times.append((time.perf_counter() - started) * 1000)
        p95 = statistics.quantiles(times, n=20, method="inclusive")[-1]
        held = "held" if p95 <= DUE_BAR_MS else "MISSED"
        median = f"{statistics.median(times):.1f} ms"
        found.append(
            (
                f"what is due of {many:,}",
                f"{many:,}",
                1,
                median,
                f"{p95:.1f} ms",
                f"{DUE_BAR_MS:.0f} ms",
                held,
            )
        )
    return found


def _some_time(at, number: int):
    """A hundred are due, the others within the days to come."""
    ahead = -random.uniform(0, 60) if number < 100 else random.uniform(3600, 30 * 86_400)
    return at + timedelta(seconds=ahead)
