"""`python -m tests.drill`: does what keeps installations alive hold? One row for each drill; status 1 if not.

Runs against the database that DATABASE_URL names, with the environment of the console; without one, against
an empty SQLite file. It works on a partner of its own, which it removes, and on a stand-in for a provider
that it starts. Where DEVELOPMENT is not set, it wants --staging. End the workers of that system first: they
would take its jobs, and a drill kills those that do them.
"""

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from pathlib import Path


def settle(folder: Path, *, staging: bool) -> None:
    """The environment, before Django reads it. Raises SystemExit where this is no place for a drill."""
    if "DATABASE_URL" not in os.environ:
        from tests import environment  # noqa: F401 - keys of its own, for a database of its own

        os.environ["DATABASE_URL"] = f"sqlite:///{folder / 'drill.sqlite3'}"
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
    os.environ.setdefault("LOG_LEVEL", "CRITICAL")
    os.environ |= {"SPOOL_DIR": str(folder / "spool"), "QUEUE_FILE": str(folder / "queue.sqlite3")}
    import django
    from django.conf import settings

    django.setup()
    if not settings.DEVELOPMENT and not staging:
        raise SystemExit("This is not a developer's machine. For a staging system: --staging")
    settings.CONNECTOR_LIBRARIES = [settings.BASE_DIR / "tests" / "library"]


def drills() -> list[Callable]:
    """Each takes a field and returns a figure."""
    from django.db import connection

    from tests.drills import calls, flights, killing, losing, operations, outages, webhooks

    return [
        lambda field: flights.single_flight(field, 5),
        lambda field: flights.slow_provider(field, seconds=12, lease=60),
        lambda field: flights.slow_provider(field, seconds=5, lease=2),
        lambda field: flights.stalled_holder(field, 10, "grace"),
        lambda field: flights.stalled_holder(field, 10, "strict"),
        flights.clocks,
        losing.ten_ways,
        outages.outage,
        outages.wrong_secret,
        lambda field: outages.limited(field, 60),
        killing.killed_workers,
        lambda field: killing.at_every_moment(field, 3),
        *([killing.broken_connections] if connection.vendor == "postgresql" else []),
        webhooks.killed_workers,
        webhooks.slow_endpoint,
        calls.large_bodies,
        calls.hostile,
        calls.garbage_keys,
        operations.key_rotation,
        operations.backup_and_restore,
    ]


@contextmanager
def a_field():
    """A partner of its own and a stand-in, both gone at the end."""
    from django.conf import settings

    from connectors import registry
    from connectors.models import Release
    from tests.drills.field import Field
    from tests.rotating import Rotating
    from tests.stand_ins.process import running

    with running("tests.stand_ins.rotating") as server:
        settings.STAND_IN_ORIGINS = {"https://rotating.test": server.origin}
        before = set(Release.objects.values_list("pk", flat=True))
        registry.all.cache_clear()
        field = Field(Rotating(server.origin))
        try:
            yield field
        finally:
            field.remove()
            Release.objects.filter(connector="rotating-test").exclude(pk__in=before).delete()


def main() -> int:
    # Ended by whatever means, it leaves nothing behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--staging", action="store_true", help="a staging system, its workers ended")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settle(Path(folder), staging=asked.staging)
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        started, missed = time.monotonic(), 0
        with a_field() as field:
            for drill in drills():
                field.begin_anew()
                missed += not row(drill, field)
    print(f"{time.monotonic() - started:.0f} s, {missed or 'none'} fell short")
    return 1 if missed else 0


def row(drill: Callable, field) -> bool:
    """Do one drill and print what came of it. One that breaks off falls short."""
    started = time.monotonic()
    try:
        figure = drill(field)
    except Exception as error:
        print(f"MISSED  broken off: {type(error).__name__}: {error}", flush=True)
        with suppress(Exception):
            field.end()
        return False
    took = time.monotonic() - started
    state = "held  " if figure else "MISSED"
    print(f"{state}  {figure.what}\n        {figure.found}  (bar: {figure.bar}; {took:.0f} s)", flush=True)
    return bool(figure)


if __name__ == "__main__":
    sys.exit(main())
