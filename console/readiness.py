"""Whether this server and what it leans on are fit for work, each part asked by itself."""

from collections.abc import Callable
from datetime import timedelta

from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from console import clock, jobs, queue
from console.models import KeyCanary, Pause

# A worker looks for work each minute.
WORKER_SEEN = timedelta(minutes=2)
OVERDUE = timedelta(minutes=5)
OK = "ok"


class NotReady(Exception):
    """What is wrong, in plain words that name no machine and no secret."""


def _database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


_migrated = False


def _migrations() -> None:
    global _migrated
    if not _migrated:
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            raise NotReady("some are not applied: manage.py migrate")
        # They stay applied as long as this process runs this code.
        _migrated = True


def _keys() -> None:
    if KeyCanary.unreadable():
        raise NotReady("ENCRYPTION_KEYS does not open what is stored")
    if not KeyCanary.objects.exists():
        raise NotReady("there is nothing to try the keys on")


def _queue() -> None:
    queue.huey.storage.queue_size()


def _workers() -> None:
    seen_at = queue.worker_seen_at()
    if seen_at is None:
        raise NotReady("none was ever seen: manage.py worker")
    age = clock.now() - seen_at
    if age > WORKER_SEEN:
        raise NotReady(f"none was seen for {age.total_seconds():.0f} seconds")


def _jobs() -> None:
    if Pause.objects.exists():
        return
    # Anybody may ask, so it is one row by the index; one that a worker left behind may be the oldest.
    oldest = next(iter(jobs.due(1)), None)
    late = clock.now() - oldest.due_at if oldest else timedelta(0)
    if late > OVERDUE:
        raise NotReady(f"the oldest waits for {late.total_seconds():.0f} seconds")


PARTS: dict[str, Callable[[], None]] = {
    "database": _database,
    "migrations": _migrations,
    "keys": _keys,
    "queue": _queue,
    "workers": _workers,
    "jobs": _jobs,
}


def parts() -> dict[str, str]:
    """Each part and "ok", or what is wrong with it."""
    return {name: _asked(part) for name, part in PARTS.items()}


def _asked(part: Callable[[], None]) -> str:
    try:
        part()
    except NotReady as why:
        return str(why)
    except Exception as error:
        # Its own words may name addresses and people of the installation.
        return f"does not answer: {type(error).__name__}"
    return OK
