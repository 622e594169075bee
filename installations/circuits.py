"""A breaker for each provider of a partner: who is down is not asked by everybody, again and again.

Closed, it lets everybody through. Five failures within ten seconds open it. Open, it lets one probe through
each half minute; the first that succeeds closes it. A wrong client secret opens it at once, and so does a
provider that says how long to wait.
"""

import random
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.db.models import Case, F, When

from console import clock
from console.clock import Now
from installations.models import Circuit, Credential

FAILURES, WINDOW = 5, timedelta(seconds=10)
PROBE_EVERY = timedelta(seconds=30)
REFUSED_FOR = timedelta(minutes=5)


class Open(Exception):
    """Nobody is let through now. `code` says why, `after` when it makes sense to ask again."""

    def __init__(self, code: str, after: timedelta):
        super().__init__(code)
        self.code, self.after = code, after


def enter(partner_id, connector: str) -> bool:
    """Raises Open, unless the circuit is closed or this caller is its probe; whether there is a circuit."""
    row = Circuit.objects.filter(partner_id=partner_id, connector=connector).first()
    if row is None or row.open_until is None:
        return row is not None
    # Of all who come when its time is up, one is the probe: the others find the time moved on.
    probe = Circuit.objects.filter(pk=row.pk, open_until__lte=Now()).update(open_until=Now() + PROBE_EVERY)
    if not probe:
        left = max(row.open_until - clock.now(), timedelta(seconds=1))
        # Not all at the same moment.
        raise Open(row.problem, left + PROBE_EVERY * random.random())  # noqa: S311
    return True


def succeeded(partner_id, connector: str) -> None:
    """Close it, and let those who wait because of it ask again."""
    Circuit.objects.filter(partner_id=partner_id, connector=connector).delete()
    waiting = Credential.objects.filter(partner_id=partner_id, installation__connector=connector)
    waiting.filter(lease_until=None, retry_at__gt=Now()).update(retry_at=None)


def failed(partner_id, connector: str, problem: str, *, at_once: timedelta | None = None) -> None:
    """Count a failure; `at_once` opens the circuit for that long."""
    rows = Circuit.objects.filter(partner_id=partner_id, connector=connector)
    if at_once:
        said = {"open_until": Now() + at_once}
    else:
        within = {"since__gte": Now() - WINDOW}
        # What it said before the window is forgotten, and the count begins anew.
        said = {
            "failures": Case(When(**within, then=F("failures") + 1), default=1),
            "since": Case(When(**within, then=F("since")), default=Now()),
        }
    while not (rows.update(**said, problem=problem) or _begin(partner_id, connector, problem, at_once)):
        # Another process has begun it since: what is said here is said of that one, its opening too.
        pass
    rows.filter(open_until=None, failures__gte=FAILURES).update(open_until=Now() + PROBE_EVERY)


def _begin(partner_id, connector: str, problem: str, at_once: timedelta | None) -> bool:
    """The first failure; False where another process was faster."""
    now = clock.now()
    try:
        with transaction.atomic():
            Circuit.objects.create(
                partner_id=partner_id,
                connector=connector,
                failures=1,
                since=now,
                open_until=now + at_once if at_once else None,
                problem=problem,
            )
    except IntegrityError:
        return False
    return True
