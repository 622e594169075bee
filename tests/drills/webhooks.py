"""Messages to a partner's software while workers are killed, and while one of its endpoints is slow."""

import json
import random
import time
from collections import defaultdict

from django.db import connection, transaction

from console import queue
from console.models import Job
from console.tenancy import Principal
from installations.models import WebhookDelivery, WebhookEndpoint
from installations.webhooks import endpoints
from installations.webhooks.outbox import announce
from installations.webhooks.types import TYPES
from tests.drills import jobs_of_drill
from tests.drills.field import Field, Figure
from tests.drills.killing import end_connections
from tests.stand_ins.receiver import Receiver, Says

# Seconds, of the rows' time, until all is delivered once nobody is killed any more.
SETTLED_AFTER = 900
# Of a hundred first tries so many fail; beside a hundred transactions so many are rolled back.
FAIL, ROLLED_BACK = 10, 5
# How often each connection to PostgreSQL is ended meanwhile.
BREAKS = 3
DRIP_SECONDS = 30.0
P95_SECONDS = 2.0


def _endpoints(
    field: Field, receiver: Receiver, types: list[str], path: str = "/{}"
) -> list[WebhookEndpoint]:
    principal = Principal(partner_id=field.partner.pk, actor="drill")
    return [
        endpoints.create(principal, url=receiver.url(path.format(name)), types=[name])[0] for name in types
    ]


def _tell(field: Field, type: str, number: int, *, rolled_back: bool = False) -> None:
    with transaction.atomic():
        announce(type, partner_id=field.partner.pk, data={"number": number})
        transaction.set_rollback(rolled_back)


def killed_workers(field: Field, events: int = 600, kills: int = 20) -> Figure:
    """Row 39, W2: two workers are killed again and again while they deliver."""
    chance, types = random.Random(events), list(TYPES)
    breaks = set(chance.sample(range(kills), BREAKS)) if connection.vendor == "postgresql" else set()
    seen: set[str] = set()

    def answer(sent) -> Says:
        is_first, _ = sent.id not in seen, seen.add(sent.id)
        return Says(503 if is_first and chance.randrange(100) < FAIL else 204)

    with Receiver() as receiver:
        receiver.answer = answer
        _endpoints(field, receiver, types)

        def start():
            return field.child(jobs_of_drill.worker, field.partner.pk)

        workers, committed, undone, in_hand = [start() for _ in range(2)], set(), set(), 0
        for kill in range(kills):
            until = time.monotonic() + 0.15 + chance.random() * 0.4
            for number in range(kill * events // kills, (kill + 1) * events // kills):
                _tell(field, types[number % len(types)], number)
                committed.add(number)
                if chance.randrange(100) < ROLLED_BACK:
                    _tell(field, types[number % len(types)], events + number, rolled_back=True)
                    undone.add(events + number)
            time.sleep(max(0, until - time.monotonic()))
            in_hand += Job.objects.filter(partner=field.partner, started_at__isnull=False).exists()
            workers[kill % 2].kill()
            workers[kill % 2] = start()
            if kill in breaks:
                end_connections()
            field.age(10, Job, WebhookDelivery, WebhookEndpoint)
        aged = 0
        left = WebhookDelivery.objects.filter(partner=field.partner, state="pending")
        while left.exists() and aged < SETTLED_AFTER:
            field.age(5, Job, WebhookDelivery, WebhookEndpoint)
            aged += 5
            queue.wake()
            time.sleep(0.5)
        for worker in workers:
            worker.kill()
    ids_of: dict[int, set[str]] = defaultdict(set)
    for sent in receiver.taken:
        ids_of[json.loads(sent.body)["data"]["number"]].add(sent.id)
    lost = len(committed - ids_of.keys()) + left.count()
    never = len(ids_of.keys() - committed)
    other_id = sum(len(ids) > 1 for ids in ids_of.values())
    again = len(receiver.taken) - len(receiver.ids)
    broken = f", {len(breaks)} × every connection to PostgreSQL ended" if breaks else ""
    return Figure(
        f"{kills} × kill -9 of one of two workers that deliver {len(committed)} messages to "
        f"{len(types)} endpoints ({in_hand} in mid-job{broken}; {len(undone)} rolled back)",
        f"{lost} lost, {never} that never happened, {other_id} under two ids, {again} came again, "
        f"settled after {aged} s",
        f"0, 0, 0, any, {SETTLED_AFTER} s",
        lost == never == other_id == 0 and in_hand > 0 and len(receiver.ids) == len(committed),
    )


def slow_endpoint(field: Field, waiting: int = 100, others: int = 40) -> Figure:
    """Row 39, W5: one endpoint drips its answers while many messages wait for it."""
    slow, *quick = list(TYPES)[:6]
    came: dict[int, float] = {}

    def answer(sent) -> Says:
        if sent.path == f"/{slow}":
            return Says(200, body=b"." * 60, drips=DRIP_SECONDS / 60)
        came.setdefault(json.loads(sent.body)["data"]["number"], time.monotonic())
        return Says()

    with Receiver() as receiver:
        receiver.answer = answer
        _endpoints(field, receiver, [slow, *quick])
        worker = field.child(jobs_of_drill.worker, field.partner.pk)
        for number in range(waiting):
            _tell(field, slow, number)
        field.wait_until(lambda: receiver.taken)
        told = {}
        for number in range(others):
            told[number] = time.monotonic()
            _tell(field, quick[number % len(quick)], number)
            time.sleep(0.4)
        field.wait_until(lambda: len(came) == others)
        worker.kill()
    took = sorted(came[number] - told[number] for number in told)
    p95 = took[int(len(took) * 0.95)]
    return Figure(
        f"{others} messages to five endpoints while a sixth drips for 30 s and {waiting} wait for it",
        f"95 % within {p95:.2f} s, the slowest {took[-1]:.2f} s",
        f"{P95_SECONDS:.0f} s",
        p95 < P95_SECONDS,
    )
