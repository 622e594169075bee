"""What the children of a drill do, and where some of them die."""

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from unittest.mock import patch
from uuid import UUID, uuid4

from django.db import connection

from console import jobs
from console.clock import Now
from console.problems import ProblemError
from installations import health, leases, renewed, renewing, spool, tokens
from installations.models import Credential, Installation, Tally
from tests.drills import jobs_of_drill


def use(ids: list[UUID], threads: int, at: float = 0, *, lease: float = 60, **asked) -> list[tuple[str, str]]:
    """Ask for tokens from that many threads at the same moment: ("token", …) or ("problem", its code)."""

    def one(installation_id: UUID) -> tuple[str, str]:
        try:
            # Until the moment that all processes have agreed on.
            time.sleep(max(0, at - time.monotonic()))
            return "token", tokens.usable(installation_id, **asked).token.access_token
        except ProblemError as problem:
            return "problem", problem.code
        finally:
            connection.close()

    with patch.object(leases, "LEASE", timedelta(seconds=lease)), ThreadPoolExecutor(threads) as pool:
        return list(pool.map(one, (ids[number % len(ids)] for number in range(max(threads, len(ids))))))


def _die(*args, **kwargs) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _after(function: Callable) -> Callable:
    def then_die(*args, **kwargs):
        function(*args, **kwargs)
        _die()

    return then_die


# A name for each moment of a renewal, and what is replaced so that it is the last one.
MOMENTS = {
    "with the lease": (renewing, "_ask", _die),
    "with the answer": (spool, "keep", _die),
    "with the answer on disk": (spool, "keep", _after(spool.keep)),
    "in the transaction": (Tally, "note", _die),
    "after the commit": (spool, "forget", _die),
}
AFTER_THE_SPOOL = [*MOMENTS][2:]


def die(moment: str, installation_id: UUID) -> None:
    """Renew, and be killed at that moment."""
    place, name, instead = MOMENTS[moment]
    with patch.object(place, name, instead):
        tokens.usable(installation_id)


def die_with_the_job(partner_id: UUID) -> None:
    """Take a job, and be killed before anything comes of it."""
    jobs_of_drill.only_of(partner_id)
    jobs.claim()
    _die()


def replay() -> int:
    """What a worker does at its start."""
    return renewed.replay()


def race(ids: list[UUID], at: float) -> list[tuple[str, str]]:
    """Renew without regard to anybody's lease."""

    def take_anyway(row, method):
        lease = uuid4()
        Credential.objects.filter(pk=row.pk).update(lease=lease, lease_until=Now() + leases.LEASE)
        return leases.Held(row, method, lease, lost=False)

    with patch.object(leases, "take", take_anyway):
        return use(ids, 1, at)


def check(installation_id: UUID) -> str:
    """The code of what the check found, "" where it works."""
    try:
        health.check(Installation.objects.get(pk=installation_id))
    except ProblemError as problem:
        return problem.code
    return ""


@contextmanager
def clock_off_by(seconds: float):
    """The clock of this process, but not the database's, goes wrong by so much."""
    from django.utils import timezone

    real_time, real_now = time.time, timezone.now
    with (
        patch.object(time, "time", lambda: real_time() + seconds),
        patch.object(timezone, "now", lambda: real_now() + timedelta(seconds=seconds)),
    ):
        yield


def use_with_clock_off(seconds: float, ids: list[UUID], threads: int, at: float) -> list[tuple[str, str]]:
    with clock_off_by(seconds):
        return use(ids, threads, at)


def worker_with_clock_off(seconds: float, partner_id: UUID) -> None:
    """`manage.py worker` on such a machine, until it is killed."""
    with clock_off_by(seconds):
        jobs_of_drill.worker(partner_id)


def look_while_another_waits(installation_id: UUID, after_seconds: float) -> float:
    """How long a query takes with one connection for all, while another thread waits for a provider."""
    connection.settings_dict["OPTIONS"]["pool"]["max_size"] = 1
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(use, [installation_id], 1)
        # The provider is slow for longer than this: the other thread is in its request.
        time.sleep(after_seconds)
        began = time.monotonic()
        Installation.objects.get(pk=installation_id)
        took = time.monotonic() - began
        connection.close()
        assert other.result()[0][0] == "token"
    return took
