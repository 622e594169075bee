"""The pages on which a partner says where its software is told what happens, and sees what came of it."""

import html
import re
from datetime import timedelta

import pytest
from django.db import transaction
from standardwebhooks import Webhook

from console import clock
from console.models import Event
from installations.models import WebhookDelivery, WebhookEndpoint
from installations.webhooks import endpoints, outbox
from tests.mailing import customer
from tests.webhooks import endpoint_of, pass_time, send, tell

pytestmark = pytest.mark.django_db

EVERYTHING = {"which": "all", "description": ""}


def page(person, path: str) -> str:
    answer = person.client.get(path)
    assert answer.status_code == 200
    return html.unescape(answer.content.decode())


def added(person, url: str, **fields) -> tuple[WebhookEndpoint, str]:
    """Through the form; the endpoint and the secret that its answer shows."""
    before = set(WebhookEndpoint.objects.values_list("pk", flat=True))
    answer = person.client.post("/webhooks/add/", {**EVERYTHING, "url": url, **fields})
    assert answer.status_code == 200, answer.content.decode()
    secret = re.search(r"whsec_[\w+/]+=*", html.unescape(answer.content.decode())).group()
    return WebhookEndpoint.objects.exclude(pk__in=before).get(), secret


def test_the_menu_leads_to_a_list_that_says_what_to_do_while_it_is_empty(owner):
    assert 'href="/webhooks/"' in page(owner, "/")
    text = page(owner, "/webhooks/")
    assert "Nobody is told yet" in text
    assert "/webhooks/add/" in text


def test_the_secret_is_shown_once_and_verifies(owner, colleague, receiver):
    endpoint, secret = added(owner, receiver.url())
    tell(owner.partner.pk)
    send()
    Webhook(secret).verify(receiver.taken[0].body, receiver.taken[0].headers)
    for person in (owner, colleague):
        for path in ("", "edit/", "secret/", "delete/"):
            assert "whsec_" not in page(person, f"/webhooks/{endpoint.pk}/{path}")
    assert Event.objects.get(kind="webhook_endpoint.added").actor == owner.user.email
    assert receiver.url() in page(owner, "/webhooks/")


def test_a_form_that_is_sent_twice_makes_one_endpoint(owner):
    form = owner.client.get("/webhooks/add/").content.decode()
    sent = {**EVERYTHING, "url": "https://app.northwind.example/hook"}
    sent["id"] = re.search(r'name="id" value="([^"]+)"', form).group(1)
    assert owner.client.post("/webhooks/add/", sent).status_code == 200
    assert owner.client.post("/webhooks/add/", sent).status_code == 302
    assert WebhookEndpoint.objects.count() == 1


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://app.northwind.example/hook",
        "https://app.northwind.example:22/hook",
        "https://user:word@app.northwind.example/hook",
        "https://10.0.0.1/hook",
        "https://[::1]/hook",
        "https://localhost/hook",
        "https://app.northwind.example/hook#part",
        "https://app.northwind.example:no/",
        "javascript:alert(1)",
        f"https://app.northwind.example/{'x' * 500}",
    ],
)
def test_what_is_no_address_of_an_endpoint_is_refused(url, owner):
    answer = owner.client.post("/webhooks/add/", {**EVERYTHING, "url": url})
    assert answer.status_code == 422
    assert not WebhookEndpoint.objects.exists()


def test_plain_http_to_the_own_machine_is_for_developers_alone(owner, settings, receiver):
    settings.DEVELOPMENT = False
    answer = owner.client.post("/webhooks/add/", {**EVERYTHING, "url": receiver.url()})
    assert answer.status_code == 422
    settings.DEVELOPMENT = True
    added(owner, receiver.url())
    # Nor is it sent to, should it be there all the same.
    tell(owner.partner.pk)
    settings.DEVELOPMENT = False
    send()
    assert not receiver.taken
    assert WebhookDelivery.objects.get().tries[0]["problem"] == "scheme"


def test_an_endpoint_is_told_what_is_chosen(owner):
    chosen = {"which": "some", "types": ["installation.deleted", "installation.connected"]}
    endpoint, _ = added(owner, "https://app.northwind.example/hook", **chosen)
    assert endpoint.types == ["installation.connected", "installation.deleted"]
    text = page(owner, f"/webhooks/{endpoint.pk}/edit/")
    assert re.search(r'value="installation.deleted"[^>]*checked', text)
    change = {
        "url": endpoint.url,
        "description": "Billing",
        "which": "all",
        "types": ["installation.deleted"],
    }
    owner.client.post(f"/webhooks/{endpoint.pk}/edit/", change)
    endpoint.refresh_from_db()
    assert (endpoint.types, endpoint.description) == ([], "Billing")
    nothing = owner.client.post(f"/webhooks/{endpoint.pk}/edit/", {**change, "which": "some", "types": []})
    assert nothing.status_code == 422


def test_a_partner_has_no_more_than_twenty(owner):
    for number in range(endpoints.AT_MOST):
        added(owner, f"https://app.northwind.example/{number}")
    answer = owner.client.post("/webhooks/add/", {**EVERYTHING, "url": "https://app.northwind.example/more"})
    assert answer.status_code == 422
    assert "At most 20 endpoints" in answer.content.decode()


def test_rotation_shows_the_new_secret_once_and_says_until_when_the_old_one_signs(owner):
    endpoint, before = added(owner, "https://app.northwind.example/hook")
    answer = owner.client.post(f"/webhooks/{endpoint.pk}/secret/", {"overlap": "24"})
    text = html.unescape(answer.content.decode())
    secret = re.search(r"whsec_[\w+/]+=*", text).group()
    assert secret != before
    assert "the secret before also signs" in text
    endpoint.refresh_from_db()
    assert endpoint.signing_secrets(clock.now()) == [secret, before]
    assert timedelta(hours=23) < endpoint.previous_until - clock.now() < timedelta(hours=25)
    assert "the one before also signs until" in page(owner, f"/webhooks/{endpoint.pk}/")
    assert "The last rotation is not over" in page(owner, f"/webhooks/{endpoint.pk}/secret/")
    owner.client.post(f"/webhooks/{endpoint.pk}/secret/", {"overlap": "0"})
    endpoint.refresh_from_db()
    assert len(endpoint.signing_secrets(clock.now())) == 1


def test_a_test_leads_to_its_delivery_with_payload_and_answer(owner, receiver):
    endpoint, _ = endpoint_of(owner, receiver.url())
    receiver.says(200, body=b"thank <you>")
    answer = owner.client.post(f"/webhooks/{endpoint.pk}/test/")
    where = answer.headers["Location"]
    assert "It is being sent" in page(owner, where)
    send()
    text = page(owner, where)
    for expected in ("Delivered", "webhook.test", "thank <you>", "<code>200</code>", "msg_"):
        assert expected in text
    assert where in page(owner, f"/webhooks/{endpoint.pk}/")


def test_a_failed_one_is_sent_again_from_its_page(owner, receiver):
    endpoint_of(owner, receiver.url())
    row = customer(owner.partner)
    tell(owner.partner.pk, installation_id=str(row.pk))
    WebhookDelivery.objects.update(state="failed", attempts=10, next_at=None)
    pk = WebhookDelivery.objects.get().pk
    assert "Send again" in page(owner, f"/webhooks/deliveries/{pk}/")
    owner.client.post(f"/webhooks/deliveries/{pk}/again/")
    send()
    assert "Delivered" in page(owner, f"/webhooks/deliveries/{pk}/")
    assert len(receiver.taken) == 1


def test_deliveries_are_filtered_by_their_state(owner, receiver):
    endpoint, _ = endpoint_of(owner, receiver.url())
    for type in ("installation.created", "installation.deleted", "setup_link.opened"):
        tell(owner.partner.pk, type)
    rows = WebhookDelivery.objects
    rows.filter(message__type="installation.created").update(state="delivered", next_at=None)
    rows.filter(message__type="installation.deleted").update(state="failed", next_at=None)
    path = f"/webhooks/{endpoint.pk}/"
    for state, shown in [
        ("delivered", {"installation.created"}),
        ("failed", {"installation.deleted"}),
        ("pending", {"setup_link.opened"}),
        ("nonsense", {"installation.created", "installation.deleted", "setup_link.opened"}),
    ]:
        table = page(owner, f"{path}?state={state}").partition("<tbody>")[2]
        found = {
            type
            for type in ("installation.created", "installation.deleted", "setup_link.opened")
            if type in table
        }
        assert found == shown, state


def test_what_failed_in_a_time_is_sent_again_with_one_button(owner, receiver):
    endpoint, _ = endpoint_of(owner, receiver.url())
    for _ in range(3):
        tell(owner.partner.pk)
    WebhookDelivery.objects.update(state="failed", attempts=10, next_at=None)
    path = f"/webhooks/{endpoint.pk}/replay/"
    answer = owner.client.post(path, {"since": "24"}, follow=True)
    assert "3 messages are sent again" in answer.content.decode()
    send()
    assert len(receiver.taken) == 3
    assert (
        "Nothing failed in that time"
        in owner.client.post(path, {"since": "24"}, follow=True).content.decode()
    )
    assert "Choose how far back" in owner.client.post(path, {"since": "x"}, follow=True).content.decode()


def test_one_that_is_off_takes_nothing_until_it_is_on_again(owner, receiver):
    endpoint, _ = endpoint_of(owner, receiver.url())
    path = f"/webhooks/{endpoint.pk}/"
    tell(owner.partner.pk)
    owner.client.post(f"{path}switch/", {"off": "1"})
    send()
    assert not receiver.taken
    text = page(owner, path)
    assert "Switched off by one of your people" in text
    assert "Send a test" not in text
    refused = owner.client.post(f"{path}test/", follow=True).content.decode()
    assert "This endpoint is switched off" in refused
    again = f"/webhooks/deliveries/{WebhookDelivery.objects.get().pk}/again/"
    assert "This endpoint is switched off" in owner.client.post(again, follow=True).content.decode()
    owner.client.post(f"{path}switch/", {"on": "1"})
    pass_time(timedelta(minutes=1))
    send()
    assert len(receiver.taken) == 1


def test_deleting_asks_first_and_takes_the_log_along(owner, receiver):
    endpoint, _ = endpoint_of(owner, receiver.url())
    tell(owner.partner.pk)
    assert "Delete this endpoint?" in page(owner, f"/webhooks/{endpoint.pk}/delete/")
    assert WebhookEndpoint.objects.exists()
    owner.client.post(f"/webhooks/{endpoint.pk}/delete/")
    assert not WebhookEndpoint.objects.exists()
    assert not WebhookDelivery.objects.exists()
    # It is on the record, and its job is nobody's.
    assert Event.objects.filter(kind="webhook_endpoint.deleted").exists()
    send()
    assert not receiver.taken


def test_why_one_failed_is_said_in_words(owner):
    endpoint_of(owner, "https://nowhere.invalid/hook")
    tell(owner.partner.pk)
    send()
    row = WebhookDelivery.objects.get()
    assert "The name is not known" in page(owner, f"/webhooks/deliveries/{row.pk}/")
    assert "Failing" in page(owner, "/webhooks/")


def test_the_partner_reads_no_more_of_a_strangers_than_of_what_is_not_there(owner, stranger, receiver):
    endpoint, _ = endpoint_of(stranger, receiver.url())
    tell(stranger.partner.pk)
    row = WebhookDelivery.objects.get()
    for path in (f"/webhooks/{endpoint.pk}/", f"/webhooks/deliveries/{row.pk}/"):
        assert owner.client.get(path).status_code == 404
    assert str(endpoint.pk) not in page(owner, "/webhooks/")


def test_the_log_says_of_whom_and_what_a_delivery_is(owner, account, installation, receiver):
    endpoint, _ = endpoint_of(owner, receiver.url())
    with transaction.atomic():
        outbox.announce("installation.created", installation=installation)
    path = f"/webhooks/{endpoint.pk}/"
    row = rf"{re.escape(account.name)}</a>\s*<small>Heartland Retail</small>"
    assert re.search(row, page(owner, path))
    # The account of what is gone is there still, and the message says what it was.
    installation.delete()
    text = page(owner, path)
    assert re.search(rf"{re.escape(account.name)}</a>\s*<small>heartland-retail</small>", text)
    assert "Send again what failed" not in text
    WebhookDelivery.objects.update(state="failed", next_at=None)
    assert "Send again what failed" in page(owner, path)


def test_a_delivery_is_looked_at_by_itself_for_twenty_seconds(owner, receiver):
    endpoint, _ = endpoint_of(owner, receiver.url())
    tell(owner.partner.pk)
    path = f"/webhooks/deliveries/{WebhookDelivery.objects.get(endpoint=endpoint).pk}/"
    assert {"data-again", 'http-equiv="refresh"'} <= set(
        re.findall(r'data-again|http-equiv="refresh"', page(owner, path))
    )
    WebhookDelivery.objects.update(next_at=clock.now() - timedelta(seconds=21))
    assert not re.search(r'data-again|http-equiv="refresh"', page(owner, path))
    send()
    assert not re.search(r'data-again|http-equiv="refresh"', page(owner, path))
