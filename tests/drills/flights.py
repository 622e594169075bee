"""Many callers, one renewal."""

import signal
import time
from datetime import timedelta

from console.clock import Now
from installations.models import Credential, Installation
from tests.drills import acts
from tests.drills.field import Field, Figure


def _together(field: Field, processes: int, threads: int, rows: list[Installation], **asked) -> list:
    """What `processes` times `threads` callers got that began at the same moment."""
    at = time.monotonic() + 0.1 * processes
    ids = [row.pk for row in rows]
    children = [field.child(_use, ids, threads, at, asked) for _ in range(processes)]
    return [found for child in children for found in child.answer()]


def _use(ids, threads, at, asked):
    return acts.use(ids, threads, at, **asked)


def single_flight(field: Field, rounds: int, *, processes: int = 4, threads: int = 50) -> Figure:
    """Row 35, T-R1: callers of several processes on one expired token."""
    field.server.control(slow=0.2)
    (row,) = field.connected(1)
    good, calls = 0, field.asked()
    for _ in range(rounds):
        field.expire([row])
        found = _together(field, processes, threads, [row])
        good += sum(one == ("token", row.current_token().access_token) for one in found)
    calls = field.asked() - calls
    wanted = rounds * processes * threads
    return Figure(
        f"{processes} processes × {threads} callers on an expired token, {rounds} rounds",
        f"{calls} calls, {good} of {wanted} got the new token",
        f"{rounds} calls, all",
        calls == rounds and good == wanted and not field.lost([row]),
    )


def slow_provider(field: Field, *, seconds: float, lease: float, credentials: int = 4) -> Figure:
    """Row 35, T-R2: the token endpoint takes longer than a lock may last."""
    field.server.control(slow=seconds)
    rows = field.connected(credentials)
    calls = field.asked()
    found = _together(field, 4, credentials * 2, rows, lease=lease)
    # Who finds a lease that ran out is told so at once, and may not use the refresh token.
    told = sum(one == ("problem", "renewal_unknown") for one in found)
    tokens = {row.current_token().access_token for row in rows}
    good = sum(one[0] == "token" and one[1] in tokens for one in found)
    calls, refused = field.asked() - calls, field.asked("invalid_grant")
    return Figure(
        f"{len(found)} callers of {credentials} tokens, the provider takes {seconds:g} s, lease {lease:g} s",
        f"{calls} calls, {refused} refused, {good} tokens, {told} told to wait, {field.lost(rows)} lost",
        f"{credentials} calls, 0 refused, 0 lost",
        calls == credentials
        and refused == field.lost(rows) == field.broken() == 0
        and good + told == len(found)
        and (not told or lease < seconds),
    )


# What a server does with a refresh token that comes twice, and so what becomes of a holder that stalls.
REUSE = {"grace": "grace", "single_use": "refuse", "strict": "revoke"}


def stalled_holder(field: Field, times: int, method: str, *, lease: float = 2.0) -> Figure:
    """Row 36, T-R3: stopped while the provider answers, past its lease; another one comes; it goes on."""
    rows = field.connected(times, method=method)
    # Long enough for all to have asked, and short of the deadline of a request.
    field.server.control(slow=min(1 + times * 0.3, 8), reuse=REUSE[method])
    before = field.asked()
    stalled = [field.child(_use, [row.pk], 1, 0, {"lease": lease}) for row in rows]
    field.wait_until(lambda: field.asked() - before == times)
    for child in stalled:
        child.send(signal.SIGSTOP)
    field.wait_until(lambda: not _leases(field, in_use=True), lease + 60)
    field.server.control(slow=0)
    ids = [row.pk for row in rows]
    taken = dict(zip(ids, field.child(acts.use, ids, min(8, times)).answer(), strict=True))
    late = {}
    for row, child in zip(rows, stalled, strict=True):
        child.send(signal.SIGCONT)
        ((_, late[row.pk]),) = child.answer()
    now = {row.pk: row.current_token().access_token for row in rows}
    agreed = sum(late[key] == now[key] for key in now)
    # Where a second renewal is allowed, its token stays; elsewhere the first one's is the only one there is.
    fenced = sum(taken[key] == ("token", now[key]) for key in now)
    told = sum(taken[key][0] == "problem" for key in now)
    lost, revoked = field.lost(rows), sum(not field.server.alive(row.name) for row in rows)
    expected = fenced == times if method == "grace" else told == times
    return Figure(
        f"{times} holders stopped past their lease, taken over ({method})",
        f"{fenced} tokens of the second kept, {told} seconds told to wait, {lost} lost, {revoked} revoked",
        f"{times if method == 'grace' else 0} kept, 0 lost, 0 revoked, 0 broken",
        expected and agreed == times and lost == revoked == field.broken() == 0,
    )


def _leases(field: Field, *, in_use: bool) -> bool:
    rows = Credential.objects.filter(partner=field.partner, lease_until__isnull=False)
    return rows.filter(lease_until__gt=Now()).exists() if in_use else rows.exists()


def clocks(field: Field, *, minutes: int = 10, threads: int = 10) -> Figure:
    """Row 41: machines whose clocks are wrong either way share a token."""
    field.server.control(slow=0.3)
    fresh, expired = field.connected(1, ends_in=300), field.connected(1, ends_in=-1)
    at, calls = time.monotonic() + 0.4, field.asked()
    off = [seconds * 60 for seconds in (-minutes, minutes, -minutes, minutes)]
    ids = [row.pk for row in fresh + expired]
    children = [field.child(acts.use_with_clock_off, seconds, ids, threads, at) for seconds in off]
    found = [one for child in children for one in child.answer()]
    now = {row.current_token().access_token for row in fresh + expired}
    good = sum(one[0] == "token" and one[1] in now for one in found)
    calls = field.asked() - calls
    ends = Credential.objects.get(installation=expired[0]).current.expires_at
    clock = Credential.objects.filter(installation=expired[0]).values_list(Now(), flat=True)[0]
    right = abs(ends - clock - timedelta(hours=1)) < timedelta(seconds=30)
    end = "right" if right else "wrong"
    return Figure(
        f"4 machines, clocks off by ±{minutes} minutes, a fresh and an expired token",
        f"{calls} renewal(s), {good} of {len(found)} tokens live, the new one's end {end}",
        "1 renewal, all live, right",
        calls == 1 and good == len(found) and right and not field.lost(fresh + expired),
    )
