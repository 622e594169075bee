"""Bringing messages to endpoints, at least once each.

There is one job for each endpoint that has something waiting; the deliveries say what, and when. So one who
is slow holds up nobody else: it takes one worker at most, and rests between. A worker that is killed leaves
its deliveries as they were; they are sent once more with the same id when its lease is over.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic
from uuid import UUID

from django.db.models import Exists, OuterRef

from console import clock, crypto, http, jobs, lending, queue, retry_after
from console.jobs import Claim, handler
from console.models import Event, Job
from installations import alerts
from installations.models import DeliveryState, WebhookDelivery, WebhookEndpoint
from installations.notices import items
from installations.webhooks import schedule, signing
from installations.webhooks.types import FAILING, GONE, REASONS

KIND, SWEEP = "webhooks", "webhooks_sweep"
# The subject of the one job that sweeps.
NOBODY = UUID(int=0)
SWEEP_EVERY = timedelta(minutes=1)
DEADLINE_SECONDS = 15.0
# Of one endpoint: at once, in one turn, and no new one after so long in it. The lease holds for all of them.
AT_ONCE, BATCH, TURN_SECONDS = 2, 20, 20.0
# Bytes of an answer that are read, and characters of it that are kept.
ANSWER_LIMIT, EXCERPT = 1024 * 1024, 500
# Tries that stand in the log of a delivery.
KEPT_TRIES = 30


@dataclass(frozen=True)
class Try:
    """One request and what came back. `problem` is a kind of http.Unreachable or "secret"; else ""."""

    took: timedelta
    status: int = 0
    problem: str = ""
    excerpt: str = ""
    asked_to_wait: timedelta | None = None

    @property
    def is_good(self) -> bool:
        return 200 <= self.status < 300

    @property
    def is_slow(self) -> bool:
        return self.took > schedule.SLOW

    def to_json(self, at: datetime) -> dict:
        return {
            "at": at.isoformat(timespec="milliseconds"),
            "ms": round(self.took / timedelta(milliseconds=1)),
            "status": self.status or None,
            "problem": self.problem,
            "excerpt": self.excerpt,
        }


def begin(partner_id: UUID, endpoints: Iterable[UUID]) -> None:
    """Let what waits for these endpoints be sent now."""
    for endpoint in endpoints:
        jobs.schedule(KIND, endpoint, partner_id)


def sweep_from_now_on() -> None:
    Job.objects.get_or_create(kind=SWEEP, subject_id=NOBODY, defaults={"due_at": clock.now()})


@handler(SWEEP)
def sweep(claim: Claim) -> None:
    """Find what waits and has no job: its process ended right after the commit."""
    waiting = WebhookDelivery.objects.filter(endpoint=OuterRef("pk"), state=DeliveryState.PENDING)
    seen = Job.objects.filter(kind=KIND, subject_id=OuterRef("pk"))
    rows = WebhookEndpoint.objects.filter(Exists(waiting), ~Exists(seen), disabled_at=None)
    for pk, partner_id in rows.order_by().values_list("pk", "partner_id"):
        begin(partner_id, [pk])
    with claim.finish(clock.now() + SWEEP_EVERY):
        pass


@handler(KIND, lease_seconds=60)
def deliver(claim: Claim) -> None:
    """Send what is due for one endpoint, and set the time of what is next."""
    rows = WebhookEndpoint.objects.select_related("partner")
    endpoint = rows.filter(pk=claim.subject_id, disabled_at=None).first()
    if endpoint is None:
        return
    now = clock.now()
    if not endpoint.partner.is_active:
        return _until(claim, now + timedelta(hours=1))
    if endpoint.rests_until and endpoint.rests_until > now:
        return _until(claim, endpoint.rests_until)
    waiting = WebhookDelivery.objects.filter(endpoint=endpoint, state=DeliveryState.PENDING)
    due = waiting.filter(next_at__lte=now).select_related("message").order_by("next_at")
    # One that was slow is asked with one message at a time.
    tried = _send_all(endpoint, list(due[: 1 if endpoint.rests_until else BATCH]), now)
    later = waiting.exclude(pk__in=[row.pk for row in tried]).order_by("next_at")
    next_at = later.values_list("next_at", flat=True).first()
    _note(claim, endpoint, tried, next_at)


def _until(claim: Claim, at: datetime) -> None:
    with claim.finish(at):
        pass


# ── over the wire ───────────────────────────────────────────────────────────────────────────────


def _send_all(
    endpoint: WebhookEndpoint, rows: list[WebhookDelivery], now: datetime
) -> dict[WebhookDelivery, Try]:
    """What was tried, with what came of it. What there was no room or no time for is left out."""
    if not rows:
        return {}
    try:
        keys = endpoint.signing_secrets(now)
    except crypto.CannotOpen:
        return {row: Try(timedelta(0), problem="secret") for row in rows}
    until = monotonic() + TURN_SECONDS

    def send(row: WebhookDelivery) -> Try | None:
        return _send(endpoint.url, row, keys, now) if monotonic() < until else None

    if len(rows) == 1:
        found = [send(rows[0])]
    else:
        lending.give_back()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            # Each with this job's own context, for what is logged.
            found = [
                future.result() for future in [pool.submit(copy_context().run, send, row) for row in rows]
            ]
    return {row: outcome for row, outcome in zip(rows, found, strict=True) if outcome}


def _send(url: str, row: WebhookDelivery, keys: list[str], now: datetime) -> Try | None:
    """One request; None where it could not even begin."""
    body, started = row.message.payload.encode(), monotonic()
    sent = {"Content-Type": "application/json", "User-Agent": "Partner-Console-Webhooks/1"}
    sent |= signing.headers(row.message_id, int(now.timestamp()), body, keys)
    try:
        answer = http.send(
            url,
            method="POST",
            headers=sent,
            data=body,
            limit=ANSWER_LIMIT,
            deadline=DEADLINE_SECONDS,
            may_be_local=True,
        )
    except http.Unreachable as error:
        if error.kind == "busy":
            return None
        return Try(timedelta(seconds=monotonic() - started), problem=error.kind)
    return Try(
        timedelta(seconds=monotonic() - started),
        answer.status_code,
        excerpt="".join(c if c.isprintable() or c == "\n" else " " for c in answer.text[:EXCERPT]),
        asked_to_wait=retry_after.parse(answer.headers.get("Retry-After", ""), now),
    )


# ── what came of it ─────────────────────────────────────────────────────────────────────────────


def _note(
    claim: Claim,
    endpoint: WebhookEndpoint,
    tried: dict[WebhookDelivery, Try],
    next_at: datetime | None,
) -> None:
    """Write what came of a turn, together with the end of its job."""
    now = clock.now()
    good = any(outcome.is_good for outcome in tried.values())
    since = None if good else endpoint.failing_since or now
    ran_out, before = False, {row.pk: row.attempts for row in tried}
    for row, outcome in tried.items():
        _take(row, outcome, now)
        ran_out |= row.state == DeliveryState.FAILED
    rests_until = _rests_until(tried, now)
    due = [row.next_at for row in tried if row.next_at] + ([next_at] if next_at else [])
    soonest = min(due, default=None)
    if soonest and rests_until:
        soonest = max(soonest, rests_until)
    reason = ""
    if any(outcome.status == 410 for outcome in tried.values()):
        reason = GONE
    elif tried and since and schedule.is_given_up(since, now, ran_out=ran_out):
        reason = FAILING
    with claim.finish(None if reason else soonest):
        # What was begun anew meanwhile, or leads elsewhere now, is not what was tried.
        same = WebhookDelivery.objects.select_for_update().filter(pk__in=[row.pk for row in tried])
        untouched = {pk for pk, attempts in same.values_list("pk", "attempts") if attempts == before.get(pk)}
        written = [row for row in tried if row.pk in untouched]
        WebhookDelivery.objects.bulk_update(written, ["state", "attempts", "next_at", "tries", "status"])
        if tried:
            WebhookEndpoint.objects.filter(pk=endpoint.pk, url=endpoint.url).update(
                failing_since=since, rests_until=rests_until
            )
        if reason:
            _disable(endpoint, reason)
    wait = (soonest - now).total_seconds() if soonest and not reason else 60
    if wait < 60:
        # What is further away is found by the sweep of the queue.
        queue.wake(max(wait, 0))


def _take(row: WebhookDelivery, outcome: Try, now: datetime) -> None:
    row.attempts, row.status = row.attempts + 1, outcome.status
    row.tries = [*row.tries, outcome.to_json(now)][-KEPT_TRIES:]
    if outcome.is_good:
        row.state, row.next_at = DeliveryState.DELIVERED, None
        return
    row.next_at = schedule.next_try(row.attempts, now)
    if row.next_at is None:
        row.state = DeliveryState.FAILED
    elif outcome.asked_to_wait:
        row.next_at = max(row.next_at, now + outcome.asked_to_wait)


def _rests_until(tried: dict[WebhookDelivery, Try], now: datetime) -> datetime | None:
    """The longest that an answer asked for, or earned by being slow; None: it may go on at once."""
    rests = [outcome.took * schedule.RESTS for outcome in tried.values() if outcome.is_slow]
    rests += [o.asked_to_wait for o in tried.values() if o.asked_to_wait and not o.is_good]
    return now + max(rests) if rests else None


def _disable(endpoint: WebhookEndpoint, reason: str) -> None:
    """Send nothing more there, and let the partner's people be told."""
    if endpoint.disable(reason):
        itself = alerts.itself(endpoint.partner_id)
        text = f"The webhook endpoint {endpoint} was switched off: {REASONS[reason]}"
        Event.objects.record("webhook_endpoint.disabled", itself, text[:300], subject=endpoint, reason=reason)
        items.note(endpoint.partner_id, f"webhook:{endpoint.pk}")
