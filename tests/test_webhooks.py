"""Webhooks out, as Standard Webhooks says (www.standardwebhooks.com): what is sent, when, and for how long.

Row 39 of the scorecard; the tests of killed workers are in test_webhook_workers.py.
"""

import base64
import json
import random
import time
from datetime import UTC, datetime, timedelta

import pytest
from django.db import transaction
from standardwebhooks import Webhook, WebhookVerificationError

from console import clock, jobs
from console.models import Event, Job
from installations.models import DigestItem, WebhookDelivery, WebhookEndpoint, WebhookMessage
from installations.notices.matters import Matters
from installations.webhooks import delivery, endpoints, keeping, schedule, signing
from installations.webhooks.outbox import LIMIT, TooLarge, announce
from tests.mailing import customer
from tests.product import full
from tests.webhooks import endpoint_of, pass_time, send, tell, told

pytestmark = pytest.mark.django_db


def one() -> WebhookDelivery:
    return WebhookDelivery.objects.select_related("message", "endpoint").get()


# ── signatures ──────────────────────────────────────────────────────────────────────────────────


def test_the_official_library_verifies_what_arrives(owner, receiver):
    _, secret = endpoint_of(owner, receiver.url())
    message = tell(owner.partner.pk, installation_id="é-1")
    send()
    (sent,) = receiver.taken
    assert Webhook(secret).verify(sent.body, sent.headers) == json.loads(message.payload)
    assert sent.id == message.pk
    assert sent.headers["content-type"] == "application/json"
    assert one().state == "delivered"
    assert 24 <= len(base64.b64decode(secret.removeprefix("whsec_"))) <= 64


def signed(secret: str, body: bytes, at: int | None = None, id: str = "msg_1") -> dict[str, str]:
    return signing.headers(id, int(time.time()) if at is None else at, body, [secret])


def test_a_thousand_signatures_verify_and_none_that_was_tampered_with():
    bad = []
    for number in range(1000):
        secret, body = signing.new_secret(), f'{{"number": {number}, "word": "ü"}}'.encode()
        good = signed(secret, body)
        Webhook(secret).verify(body, good)
        old = signed(secret, body, int(time.time()) - 301)
        bad += [
            (secret, body + b" ", good),
            (secret, body, {**good, "webhook-id": "msg_2"}),
            (secret, body, {**good, "webhook-timestamp": str(int(good["webhook-timestamp"]) - 1)}),
            (secret, body, old),
            (signing.new_secret(), body, good),
        ]
    passed = 0
    for secret, body, headers in bad:
        try:
            Webhook(secret).verify(body, headers)
            passed += 1
        except WebhookVerificationError:
            pass
    assert (len(bad), passed) == (5000, 0)


def test_while_a_secret_is_rotated_the_old_and_the_new_one_both_verify(owner, receiver):
    endpoint, before = endpoint_of(owner, receiver.url())
    now = endpoints.rotate_secret(owner.principal, endpoint, overlap=timedelta(hours=1))
    tell(owner.partner.pk)
    send()
    for secret in (before, now):
        Webhook(secret).verify(receiver.taken[0].body, receiver.taken[0].headers)
    pass_time(timedelta(hours=2))
    tell(owner.partner.pk)
    send()
    Webhook(now).verify(receiver.taken[1].body, receiver.taken[1].headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(before).verify(receiver.taken[1].body, receiver.taken[1].headers)


def test_a_secret_that_is_known_to_others_signs_no_more_at_once(owner, receiver):
    endpoint, before = endpoint_of(owner, receiver.url())
    endpoints.rotate_secret(owner.principal, endpoint, overlap=timedelta(0))
    tell(owner.partner.pk)
    send()
    with pytest.raises(WebhookVerificationError):
        Webhook(before).verify(receiver.taken[0].body, receiver.taken[0].headers)


# ── who is told what ────────────────────────────────────────────────────────────────────────────


def test_only_the_partners_own_endpoints_that_want_it_and_are_on_are_told(owner, stranger, receiver):
    endpoint_of(owner, receiver.url("/all"))
    endpoint_of(owner, receiver.url("/some"), types=["installation.deleted", "setup_link.opened"])
    off, _ = endpoint_of(owner, receiver.url("/off"))
    endpoints.switch(owner.principal, off, on=False)
    endpoint_of(stranger, receiver.url("/stranger"))
    tell(owner.partner.pk)
    tell(owner.partner.pk, "installation.deleted")
    send()
    came = sorted((sent.path, json.loads(sent.body)["type"]) for sent in receiver.taken)
    assert came == [
        ("/all", "installation.created"),
        ("/all", "installation.deleted"),
        ("/some", "installation.deleted"),
    ]


def test_a_partner_without_endpoints_costs_one_query_and_no_row(owner, django_assert_num_queries):
    row = customer(owner.partner)
    with django_assert_num_queries(1):
        assert announce("installation.created", installation=row) is None
    assert not WebhookMessage.objects.exists()


def test_a_message_has_the_form_of_the_standard_and_names_ids_and_states(owner, receiver):
    endpoint_of(owner, receiver.url())
    row = customer(owner.partner, external_account_id="loc-7")
    row.account.external_id = "cust-7"
    with transaction.atomic():
        announce("installation.connected", installation=row, data={"switched_account": False})
    send()
    (came,) = told(receiver)
    assert list(came) == ["type", "timestamp", "data"]
    assert abs(datetime.now(UTC) - datetime.fromisoformat(came["timestamp"])) < timedelta(minutes=1)
    assert came["data"] == {
        "installation_id": str(row.pk),
        "connector": "heartland-retail",
        "state": "connected",
        "problem": None,
        "external_account_id": "loc-7",
        "account_id": str(row.account_id),
        "account_external_id": "cust-7",
        "switched_account": False,
    }
    assert "canary-token" not in receiver.taken[0].body.decode()
    assert len(receiver.taken[0].body) < 20_000


def test_what_is_too_large_for_a_webhook_is_refused(owner, receiver):
    endpoint_of(owner, receiver.url())
    with pytest.raises(TooLarge):
        tell(owner.partner.pk, text="ü" * (LIMIT // 2))
    with pytest.raises(ValueError, match=r"installation\.exploded"):
        tell(owner.partner.pk, "installation.exploded")


@pytest.mark.django_db(transaction=True)
def test_what_is_rolled_back_is_told_nobody(owner, receiver):
    endpoint_of(owner, receiver.url())
    with transaction.atomic():
        announce("installation.created", partner_id=owner.partner.pk)
        transaction.set_rollback(True)
    assert not WebhookMessage.objects.exists()
    with pytest.raises(RuntimeError):
        announce("installation.created", partner_id=owner.partner.pk)
    with transaction.atomic():
        announce("installation.created", partner_id=owner.partner.pk)
        assert not Job.objects.filter(kind=delivery.KIND).exists()
    jobs.work()
    assert len(receiver.taken) == 1


@pytest.mark.django_db(transaction=True)
def test_what_was_committed_by_a_process_that_ended_then_is_found_by_the_sweep(owner, receiver):
    endpoint_of(owner, receiver.url())
    tell(owner.partner.pk)
    Job.objects.all().delete()
    delivery.sweep_from_now_on()
    jobs.work()
    assert len(receiver.taken) == 1
    assert Job.objects.get().kind == delivery.SWEEP


# ── tries ───────────────────────────────────────────────────────────────────────────────────────


def test_ten_tries_are_made_in_about_three_days_and_then_no_more(owner, receiver):
    endpoint, _ = endpoint_of(owner, receiver.url())
    receiver.says(500, body=b"we are down")
    tell(owner.partner.pk)
    pauses = []
    for number in range(1, 11):
        send()
        assert len(receiver.taken) == number
        row = one()
        assert row.attempts == number
        if row.next_at:
            pauses.append(row.next_at - datetime.fromisoformat(row.tries[-1]["at"]))
            # A moment before its time nothing is sent.
            pass_time(pauses[-1] - timedelta(seconds=2))
            send()
            assert len(receiver.taken) == number
            pass_time(timedelta(seconds=3))
    for pause, planned in zip(pauses, schedule.PAUSES[1:], strict=True):
        assert 0.79 * planned <= pause <= 1.21 * planned
    assert sum(schedule.PAUSES, timedelta(0)) == timedelta(hours=75, minutes=35, seconds=5)
    assert len(receiver.ids) == 1
    row = one()
    assert (row.state, row.next_at, row.status, len(row.tries)) == ("failed", None, 500, 10)
    assert row.tries[0]["excerpt"] == "we are down"
    # Nothing else was ever answered: it is not there any more.
    endpoint.refresh_from_db()
    assert (endpoint.disabled_reason, endpoint.is_active) == ("failing", False)
    pass_time(timedelta(days=3))
    send()
    assert len(receiver.taken) == 10


def test_pauses_are_spread_by_a_fifth_and_no_more():
    now = datetime(2026, 1, 1, tzinfo=UTC)
    for attempts, planned in enumerate(schedule.PAUSES[1:], 1):
        found = [(schedule.next_try(attempts, now) - now) / planned for _ in range(300)]
        assert 0.8 <= min(found) < 0.85
        assert 1.15 < max(found) <= 1.2
    assert schedule.next_try(10, now) is None


def test_a_message_that_fails_alone_does_not_switch_its_endpoint_off(owner, receiver):
    endpoint_of(owner, receiver.url())
    poison = tell(owner.partner.pk)
    good = receiver.answer
    receiver.says(500)
    bad = receiver.answer
    receiver.answer = lambda sent: (bad if sent.id == poison.pk else good)(sent)
    for _ in range(10):
        tell(owner.partner.pk)
        send()
        pass_time(timedelta(hours=30))
    assert WebhookDelivery.objects.get(message=poison).state == "failed"
    assert WebhookDelivery.objects.filter(state="delivered").count() == 10
    assert WebhookEndpoint.objects.get().is_active


def test_one_that_wants_nothing_any_more_is_switched_off_at_once_and_people_are_told(owner, receiver):
    endpoint, _ = endpoint_of(owner, receiver.url("/hook?key=canary-key"))
    receiver.says(410)
    tell(owner.partner.pk)
    send()
    endpoint.refresh_from_db()
    assert (endpoint.disabled_reason, endpoint.is_active) == ("gone", False)
    assert Event.objects.filter(kind="webhook_endpoint.disabled", subject_id=endpoint.pk).count() == 1
    told_in_digest = Matters(owner.partner, DigestItem.objects.values_list("about", flat=True))
    assert told_in_digest.headline() == "A webhook endpoint was switched off"
    text = told_in_digest.text()
    assert "It answered 410 Gone" in text
    assert f"/webhooks/{endpoint.pk}/" in text
    assert "canary-key" not in text
    # What waited is not lost: it goes on its way when somebody switches it on.
    receiver.says()
    endpoints.switch(owner.principal, endpoint, on=True)
    pass_time(timedelta(minutes=1))
    send()
    assert one().state == "delivered"
    assert not Matters(owner.partner, DigestItem.objects.values_list("about", flat=True))


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 404, 500])
def test_any_answer_but_a_2xx_is_a_failure_and_no_redirect_is_followed(status, owner, receiver):
    endpoint_of(owner, receiver.url())
    receiver.says(status, {"Location": receiver.url("/elsewhere")})
    tell(owner.partner.pk)
    send()
    assert [sent.path for sent in receiver.taken] == ["/hook"]
    assert (one().state, one().attempts, one().status) == ("pending", 1, status)


@pytest.mark.parametrize("status", [429, 503])
def test_who_asks_to_wait_is_left_alone_for_so_long(status, owner, receiver):
    endpoint, _ = endpoint_of(owner, receiver.url())
    receiver.says(status, {"Retry-After": "3600"})
    first = tell(owner.partner.pk)
    send()
    receiver.says()
    # Neither that message nor another one.
    tell(owner.partner.pk)
    delivery.begin(owner.partner.pk, [endpoint.pk])
    send()
    assert len(receiver.taken) == 1
    pass_time(timedelta(minutes=59))
    send()
    assert len(receiver.taken) == 1
    pass_time(timedelta(minutes=2))
    send()
    assert sorted(WebhookDelivery.objects.values_list("state", flat=True)) == ["delivered"] * 2
    assert receiver.ids[first.pk] == 2


def test_an_answer_that_drips_is_cut_off_and_its_endpoint_rests(owner, receiver, monkeypatch):
    monkeypatch.setattr(delivery, "DEADLINE_SECONDS", 1.0)
    monkeypatch.setattr(schedule, "SLOW", timedelta(seconds=0.5))
    endpoint, _ = endpoint_of(owner, receiver.url())
    receiver.says(200, body=b"x" * 100, drips=0.1)
    tell(owner.partner.pk)
    started = time.monotonic()
    send()
    assert time.monotonic() - started < 3
    assert one().tries[-1]["problem"] == "timeout"
    endpoint.refresh_from_db()
    assert endpoint.rests_until > clock.now() + timedelta(seconds=2)


def test_an_address_within_the_network_is_not_connected_to(owner, receiver, monkeypatch):
    """In production no receiver is on this machine, and a name may lead there all the same."""
    from console import http

    monkeypatch.setattr(http, "_addresses", lambda host, port: ["127.0.0.1"])
    endpoint_of(owner, "https://rebound.example/hook")
    tell(owner.partner.pk)
    send()
    assert (one().state, one().tries[0]["problem"], one().status) == ("pending", "address", 0)


def test_a_secret_that_cannot_be_read_is_a_failure_that_is_said(owner, receiver):
    from django.db import connection

    endpoint_of(owner, receiver.url())
    with connection.cursor() as cursor:
        cursor.execute("UPDATE installations_webhookendpoint SET secret = %s", [b"damaged"])
    tell(owner.partner.pk)
    send()
    assert one().tries[0]["problem"] == "secret"
    assert not receiver.taken


def test_what_a_disabled_partner_waits_for_is_not_sent_before_it_is_back(owner, receiver):
    endpoint_of(owner, receiver.url())
    tell(owner.partner.pk)
    type(owner.partner).objects.update(is_active=False)
    send()
    assert not receiver.taken
    type(owner.partner).objects.update(is_active=True)
    pass_time(timedelta(hours=2))
    send()
    assert len(receiver.taken) == 1


# ── again ───────────────────────────────────────────────────────────────────────────────────────


def fail(person, many: int) -> list[str]:
    messages = [tell(person.partner.pk).pk for _ in range(many)]
    WebhookDelivery.objects.filter(message__in=messages).update(state="failed", attempts=10, next_at=None)
    return messages


def test_what_failed_since_a_time_is_sent_again_each_once_with_its_own_id(owner, receiver):
    endpoint, _ = endpoint_of(owner, receiver.url())
    earlier = fail(owner, 2)
    WebhookDelivery.objects.update(created_at=clock.now() - timedelta(hours=5))
    later = fail(owner, 30)
    tell(owner.partner.pk)
    send()
    receiver.taken.clear()
    assert endpoints.replay(owner.principal, endpoint, clock.now() - timedelta(hours=1)) == 30
    send()
    assert receiver.ids == dict.fromkeys(later, 1)
    assert WebhookDelivery.objects.filter(state="failed").count() == len(earlier)


def test_one_is_sent_again_even_if_it_was_delivered_and_begins_its_tries_anew(owner, receiver):
    endpoint_of(owner, receiver.url())
    message = tell(owner.partner.pk)
    send()
    endpoints.send_again(owner.principal, one())
    receiver.says(500)
    send()
    assert receiver.ids == {message.pk: 2}
    assert (one().attempts, len(one().tries), one().state) == (1, 2, "pending")


def test_a_test_goes_to_its_endpoint_alone_whatever_that_wants(owner, receiver):
    endpoint, _ = endpoint_of(owner, receiver.url("/mine"), types=["setup_link.opened"])
    endpoint_of(owner, receiver.url("/other"))
    endpoints.test(owner.principal, endpoint)
    send()
    assert [sent.path for sent in receiver.taken] == ["/mine"]
    assert told(receiver)[0]["type"] == "webhook.test"


def test_what_is_thirty_days_old_is_forgotten(owner, receiver):
    endpoint_of(owner, receiver.url())
    old, new = tell(owner.partner.pk), tell(owner.partner.pk)
    WebhookMessage.objects.filter(pk=old.pk).update(occurred_at=clock.now() - timedelta(days=31))
    keeping.forget_old_messages()
    assert list(WebhookDelivery.objects.values_list("message_id", flat=True)) == [new.pk]
    assert list(WebhookMessage.objects.values_list("pk", flat=True)) == [new.pk]


def test_many_messages_all_arrive_however_the_receiver_fares(owner, receiver):
    endpoint_of(owner, receiver.url())
    chance = random.Random(7)
    good = receiver.answer
    receiver.says(503)
    bad = receiver.answer
    receiver.answer = lambda sent: (bad if chance.random() < 0.3 else good)(sent)
    count = full(60, 1000)
    messages = {tell(owner.partner.pk, number=number).pk for number in range(count)}
    for _ in range(9):
        send()
        pass_time(timedelta(hours=30))
        WebhookEndpoint.objects.update(failing_since=None)
    send()
    assert set(receiver.ids) == messages
    assert WebhookDelivery.objects.filter(state="delivered").count() == count
