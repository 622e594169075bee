"""What providers send, by the API: the address to register, the secret, and what came with its body."""

import json
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.utils import timezone

from console.models import ApiCall, Event
from installations.models import (
    HookAddress,
    Installation,
    ReceivedWebhook,
    Status,
    WebhookEndpoint,
    WebhookMessage,
)
from tests import test_receiving
from tests.calling import Caller, caller
from tests.test_api import refused
from tests.test_receiving import BODY, Sender, install

pytestmark = pytest.mark.django_db

endpoint, github = test_receiving.endpoint, test_receiving.github


@pytest.fixture
def api(northwind) -> Caller:
    return caller(northwind)


def base(row: Installation) -> str:
    return f"/installations/{row.pk}"


def at(sender: Sender, made: dict) -> Sender:
    """The sender, told of the address that the API made."""
    sender.url, sender.path = made["url"], urlsplit(made["url"]).path
    return sender


def test_an_address_with_a_secret_of_ours_is_made_and_takes_what_is_signed_with_it(api, github):
    old = github.path
    made = api("POST", f"{base(github.installation)}/webhook-address", {})
    assert made.status_code == 201
    found = made.json()
    assert (found["secret_missing"], found["register_at"]) == (False, github.webhook.register_at)
    github.secret = found["secret"]
    assert at(github, found).posts(BODY).content == b"Received.\n"
    github.path = old
    assert github.posts(BODY).status_code == 404
    (event,) = Event.objects.filter(kind="webhook_address.made")
    assert (event.actor, event.text) == ("API key Import", "Another webhook address was made")


def test_an_address_is_made_once_for_each_idempotency_key_and_stored_nowhere_in_clear(api, account):
    path = f"{base(install(account, 'github'))}/webhook-address"
    first, again = (api("POST", path, {}, Idempotency_Key="once") for _ in range(2))
    assert first.content == again.content
    assert first["Cache-Control"] == "no-store"
    assert Event.objects.filter(kind="webhook_address.made").count() == 1
    token = first.json()["url"].split("/")[-2]
    assert token.encode() not in bytes(ApiCall.objects.get().__dict__["answer"])
    assert token not in api("GET", path).content.decode()


def test_a_secret_that_the_provider_chooses_comes_with_the_address_or_later(api, account):
    sender = Sender(install(account, "stripe"))
    HookAddress.objects.all().delete()
    path = f"{base(sender.installation)}/webhook-address"
    refused(api("PATCH", path, {"secret": sender.secret}), "not_found", 404)
    made = api("POST", path, {}).json()
    assert (made["secret"], made["secret_missing"]) == (None, True)
    assert at(sender, made).posts(BODY).status_code == 401
    found = api("GET", path).json()
    assert (found["has_secret"], found["refused"]) == (False, 1)
    assert found["refused_because"] == "the secret is not entered yet"
    stored = api("PATCH", path, {"secret": sender.secret})
    assert stored.json()["has_secret"] is True
    assert sender.secret not in stored.content.decode()
    assert Event.objects.filter(kind="webhook_secret.stored").count() == 1
    assert sender.posts(BODY).content == b"Received.\n"
    # Another address keeps what was entered, or takes another secret.
    another = api("POST", path, {}).json()
    assert another["secret_missing"] is False
    assert at(sender, another).posts(BODY + b" ").content == b"Received.\n"
    api("POST", path, {"secret": "of another webhook"})
    assert HookAddress.objects.get().secret == "of another webhook"
    refused(api("PATCH", path, {"secret": ""}), "invalid_request", 422)
    assert HookAddress.objects.get().secret == "of another webhook"


def test_a_secret_is_stored_only_for_the_address_that_was_read(api, account):
    sender = Sender(install(account, "stripe"))
    path = f"{base(sender.installation)}/webhook-address"
    etag = api("GET", path)["ETag"]
    sender.posts(BODY, {})
    refused(api("PATCH", path, {"secret": "x"}, If_Match=etag), "precondition_failed", 412)
    assert HookAddress.objects.get().secret == sender.secret


@pytest.mark.parametrize("slug", ["github", "asana"])
def test_no_secret_is_taken_where_the_provider_chooses_none(slug, api, account):
    sender = Sender(install(account, slug))
    path = f"{base(sender.installation)}/webhook-address"
    for method in ("POST", "PATCH"):
        refused(api(method, path, {"secret": "x"}), "webhook_secret_not_expected", 409)
    assert HookAddress.objects.get().secret == sender.secret


def test_where_none_ever_come_there_is_no_address(api, installation):
    for method, path, body in [
        ("GET", "webhooks", None),
        ("GET", "webhook-address", None),
        ("POST", "webhook-address", {}),
        ("PATCH", "webhook-address", {"secret": "x"}),
    ]:
        refused(api(method, f"{base(installation)}/{path}", body), "webhooks_not_declared", 409)
    Installation.objects.update(connector="gone")
    refused(api("GET", f"{base(installation)}/webhooks"), "connector_gone", 409)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"status": Status.NOT_SET_UP}, "not_connected"),
        ({"status": Status.DISCONNECTED}, "not_connected"),
        ({"disabled_at": timezone.now()}, "installation_disabled"),
    ],
    ids=["not set up", "disconnected", "switched off"],
)
def test_only_what_is_connected_and_switched_on_is_given_an_address(fields, code, api, account):
    row = install(account, "github", **fields)
    refused(api("POST", f"{base(row)}/webhook-address", {}), code, 409)
    assert not HookAddress.objects.exists()


def test_an_address_that_ended_takes_no_secret(api, account):
    sender = Sender(install(account, "stripe"))
    sender.installation.disconnect()
    path = f"{base(sender.installation)}/webhook-address"
    refused(api("PATCH", path, {"secret": "x"}), "not_connected", 409)
    assert api("GET", path).json()["is_ended"] is True


def test_what_came_is_listed_newest_first_page_by_page_and_by_its_type(api, github):
    for number in range(5):
        github.posts(b'{"n": %d}' % number, X_GitHub_Event=("push", "issues")[number % 2])
    for age, row in enumerate(ReceivedWebhook.objects.all()):
        ReceivedWebhook.objects.filter(pk=row.pk).update(received_at=row.received_at - timedelta(hours=age))
    path = f"{base(github.installation)}/webhooks"
    newest = [str(pk) for pk in ReceivedWebhook.objects.values_list("pk", flat=True)]
    first = api("GET", f"{path}?limit=3").json()
    second = api("GET", f"{path}?limit=3&cursor={first['next']}").json()
    assert [row["id"] for row in first["data"] + second["data"]] == newest
    assert second["next"] is None
    assert all("body" not in row for row in first["data"])
    found = api("GET", f"{path}?event_type=issues").json()["data"]
    assert [row["event_type"] for row in found] == ["issues", "issues"]


@pytest.mark.parametrize(
    ("body", "shown", "encoding"),
    [
        (b'{"a":  1}', '{"a":  1}', "utf-8"),
        ("ü€😀\0\r\n".encode(), "ü€😀\0\r\n", "utf-8"),
        (b"", "", "utf-8"),
        (b"\xff\xfe", "//4=", "base64"),
        (b"x" * 1024 * 1024, "x" * 1024 * 1024, "utf-8"),
    ],
    ids=range(5),
)
def test_one_is_read_as_it_came_with_what_the_provider_said_of_it(body, shown, encoding, api, github):
    github.posts(body, X_GitHub_Event="push", X_GitHub_Delivery="d-1")
    row = ReceivedWebhook.objects.get()
    found = api("GET", f"{base(github.installation)}/webhooks/{row.pk}").json()
    assert (found["body"], found["body_encoding"]) == (shown, encoding)
    said = (found["event_type"], found["delivery_id"], found["content_type"], found["size"])
    # The test's client sends no type with an empty body.
    assert said == ("push", "d-1", "application/json" if body else None, len(body))
    assert (found["message_id"], found["forwarded_at"]) == (None, None)


def test_a_body_that_was_left_out_stands_where_the_message_says(api, github, endpoint):
    body = json.dumps({"a": "x" * 20_000}).encode()
    github.posts(body)
    data = json.loads(WebhookMessage.objects.get().payload)["data"]
    assert data["body_left_out"] == "too_large"
    found = api("GET", data["webhook_path"].removeprefix("/api/v1"))
    assert found.json()["body"] == body.decode()
    assert found.json()["id"] == data["webhook_id"]


def test_one_is_forwarded_again_as_a_new_message(api, github, endpoint):
    github.posts(BODY)
    row = ReceivedWebhook.objects.get()
    path = f"{base(github.installation)}/webhooks/{row.pk}/forward"
    first, again = (api("POST", path, Idempotency_Key="once").json() for _ in range(2))
    assert first == again
    assert first["message_id"] not in (None, row.message_id)
    told = [json.loads(message.payload)["data"] for message in WebhookMessage.objects.all()]
    assert [data["webhook_id"] for data in told] == [str(row.pk)] * 2
    (event,) = Event.objects.filter(kind="webhook.forwarded")
    assert event.actor == "API key Import"


def test_what_no_endpoint_wants_is_not_forwarded(api, github, endpoint):
    WebhookEndpoint.objects.update(types=["installation.created"])
    github.posts(BODY)
    path = f"{base(github.installation)}/webhooks/{ReceivedWebhook.objects.get().pk}/forward"
    refused(api("POST", path), "webhook_not_wanted", 409)
    assert not Event.objects.filter(kind="webhook.forwarded").exists()
    assert ReceivedWebhook.objects.get().message_id == ""


def test_a_key_for_one_account_has_its_own_and_no_others(github, northwind, account):
    github.posts(BODY)
    path = f"{base(github.installation)}/webhooks"
    assert len(caller(northwind, account=account)("GET", path).json()["data"]) == 1
    other = type(account).objects.create(partner=northwind, name="Okapi")
    refused(caller(northwind, account=other)("GET", path), "not_found", 404)
