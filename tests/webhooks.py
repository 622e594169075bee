"""Endpoints, messages to them, and a time that passes when a test says so."""

import json
from datetime import timedelta

import pytest
from django.db import transaction
from django.db.models import F

from console import jobs
from console.models import Job
from installations.models import WebhookDelivery, WebhookEndpoint
from installations.webhooks import delivery, endpoints
from installations.webhooks.outbox import announce
from tests.stand_ins.receiver import Receiver

# Every time that decides something.
TIMES = {
    Job: ["due_at"],
    WebhookDelivery: ["next_at", "created_at"],
    WebhookEndpoint: ["failing_since", "rests_until", "previous_until"],
}


@pytest.fixture
def receiver():
    with Receiver() as server:
        yield server


def endpoint_of(person, url: str, **fields) -> tuple[WebhookEndpoint, str]:
    return endpoints.create(person.principal, url=url, **fields)


def tell(partner_id, type: str = "installation.created", **data):
    with transaction.atomic():
        return announce(type, partner_id=partner_id, data=data)


def send() -> None:
    """Do what is due for endpoints, and nothing else; also where a test holds its transaction open."""
    for pk, partner_id in WebhookEndpoint.objects.values_list("pk", "partner_id"):
        if not Job.objects.filter(kind=delivery.KIND, subject_id=pk).exists():
            delivery.begin(partner_id, [pk])
    others = list(Job.objects.exclude(kind=delivery.KIND).values_list("pk", "due_at"))
    Job.objects.exclude(kind=delivery.KIND).update(due_at=F("due_at") + timedelta(days=1))
    while held := jobs.claim():
        jobs.run(held)
    for pk, due_at in others:
        Job.objects.filter(pk=pk).update(due_at=due_at)


def pass_time(by: timedelta) -> None:
    for model, names in TIMES.items():
        for name in names:
            model.objects.filter(**{f"{name}__isnull": False}).update(**{name: F(name) - by})


def told(receiver: Receiver) -> list[dict]:
    return [json.loads(sent.body) for sent in receiver.taken]
