"""A provider that is down, that refuses the partner, or that wants to be asked more slowly."""

import time
from collections import Counter

from console import clock
from console.models import Job
from installations.models import Alert, Circuit, Credential, CredentialVersion
from tests.drills import acts, jobs_of_drill
from tests.drills.field import Field, Figure
from tests.rotating import store_client

STEP_SECONDS = 15


def outage(field: Field, installations: int = 50, *, minutes: int = 10) -> Figure:
    """Row 40, B2: down for ten minutes, in which the time of the rows is moved and not waited for."""
    rows = field.connected(installations)
    ids = [row.pk for row in rows]
    field.server.control(down=503)
    probes, at = Counter(), 0
    # The first half minute is what it takes to notice.
    for at in range(0, minutes * 60, STEP_SECONDS):
        before = field.asked()
        field.child(acts.use, ids, 8).answer()
        probes[at // 30] += field.asked() - before
        field.age(STEP_SECONDS, Credential, Circuit)
    most = max(count for window, count in probes.items() if window)
    noticed, broken = probes[0], field.broken()
    field.server.control(down=0)
    waited = 0
    while not Counter(kind for kind, _ in field.child(acts.use, ids, 8).answer())["token"] and waited < 600:
        field.age(5, Credential, Circuit)
        waited += 5
    # Those that were told to wait just before that are back within a minute.
    field.age(61, Credential)
    kinds = Counter(kind for kind, _ in field.child(acts.use, ids, 8).answer())
    return Figure(
        f"Provider down for {minutes} minutes, {installations} installations with expired tokens",
        f"{noticed} calls until noticed, then {most} per 30 s; back after {waited} s, "
        f"{kinds['token']} renewed, {broken} broken",
        "1 per 30 s, 30 s, all, 0 broken",
        noticed <= 16
        and 0 < most <= 1
        and waited <= 30
        and kinds["token"] == installations
        and broken == field.broken() == field.lost(rows) == 0,
    )


def wrong_secret(field: Field, installations: int = 500) -> Figure:
    """Row 10 and section 1.3: the partner's secret is wrong."""
    rows = field.connected(installations)
    store_client(field.partner, "wrong")
    found = Counter(field.child(acts.use, [row.pk for row in rows], 8).answer())
    alerts = Alert.objects.filter(partner=field.partner, closed_at=None).count()
    is_open = Circuit.objects.filter(partner=field.partner, open_until__isnull=False).count()
    calls, broken = field.asked(), field.broken()
    return Figure(
        f"A wrong client secret, {installations} installations",
        f"{alerts} alert, {broken} broken, circuit {'open' if is_open else 'closed'}, {calls} calls",
        "1 alert, 0 broken, open",
        (alerts, broken, is_open) == (1, 0, 1)
        and calls <= 16
        and found == {("problem", "invalid_client"): installations}
        and field.lost(rows) == 0,
    )


def spread(field: Field, installations: int = 200) -> Figure:
    """B1: those that failed together do not come back together."""
    rows = field.connected(installations)
    field.server.control(down=503)
    field.child(acts.use, [row.pk for row in rows], 8).answer()
    times = Credential.objects.filter(installation__in=rows).values_list("retry_at", flat=True)
    seconds = Counter(int(at.timestamp()) for at in times)
    most = max(seconds.values())
    return Figure(
        f"{installations} renewals fail together",
        f"at most {most} come back in the same second",
        f"{installations // 10}",
        len(times) == installations and most <= installations / 10,
    )


def limited(field: Field, installations: int = 100, *, per_second: int = 20, minutes: float = 14) -> Figure:
    """T-R4: more fall due than the provider answers in a second; their tokens live for `minutes`.

    Nobody waits for the time in which nothing is due; it counts all the same.
    """
    rows = field.connected(installations, ends_in=minutes * 60)
    field.server.control(limit=per_second, retry_after="1")
    now = clock.now()
    Job.objects.bulk_create(
        Job(kind="renew", subject_id=row.pk, partner=field.partner, due_at=now) for row in rows
    )
    old = set(CredentialVersion.objects.filter(installation__in=rows).values_list("pk", flat=True))
    worker, started = field.child(jobs_of_drill.worker, field.partner.pk), time.monotonic()
    waiting = Credential.objects.filter(installation__in=rows, current_id__in=old)
    until, skipped = started + 300, 0
    while waiting.exists() and time.monotonic() < until:
        time.sleep(0.2)
        skipped += field.skip_idle(waiting)
    took = time.monotonic() - started + skipped
    worker.kill()
    state = field.server.state()
    once = sum(state["grants"][row.name]["issued"] == 2 for row in rows)
    refused = state["calls"]["limited"]
    return Figure(
        f"{installations} renewals fall due at once, the provider answers {per_second} a second",
        f"{took:.0f} s (skipped: {skipped:.0f}), {once} renewed with one call, {refused} times told to wait",
        f"{minutes - 1:g} minutes, all, fewer than a tenth",
        took <= (minutes - 1) * 60 and once == installations and refused <= installations / 10,
    )
