"""What wakes the workers: huey, on a file of SQLite's by default, on Redis beyond one machine.

A message says that there is something to do and nothing else. One that is lost costs a minute: each minute
the workers look by themselves, whether or not the queue is there.
"""

import json
import logging
from datetime import datetime

from django.conf import settings
from django.db import DatabaseError, close_old_connections
from huey import Huey, RedisHuey, SqliteHuey
from huey.registry import Message
from huey.serializer import Serializer

log = logging.getLogger("console.queue")


class _Json(Serializer):
    """huey's own is pickle, which runs what it reads: whoever may write to the queue could run anything."""

    def _serialize(self, data) -> bytes:
        return json.dumps(data, default=lambda value: value.isoformat()).encode()

    def _deserialize(self, data: bytes):
        found = json.loads(data)
        if not isinstance(found, list):
            return found
        message = Message(*found)
        return message._replace(
            eta=message.eta and datetime.fromisoformat(message.eta), args=tuple(message.args or ())
        )


def _made() -> Huey:
    options = {"results": False, "serializer": _Json(), "utc": True}
    if settings.QUEUE_URL:
        return RedisHuey("partner-console", url=settings.QUEUE_URL, **options)
    settings.QUEUE_FILE.parent.mkdir(parents=True, exist_ok=True)
    return SqliteHuey("partner-console", filename=str(settings.QUEUE_FILE), **options)


huey = _made()


@huey.task(name="work")
def work() -> None:
    from console import jobs

    try:
        jobs.work()
    except DatabaseError as error:
        # Not left to the sweep: with the connections of all threads gone, nobody would work for a minute.
        log.error("work was broken off: %s", type(error).__name__)
        close_old_connections()
        wake(jobs.RETRY_SECONDS)


def wake(after_seconds: float = 0) -> None:
    """Let a worker look for what is due. Whether there is one is not ours to wait for."""
    try:
        if after_seconds:
            work.schedule(delay=after_seconds)
        else:
            work()
    except Exception as error:  # the queue is down; the sweep finds the row
        log.warning("no worker could be woken: %s", type(error).__name__)


# ── who is there ────────────────────────────────────────────────────────────────────────────────

_SEEN = "seen"


def note_worker(at: datetime) -> None:
    """A worker has looked for work. `at` is the database's time."""
    try:
        huey.storage.put_data(_SEEN, at.isoformat().encode())
    except Exception as error:  # /readyz names it
        log.warning("the queue does not answer: %s", type(error).__name__)


def worker_seen_at() -> datetime | None:
    """When a worker looked for work last; raises what the queue's own client raises where it is down."""
    found = huey.storage.peek_data(_SEEN)
    return datetime.fromisoformat(bytes(found).decode()) if isinstance(found, bytes | memoryview) else None


def last_seen() -> datetime | None:
    """The same for pages, which go on where the queue is down."""
    try:
        return worker_seen_at()
    except Exception as error:
        log.warning("the queue does not answer: %s", type(error).__name__)
        return None
