"""What providers send arrives at an installation's address: proven, once, and told to the partner."""

import json
import re
import secrets
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import BytesIO
from urllib.parse import urlsplit

import pytest
from django.core.cache import cache
from django.db import connection, connections
from django.test import Client
from django.utils import timezone

from connectors import registry
from console import clock
from console.models import Event
from console.tidying import _CHORES
from installations.hooks import forwarding, receiving, signatures
from installations.hooks.signatures import Incoming
from installations.models import (
    HookAddress,
    Installation,
    ReceivedWebhook,
    Status,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookMessage,
)
from installations.models.received import SHOWN
from tests.product import full
from tests.test_signatures import DECLARED, Sample

pytestmark = pytest.mark.django_db


def install(account, slug: str, **fields) -> Installation:
    values = {"status": Status.CONNECTED, "auth_method": registry.get(slug).manifest.auth_methods[0].key}
    return Installation.objects.create(
        partner=account.partner, account=account, connector=slug, **{**values, **fields}
    )


class Sender:
    """Plays the provider: signs as its manifest says, and posts to the address that it was given."""

    def __init__(self, installation: Installation, secret: str | None = None):
        self.installation = installation
        self.webhook = registry.get(installation.connector).manifest.webhook
        self.secret = secret or secrets.token_urlsafe(32)
        self.url = HookAddress.issue(installation, by="owner@northwind.example", secret=self.secret)
        self.path = urlsplit(self.url).path
        self.browser = Client(HTTP_HOST="console.test", enforce_csrf_checks=True)

    def headers(self, body: bytes, at=None) -> dict[str, str]:
        signature, at = self.webhook.signature, at or clock.now()
        if signature.type == "token":
            return {signature.header: self.secret}
        stamp, extra = "", {}
        place = signature.timestamp
        if place and not place.path:
            seconds = int(at.timestamp())
            stamp = {"seconds": str(seconds), "milliseconds": f"{seconds}000"}.get(place.form, at.isoformat())
            extra = {place.header: stamp} if place.header else {}
        made = signatures.sign(self.webhook, Incoming("POST", self.url, {}, body), self.secret, stamp)
        if signature.key:
            made = f"{signature.key}={made}"
        if place and place.key:
            made = f"{place.key}={stamp},{made}"
        return {signature.header: signature.prefix + made, **extra}

    def posts(self, body: bytes, headers: dict[str, str] | None = None, **more: str):
        """`more` are headers with underscores in their names."""
        sent = self.headers(body) if headers is None else headers
        sent |= {name.replace("_", "-"): value for name, value in more.items()}
        kind = sent.pop("Content-Type", "application/json")
        return self.browser.post(self.path, body, content_type=kind, headers=sent)


@pytest.fixture
def github(account) -> Sender:
    return Sender(install(account, "github"))


@pytest.fixture
def endpoint(northwind) -> WebhookEndpoint:
    return WebhookEndpoint.objects.create(
        partner=northwind, url="https://app.northwind.example/hooks", secret="whsec_c2VjcmV0", created_by="x"
    )


BODY = b'{"action": "opened", "number": 7}'


def told() -> list[dict]:
    """What the partner's endpoints are told."""
    return [json.loads(row.payload)["data"] for row in WebhookMessage.objects.order_by("occurred_at")]


# ── proven, stored, told ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("slug", DECLARED)
def test_each_connectors_webhook_is_stored_and_told(slug, account, endpoint):
    sender = Sender(install(account, slug))
    sample = Sample.of(slug)
    named = [sample.webhook.event_type, sample.webhook.delivery_id]
    extra = {place.header: sample.incoming.headers[place.header] for place in named if place and place.header}
    body = sample.incoming.body
    if slug == "linear":
        body = body.replace(b"1795780800000", b"%d000" % int(clock.now().timestamp()))
    answer = sender.posts(body, sender.headers(body) | extra)
    assert (answer.status_code, answer.content) == (200, b"Received.\n")
    row = ReceivedWebhook.objects.get()
    assert (row.event_type, row.delivery_id) == (sample.event_type, sample.delivery_id)
    assert row.content == body
    (data,) = told()
    assert data["installation_id"] == str(sender.installation.pk)
    assert data["connector"] == slug
    assert data["webhook_id"] == str(row.pk)
    assert (data["event_type"] or "", data["delivery_id"] or "") == (row.event_type, row.delivery_id)
    assert data["body"] == (json.loads(body) if slug not in ("github", "slack") else body.decode())


def test_what_is_stored_is_sealed(github):
    github.posts(b'{"secret": "quagga"}')
    with connection.cursor() as cursor:
        cursor.execute("SELECT body FROM installations_receivedwebhook")
        assert b"quagga" not in bytes(cursor.fetchone()[0])


def test_without_an_endpoint_it_is_kept_and_nobody_is_told(github, owner):
    assert github.posts(BODY).status_code == 200
    row = ReceivedWebhook.objects.get()
    assert (row.message_id, WebhookMessage.objects.count()) == ("", 0)
    assert (
        "Kept here" in owner.client.get(f"/installations/{github.installation.pk}/webhooks/").content.decode()
    )


def test_an_endpoint_that_wants_other_things_is_not_told(github, endpoint):
    WebhookEndpoint.objects.update(types=["installation.created"])
    assert github.posts(BODY).status_code == 200
    assert WebhookDelivery.objects.count() == 0


@pytest.mark.parametrize(
    ("body", "goes_along"),
    [
        (b'{"a": "%s"}' % (b"x" * 14_900), {"a": "x" * 14_900}),
        (b'{"a": "%s"}' % (b"x" * 15_000), None),
        (b"plain text", "plain text"),
        (b'"%s"' % (b'\\"' * 7_000), '"' * 7_000),
        (b'"%s"' % (b'\\"' * 8_000), None),
        (b"x" * 1024 * 1024, None),
        (b'{"n": NaN}', '{"n": NaN}'),
        (b'{"half": "\\ud800"}', '{"half": "\\ud800"}'),
        (b'{"nul": "\\u0000"}', {"nul": "\0"}),
        (b"nul \0 byte", "nul \0 byte"),
        ("ü€😀".encode(), "ü€😀"),
        (b"", ""),
        (b"[" * 20_000, None),
        (b"[" * 49 + b"]" * 49, json.loads("[" * 49 + "]" * 49)),
        (b"[" * 900 + b"]" * 900, "[" * 900 + "]" * 900),
        (b"null", "null"),
    ],
    ids=range(16),
)
def test_a_short_body_goes_along_and_a_long_one_is_to_be_fetched(body, goes_along, github, endpoint):
    assert github.posts(body).status_code == 200
    (data,) = told()
    assert data["body"] == goes_along
    assert data.get("body_left_out") == (None if goes_along is not None else "too_large")
    assert ReceivedWebhook.objects.get().content == body


def test_a_body_that_is_not_text_is_kept_as_it_came(github, endpoint):
    body = bytes(range(256)) * 40
    assert github.posts(body).status_code == 200
    assert ReceivedWebhook.objects.get().content == body
    assert told()[0]["body_left_out"] == "not_text"


def test_no_secret_and_no_token_is_told(github, endpoint):
    github.posts(BODY, X_GitHub_Delivery="1")
    payload = WebhookMessage.objects.get().payload
    assert github.secret not in payload
    assert github.path.split("/")[2] not in payload


def test_what_it_says_of_itself_is_cut_and_cleaned(github):
    assert github.posts(BODY, X_GitHub_Event="x" * 1000, X_GitHub_Delivery="y" * 1000).status_code == 200
    row = ReceivedWebhook.objects.get()
    assert (len(row.event_type), len(row.delivery_id)) == (200, 200)
    # Two that begin alike are still two.
    assert github.posts(BODY, X_GitHub_Delivery="y" * 1001).content == b"Received.\n"


def test_a_type_with_control_characters_goes_into_the_database(account):
    sender = Sender(install(account, "typeform"))
    body = b'{"event_id": "a\\u0000\\n\\ud800b", "event_type": "\\u0000"}'
    assert sender.posts(body).status_code == 200
    row = ReceivedWebhook.objects.get()
    assert (row.event_type, row.delivery_id) == ("", "ab")


# ── refused ─────────────────────────────────────────────────────────────────────────────────────


def nothing_was_stored() -> bool:
    return not (ReceivedWebhook.objects.exists() or WebhookMessage.objects.exists())


@pytest.mark.parametrize("slug", DECLARED)
def test_what_is_not_proven_is_only_counted(slug, account, endpoint):
    sender = Sender(install(account, slug))
    right = sender.headers(BODY)
    wrong = [{}, {name: "0" * len(text) for name, text in right.items()}]
    if sender.webhook.signature.type == "hmac":
        wrong.append(sender.headers(BODY + b" "))
    for headers in wrong:
        answer = sender.posts(BODY, headers)
        assert answer.status_code == 401
    assert nothing_was_stored()
    address = HookAddress.objects.get()
    assert address.refused == len(wrong)
    assert address.why_refused
    assert Event.objects.count() == 0


def test_an_old_request_is_refused_and_one_within_tolerance_is_not(account):
    sender = Sender(install(account, "stripe"))
    old = sender.headers(BODY, clock.now() - timedelta(seconds=310))
    assert sender.posts(BODY, old).status_code == 401
    assert HookAddress.objects.get().refused_code == "timestamp_old"
    recent = sender.headers(BODY, clock.now() - timedelta(seconds=290))
    assert sender.posts(BODY, recent).status_code == 200


def test_one_installations_secret_proves_nothing_at_anothers_address(account):
    first, second = Sender(install(account, "github")), Sender(install(account, "github"))
    assert second.posts(BODY, first.headers(BODY)).status_code == 401
    assert nothing_was_stored()


def test_a_signature_for_another_address_proves_nothing(account):
    """Square signs the address: what was meant for one installation is not another one's."""
    secret = "the same key for both"
    first, second = (Sender(install(account, "square"), secret) for _ in range(2))
    assert second.posts(BODY, first.headers(BODY)).status_code == 401
    assert first.posts(BODY).status_code == 200


def test_the_host_that_a_request_names_does_not_count(account):
    sender = Sender(install(account, "square"))
    answer = sender.browser.post(
        sender.path,
        BODY,
        content_type="application/json",
        headers=sender.headers(BODY),
        HTTP_HOST="127.0.0.1",
    )
    assert answer.status_code == 200


def test_a_guessed_address_is_none(github):
    """5,000 in the full run: not one is there, and the rate limit is what most of them meet."""
    tries, found = full(300, 5_000), 0
    token = github.path.split("/")[2]
    near = [token[:-1], token + "A", token.swapcase(), token[::-1], "x", "%00", "é", "A" * 43, "A" * 4000]
    limited = 0
    for guess in near + [secrets.token_urlsafe(32) for _ in range(tries)]:
        answer = github.browser.post(
            f"/hooks/{guess}/", BODY, content_type="application/json", headers=github.headers(BODY)
        )
        found += answer.status_code not in (404, 429)
        limited += answer.status_code == 429
    assert (found, nothing_was_stored()) == (0, True)
    assert limited > tries / 2
    assert github.posts(BODY).status_code == 200, "a flood of guesses shuts no good address"


def test_one_address_takes_no_more_than_its_share(github, monkeypatch):
    monkeypatch.setattr(receiving, "PER_MINUTE", 3)
    cache.clear()
    answers = [github.posts(BODY, X_GitHub_Delivery=str(number)) for number in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert answers[-1]["Retry-After"] == "60"


def test_a_body_that_is_too_large_is_not_read(github):
    body = b"x" * (receiving.LIMIT + 1)
    assert github.posts(body).status_code == 413
    assert nothing_was_stored()
    assert github.posts(body[:-1]).status_code == 200


def test_no_more_is_read_of_a_body_than_shows_that_it_is_too_large(rf):
    """However long the sender says that it is."""
    body = BytesIO(b"x" * (receiving.LIMIT * 3))
    request = rf.generic("POST", "/hooks/x/", b"")
    request.META["CONTENT_LENGTH"], request._stream = "", body
    assert receiving._read(request) is None
    assert body.tell() <= receiving.LIMIT + 1


@pytest.mark.parametrize("method", ["get", "head", "put", "patch", "delete", "options"])
def test_only_post_is_taken(method, github):
    assert getattr(github.browser, method)(github.path).status_code == 405


def test_no_cookie_and_no_page_comes_back(github):
    for answer in (github.posts(BODY), github.posts(BODY, {}), github.browser.post("/hooks/x/")):
        assert not answer.cookies
        assert answer["Content-Type"] == "text/plain; charset=utf-8"
        assert github.path.split("/")[2] not in answer.content.decode()


def test_the_log_holds_the_route_and_no_address(github, caplog):
    token = github.path.split("/")[2]
    with caplog.at_level("DEBUG"):
        github.posts(BODY)
        github.posts(BODY, {})
        github.browser.get(github.path)
        github.browser.post("/hooks/some-guess/")
    assert "/^hooks/(?P<token>[^/]+)/$" in caplog.text
    assert token not in caplog.text
    assert github.secret not in caplog.text
    assert "some-guess" not in caplog.text


# ── once ────────────────────────────────────────────────────────────────────────────────────────


def test_the_same_delivery_again_is_answered_and_not_stored_again(github, endpoint):
    answers = [github.posts(BODY, X_GitHub_Delivery="d-1") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert [answer.content for answer in answers[1:]] == [b"Here already.\n"] * 2
    assert (ReceivedWebhook.objects.count(), WebhookMessage.objects.count()) == (1, 1)
    assert github.posts(BODY, X_GitHub_Delivery="d-2").content == b"Received.\n"


def test_without_an_id_what_was_signed_tells_them_apart(account):
    sender = Sender(install(account, "calendly"))
    now = clock.now()
    first = sender.headers(BODY, now)
    for headers, said in [
        (dict(first), b"Received.\n"),
        (dict(first), b"Here already.\n"),
        (sender.headers(BODY, now - timedelta(seconds=5)), b"Received.\n"),
    ]:
        assert sender.posts(BODY, headers).content == said
    assert sender.posts(BODY + b" ").content == b"Received.\n"


def test_two_orders_of_one_second_are_two(account):
    """WooCommerce makes its delivery id of the webhook and the second."""
    sender = Sender(install(account, "woocommerce"))
    for number in (1, 2):
        answer = sender.posts(b'{"id": %d}' % number, X_WC_Webhook_Delivery_ID="the same")
        assert answer.content == b"Received.\n"


def test_the_same_id_at_another_installation_is_another_delivery(account):
    for _ in range(2):
        sender = Sender(install(account, "github"))
        assert sender.posts(BODY, X_GitHub_Delivery="d-1").content == b"Received.\n"


@pytest.mark.django_db(transaction=True)
def test_fifty_at_once_are_stored_once_and_told_once(account, endpoint):
    sender = Sender(install(account, "github"))
    headers = sender.headers(BODY) | {"X-GitHub-Delivery": "d-1"}

    def post(_):
        try:
            browser = Client(HTTP_HOST="console.test")
            answer = browser.post(sender.path, BODY, content_type="application/json", headers=headers)
            return answer.status_code, answer.content
        finally:
            connections.close_all()

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(post, range(50)))
    assert {status for status, _ in answers} == {200}
    assert sum(said == b"Received.\n" for _, said in answers) == 1
    assert (ReceivedWebhook.objects.count(), WebhookDelivery.objects.count()) == (1, 1)


def test_what_cannot_be_told_is_not_stored_either(github, endpoint, monkeypatch):
    """Otherwise the provider's next try would be taken for one that was dealt with."""

    def fails(*args, **kwargs):
        raise RuntimeError("broken")

    monkeypatch.setattr(forwarding.outbox, "write", fails)
    github.browser.raise_request_exception = False
    assert github.posts(BODY, X_GitHub_Delivery="d-1").status_code == 500
    assert nothing_was_stored()
    monkeypatch.undo()
    assert github.posts(BODY, X_GitHub_Delivery="d-1").content == b"Received.\n"


# ── beginnings ──────────────────────────────────────────────────────────────────────────────────


def test_slacks_challenge_is_answered_where_it_is_signed(account):
    sender = Sender(install(account, "slack"))
    body = b'{"token": "x", "challenge": "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmd", "type": "url_verification"}'
    answer = sender.posts(body)
    assert (answer.status_code, answer.content) == (200, b"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmd\n")
    assert sender.posts(body, {}).status_code == 401
    assert nothing_was_stored()
    for odd in (b'{"type": "url_verification"}', b'{"type": "url_verification", "challenge": {"a": 1}}'):
        assert sender.posts(odd).status_code == 200


def test_asana_brings_its_secret_once(account):
    sender = Sender(install(account, "asana"))
    HookAddress.objects.update(secret=None)
    assert sender.posts(BODY).status_code == 401
    assert HookAddress.objects.get().refused_code == "secret_missing"
    brought = {"X-Hook-Secret": sender.secret}
    for _ in range(2):
        answer = sender.posts(b"", dict(brought))
        assert (answer.status_code, answer["X-Hook-Secret"]) == (200, sender.secret)
    other = sender.posts(b"", {"X-Hook-Secret": "somebody-elses-secret"})
    assert (other.status_code, other.headers.get("X-Hook-Secret")) == (401, None)
    assert HookAddress.objects.get().secret == sender.secret
    assert sender.posts(BODY).content == b"Received.\n"


@pytest.mark.parametrize("brought", ["short", "with space and more", "x" * 513, "é" * 20, "a\tb-12345678"])
def test_a_secret_that_is_no_secret_is_not_taken(brought, account):
    sender = Sender(install(account, "asana"))
    HookAddress.objects.update(secret=None)
    assert sender.posts(b"", {"X-Hook-Secret": brought}).status_code == 401
    assert not HookAddress.objects.get().has_secret


def test_woocommerces_ping_is_answered_and_nothing_else_unsigned_is(account):
    sender = Sender(install(account, "woocommerce"))
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert sender.posts(b"webhook_id=12", dict(form)).status_code == 200
    for other in (b"webhook_id=12&order=1", b"order=1", b"", b'{"webhook_id": 12}', b"webhook_id=12\n"):
        assert sender.posts(other, dict(form)).status_code == 401, other
    assert sender.posts(b"webhook_id=12", {"X-WC-Webhook-Signature": "wrong"}).status_code == 401
    assert nothing_was_stored()


# ── states ──────────────────────────────────────────────────────────────────────────────────────


def test_a_provider_tries_again_while_it_is_switched_off(github):
    github.installation.set_disabled(True, by_support=False)
    answer = github.posts(BODY)
    assert (answer.status_code, answer["Retry-After"]) == (503, "3600")
    github.installation.set_disabled(False, by_support=False)
    assert github.posts(BODY).status_code == 200


def test_a_provider_tries_again_while_the_partner_is_switched_off(github, northwind):
    type(northwind).objects.update(is_active=False)
    assert github.posts(BODY).status_code == 503
    assert nothing_was_stored()


def test_an_installation_that_needs_attention_still_receives(github):
    Installation.objects.update(status=Status.ATTENTION)
    assert github.posts(BODY).status_code == 200


def test_after_disconnecting_the_provider_is_told_to_end_it_and_the_secret_is_gone(github, owner):
    github.posts(BODY)
    github.installation.disconnect()
    assert github.posts(BODY, X_GitHub_Delivery="later").status_code == 410
    assert not HookAddress.objects.get().has_secret
    # What came before is still the partner's.
    assert ReceivedWebhook.objects.count() == 1
    Installation.objects.update(status=Status.CONNECTED)
    assert github.posts(BODY).status_code == 410
    page = owner.client.get(f"/installations/{github.installation.pk}/").content.decode()
    assert "The address has ended" in page


def test_with_the_installation_its_address_and_what_it_received_are_deleted(github):
    github.posts(BODY)
    github.installation.remove()
    assert github.posts(BODY).status_code == 404
    assert (HookAddress.objects.count(), ReceivedWebhook.objects.count()) == (0, 0)


def test_what_is_older_than_thirty_days_is_thrown_away(github):
    github.posts(BODY, X_GitHub_Delivery="old")
    ReceivedWebhook.objects.update(received_at=timezone.now() - timedelta(days=31))
    github.posts(BODY, X_GitHub_Delivery="new")
    assert forwarding.forget_old_webhooks in _CHORES
    forwarding.forget_old_webhooks()
    assert ReceivedWebhook.objects.get().delivery_id == "new"


# ── pages ───────────────────────────────────────────────────────────────────────────────────────


def page(person, path: str, status: int = 200) -> str:
    answer = person.client.get(path)
    assert answer.status_code == status, path
    return answer.content.decode()


def test_a_connector_without_webhooks_says_nothing_of_them(owner, account):
    row = install(account, "heartland-retail")
    assert "Webhooks from" not in page(owner, f"/installations/{row.pk}/")
    page(owner, f"/installations/{row.pk}/webhooks/", 404)
    assert owner.client.post(f"/installations/{row.pk}/webhooks/address/").status_code == 404


def made_on_page(person, row: Installation) -> tuple[str, str]:
    """The address and the secret of the page that shows them once."""
    answer = person.client.post(f"/installations/{row.pk}/webhooks/address/")
    shown = dict(re.findall(r'<code id="hook-(address|secret)">([^<]+)</code>', answer.content.decode()))
    assert "no-store" in answer["Cache-Control"]
    return shown["address"], shown.get("secret", "")


def test_an_address_is_made_shown_once_and_receives(owner, account):
    row = install(account, "github")
    base = f"/installations/{row.pk}/"
    assert "Webhooks from GitHub" in page(owner, base)
    assert "Make an address" in page(owner, base)
    assert HookAddress.objects.count() == 0
    assert "Settings › Webhooks" in page(owner, f"{base}webhooks/address/")
    address, secret = made_on_page(owner, row)
    assert HookAddress.objects.get().secret == secret
    token = urlsplit(address).path.split("/")[2]
    assert len(token) == 43
    for path in (base, f"{base}webhooks/", f"{base}webhooks/address/"):
        text = page(owner, path)
        assert token not in text
        assert secret not in text
    body = b"{}"
    signature = signatures.sign(
        registry.get("github").manifest.webhook, Incoming("POST", address, {}, body), secret
    )
    headers = {"X-Hub-Signature-256": f"sha256={signature}", "X-GitHub-Event": "star"}
    answer = Client().post(urlsplit(address).path, body, content_type="application/json", headers=headers)
    assert answer.status_code == 200
    assert ">star</a>" in page(owner, base)


def test_a_new_address_ends_the_one_before(github, owner):
    assert "ends at once" in page(owner, f"/installations/{github.installation.pk}/webhooks/address/")
    made_on_page(owner, github.installation)
    assert github.posts(BODY).status_code == 404
    assert HookAddress.objects.count() == 1


def test_a_secret_is_entered_and_never_shown(owner, account):
    row = install(account, "stripe")
    base = f"/installations/{row.pk}/webhooks/"
    page(owner, f"{base}secret/", 404)
    _, shown = made_on_page(owner, row)
    assert shown == ""
    assert "Signing secret missing" in page(owner, f"/installations/{row.pk}/")
    for wrong in ("", " ", "x" * 501):
        assert owner.client.post(f"{base}secret/", {"secret": wrong}).status_code == 422
    sender = Sender(row, "whsec_quagga+/%")
    HookAddress.objects.update(secret=None)
    assert sender.posts(BODY).status_code == 401
    stored = owner.client.post(f"{base}secret/", {"secret": " whsec_quagga+/% "}, follow=True)
    assert "was stored" in stored.content.decode()
    assert sender.posts(BODY).status_code == 200
    for path in (base, f"{base}secret/", f"/installations/{row.pk}/"):
        assert "quagga" not in page(owner, path)


def test_a_secret_may_be_entered_with_the_address_and_stays_when_another_one_is_made(owner, account):
    row = install(account, "slack")
    path = f"/installations/{row.pk}/webhooks/address/"
    assert owner.client.post(path, {"secret": "x" * 501}).status_code == 422
    assert HookAddress.objects.count() == 0
    shown = owner.client.post(path, {"secret": "quagga-signs"}).content.decode()
    assert "quagga" not in shown
    assert HookAddress.objects.get().secret == "quagga-signs"
    owner.client.post(path, {"secret": ""})
    assert HookAddress.objects.get().secret == "quagga-signs"
    owner.client.post(path, {"secret": "okapi-signs"})
    assert HookAddress.objects.get().secret == "okapi-signs"
    row.disconnect()
    Installation.objects.update(status=Status.CONNECTED)
    owner.client.post(path)
    assert not HookAddress.objects.get().has_secret


def test_a_secret_of_ours_is_not_one_that_is_sent_along(owner, account):
    row = install(account, "github")
    owner.client.post(f"/installations/{row.pk}/webhooks/address/", {"secret": "quagga-signs"})
    assert HookAddress.objects.get().secret != "quagga-signs"
    asana = install(account, "asana")
    owner.client.post(f"/installations/{asana.pk}/webhooks/address/", {"secret": "quagga-signs"})
    assert not HookAddress.objects.get(installation=asana).has_secret


def test_only_what_is_connected_gets_an_address(owner, account):
    for fields in ({"status": Status.NOT_SET_UP}, {"disabled_at": timezone.now()}):
        row = install(account, "github", **fields)
        answer = owner.client.post(f"/installations/{row.pk}/webhooks/address/", follow=True)
        assert "connected and switched on" in answer.content.decode()
        assert HookAddress.objects.count() == 0


def test_the_list_and_the_page_of_one(github, owner, endpoint):
    base = f"/installations/{github.installation.pk}/webhooks/"
    assert "Nothing has come yet" in page(owner, base)
    github.posts(b'{"who": "<b>quagga</b>"}', X_GitHub_Event="issues", X_GitHub_Delivery="d-1")
    listed = page(owner, base)
    assert ">issues</a>" in listed
    assert "Forwarded" in listed
    assert "quagga" not in listed
    one = page(owner, f"{base}{ReceivedWebhook.objects.get().pk}/")
    assert "&lt;b&gt;quagga&lt;/b&gt;" in one
    assert "d-1" in one


def test_it_is_forwarded_again_on_demand(github, owner, endpoint):
    github.posts(BODY)
    row = ReceivedWebhook.objects.get()
    path = f"/installations/{github.installation.pk}/webhooks/{row.pk}/"
    answer = owner.client.post(f"{path}forward/", follow=True)
    assert "on its way to your endpoints again" in answer.content.decode()
    first, second = told()
    assert first == second
    WebhookEndpoint.objects.all().delete()
    answer = owner.client.post(f"{path}forward/", follow=True)
    assert "it stays here" in answer.content.decode()


def test_a_page_of_a_megabyte_is_cut(github, owner):
    github.posts(b"x" * receiving.LIMIT)
    text = page(
        owner, f"/installations/{github.installation.pk}/webhooks/{ReceivedWebhook.objects.get().pk}/"
    )
    assert len(text) < 120_000
    assert "The rest is left out here" in text


def test_half_a_character_in_a_body_is_shown_as_a_question_mark(github, owner):
    github.posts(b'{"x": "a\\ud800b", "y": "\\ud83d\\ude00"}')
    text = page(
        owner, f"/installations/{github.installation.pk}/webhooks/{ReceivedWebhook.objects.get().pk}/"
    )
    assert "a?b" in text
    assert "\U0001f600" in text


def test_a_body_that_would_grow_by_its_indentation_does_not():
    """A megabyte of it would become one of hundreds."""
    depth = 400
    body = "[" * depth + "1," * 500_000 + "1" + "]" * depth
    tracemalloc.start()
    try:
        shown = ReceivedWebhook(body={"text": body}).shown
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert SHOWN < len(shown) < SHOWN + 10_000
    assert most < 20_000_000


def test_strangers_see_nothing_of_it(github, stranger):
    github.posts(BODY)
    base = f"/installations/{github.installation.pk}/webhooks/"
    for path in (base, f"{base}{ReceivedWebhook.objects.get().pk}/", f"{base}address/", f"{base}secret/"):
        page(stranger, path, 404)
    assert stranger.client.post(f"{base}address/").status_code == 404


def test_support_sees_that_it_came_and_not_what(github, staff):
    github.posts(b'{"who": "quagga"}')
    for name, row in (("receivedwebhook", ReceivedWebhook), ("hookaddress", HookAddress)):
        pk = row.objects.get().pk
        for path in (f"/staff/installations/{name}/", f"/staff/installations/{name}/{pk}/change/"):
            answer = staff.get(path)
            assert answer.status_code == 200
            assert "quagga" not in answer.content.decode()
            assert github.secret not in answer.content.decode()
        assert staff.post(f"/staff/installations/{name}/{pk}/delete/", {"post": "yes"}).status_code == 403
