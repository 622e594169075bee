"""Everything that there is to tell is told, in the transaction in which it happens, and only then."""

import html
import json
import re
from datetime import timedelta

import pytest
from django.db import transaction

from console import clock, jobs
from console.models import Event, Job
from installations import attention, ending, health, incident
from installations.models import (
    CredentialVersion,
    Installation,
    SetupLink,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookMessage,
)
from installations.webhooks import endpoints
from installations.webhooks.described import example, webhooks
from installations.webhooks.types import TEST, TOLD, TYPES
from tests.conftest import open_link, work
from tests.mailing import customer
from tests.rotating import connected, store_client
from tests.test_links import person_connects
from tests.test_receiving import Sender, install

pytestmark = pytest.mark.django_db


@pytest.fixture
def endpoint(owner) -> WebhookEndpoint:
    found, _ = endpoints.create(owner.principal, url="https://app.northwind.example/webhooks")
    return found


def told() -> list[tuple[str, dict]]:
    """By type what was said; fail if it is not what is documented."""
    rows = WebhookMessage.objects.order_by("occurred_at", "id")
    found = [(row.type, json.loads(row.payload)["data"]) for row in rows]
    for type, data in found:
        assert not data.keys() - TOLD[type].data.model_fields.keys(), f"{type} says what is not documented"
        TOLD[type].data.model_validate(data)
    return found


def kinds() -> list[str]:
    return sorted(type for type, _ in told())


def connect(installation: Installation, heartland) -> SetupLink:
    link, url = SetupLink.issue(installation, by="owner@northwind.example")
    assert person_connects(url.removeprefix("http://console.test"), heartland)
    return link


def test_an_installation_that_is_made_is_told(owner, account, endpoint):
    query = f"?account={account.pk}&connector=heartland-retail"
    owner.client.post(f"/installations/add/{query}", {"name": "", "description": "", "then": "later"})
    row = Installation.objects.get()
    ((type, data),) = told()
    assert (type, data["installation_id"], data["state"]) == (
        "installation.created",
        str(row.pk),
        "not_set_up",
    )


def test_a_customers_way_through_a_link_is_told_from_its_begin_to_its_end(installation, heartland, endpoint):
    link = connect(installation, heartland)
    assert kinds() == ["installation.connected", "setup_link.completed", "setup_link.opened"]
    for _, data in told():
        assert data["installation_id"] == str(installation.pk)
        assert data["account_external_id"] == "cust-1"
    found = dict(told())
    assert found["setup_link.opened"]["setup_link_id"] == str(link.pk)
    assert found["setup_link.completed"]["setup_link_id"] == str(link.pk)
    assert found["installation.connected"]["state"] == "connected"
    assert found["installation.connected"]["external_account_id"]
    # No token, and nobody's secret.
    token = installation.current_token().access_token
    assert not any(token in row.payload for row in WebhookMessage.objects.all())


def test_what_is_connected_anew_is_told_as_such(installation, heartland, endpoint):
    connect(installation, heartland)
    WebhookMessage.objects.all().delete()
    connect(installation, heartland)
    assert kinds() == ["installation.reauthorised", "setup_link.completed", "setup_link.opened"]


def test_a_scanner_that_opens_a_link_opens_nothing(installation, endpoint):
    browser, link, _ = open_link(installation)
    browser.get(f"/setup/{link.pk}/review/")
    assert told() == []
    for _ in range(2):
        browser.post(f"/setup/{link.pk}/review/")
    assert kinds() == ["setup_link.opened"]


def test_what_needs_attention_is_told_once_and_that_it_works_again(
    northwind, heartland, endpoint, installation
):
    connect(installation, heartland)
    WebhookMessage.objects.all().delete()
    row = Installation.objects.select_related("partner", "account").get()
    version = row.current_version()
    for _ in range(2):
        attention.need(row, version, "permission_missing")
        row.refresh_from_db()
    ((type, data),) = told()
    assert (type, data["state"], data["problem"]) == (
        "installation.needs_attention",
        "needs_attention",
        "permission_missing",
    )
    # Two that look at the same time, both from before it worked again.
    rows = [Installation.objects.select_related("partner", "account").get() for _ in range(2)]
    for row in rows:
        health.check(row)
    type, data = told()[1]
    assert (type, data["state"], data["problem"], data["again"]) == (
        "installation.connected",
        "connected",
        None,
        True,
    )
    assert len(told()) == 2


def test_a_token_that_could_not_be_renewed_and_can_again_is_told(rotating, account, northwind, endpoint):
    store_client(northwind)
    (row,) = connected(rotating, account, ["g"], method="grace", ends_in=-5)
    Installation.objects.filter(pk=row.pk).update(status="needs_attention", problem="renewal_unknown")
    jobs.schedule("renew", row.pk, row.partner_id)
    work()
    row.refresh_from_db()
    assert row.status == "connected"
    assert kinds() == ["installation.connected"]


def test_the_end_is_told_and_so_is_the_deletion(owner, northwind, endpoint):
    row, other = customer(northwind), customer(northwind)
    ending.disconnect(row, owner.principal)
    ending.remove(other, owner.principal)
    ((first, gone), (second, deleted)) = told()
    assert (first, gone["installation_id"], gone["state"]) == (
        "installation.disconnected",
        str(row.pk),
        "disconnected",
    )
    assert (second, deleted["installation_id"], deleted["state"]) == (
        "installation.deleted",
        str(other.pk),
        "deleted",
    )


def test_what_is_done_twice_is_told_once(owner, northwind, endpoint):
    row = customer(northwind)
    same = Installation.objects.get(pk=row.pk)
    for end in (ending.disconnect, ending.remove):
        end(row, owner.principal)
        end(same, owner.principal)
    assert kinds() == ["installation.deleted", "installation.disconnected"]
    assert Event.objects.filter(kind="installation.deleted").count() == 1


def test_an_incident_tells_of_each_installation_that_it_ends(owner, northwind, endpoint):
    rows = [customer(northwind) for _ in range(3)]
    incident.begin(owner.principal, rows[0].connector)
    work()
    assert {data["installation_id"] for _, data in told()} == {str(row.pk) for row in rows}
    assert kinds() == ["installation.disconnected"] * 3


def expire(link: SetupLink) -> None:
    ended_at = clock.now() - timedelta(seconds=1)
    SetupLink.objects.filter(pk=link.pk).update(expires_at=ended_at)
    Job.objects.filter(kind="expire_link", subject_id=link.pk).update(due_at=ended_at)
    work()


def test_a_link_that_nobody_used_is_told_when_it_ends(installation, heartland, endpoint):
    link, _ = SetupLink.issue(installation, by="owner@northwind.example")
    due_at = Job.objects.values_list("due_at", flat=True).get(kind="expire_link", subject_id=link.pk)
    assert due_at == link.expires_at
    expire(link)
    ((type, data),) = told()
    assert (type, data["setup_link_id"]) == ("setup_link.expired", str(link.pk))
    # One that was used or withdrawn ended before.
    WebhookMessage.objects.all().delete()
    used = connect(installation, heartland)
    withdrawn, _ = SetupLink.issue(installation, by="owner@northwind.example")
    withdrawn.revoke()
    WebhookMessage.objects.all().delete()
    expire(used)
    expire(withdrawn)
    assert told() == []


def test_try_outs_are_told_nobody(owner, northwind, endpoint):
    ending.remove(customer(northwind, is_tryout=True), owner.principal)
    assert told() == []


def test_what_does_not_happen_is_not_told(owner, northwind, endpoint, monkeypatch):
    """The change, its line on the record and its message stand or fall together."""
    row = customer(northwind)

    def broken(*args, **kwargs):
        raise RuntimeError

    monkeypatch.setattr(jobs, "cancel", broken)
    with pytest.raises(RuntimeError):
        ending.disconnect(row, owner.principal)
    row.refresh_from_db()
    assert row.status == "connected"
    assert told() == []


def test_a_message_that_cannot_be_written_keeps_the_change_from_happening(
    owner, northwind, endpoint, monkeypatch
):
    row = customer(northwind)
    monkeypatch.setattr(WebhookDelivery.objects, "bulk_create", lambda rows: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        ending.remove(row, owner.principal)
    assert Installation.objects.filter(pk=row.pk).exists()
    assert CredentialVersion.objects.filter(installation=row).exists()


def test_each_kind_of_event_has_a_place_where_it_is_announced():
    from pathlib import Path

    import installations

    code = [path.read_text() for path in Path(installations.__file__).parent.rglob("*.py")]
    for name in TYPES.keys() - {"webhook.received"}:
        assert sum(f'"{name}"' in text for text in code) >= 2, name


def test_what_is_documented_is_what_is_told(owner, account, northwind, installation, heartland, endpoint):
    """Everything that can happen, once: no member comes that is not documented, and each of them comes."""
    query = f"?account={account.pk}&connector=heartland-retail"
    owner.client.post(f"/installations/add/{query}", {"name": "", "description": "", "then": "later"})
    connect(installation, heartland)
    connect(installation, heartland)
    row = Installation.objects.select_related("partner", "account").get(pk=installation.pk)
    attention.need(row, row.current_version(), "permission_missing")
    health.check(Installation.objects.select_related("partner", "account").get(pk=installation.pk))
    link, _ = SetupLink.issue(row, by="owner@northwind.example")
    expire(link)
    ending.disconnect(row, owner.principal)
    ending.remove(row, owner.principal)
    sender = Sender(install(account, "github"))
    for body in (b'{"a": 1}', b"\xff"):
        sender.posts(body)
    endpoints.test(owner.principal, endpoint)
    seen: dict[str, list[set[str]]] = {}
    for type, data in told():
        seen.setdefault(type, []).append(set(data))
    assert seen.keys() == TOLD.keys()
    for type, all_members in seen.items():
        fields = TOLD[type].data.model_fields
        assert set.union(*all_members) == fields.keys(), type
        always = {name for name, field in fields.items() if field.is_required()}
        assert set.intersection(*all_members) >= always, type


def test_what_may_be_left_out_is_not_always_there(northwind, account, endpoint):
    sender = Sender(install(account, "github"))
    sender.posts(b"{}")
    ((_, data),) = told()
    assert "body_left_out" not in data


@pytest.mark.parametrize("type", TOLD)
def test_each_example_is_one_that_could_come(type):
    found, model = example(type), TOLD[type].data
    assert found["type"] == type
    assert not found["data"].keys() - model.model_fields.keys()
    assert not TOLD[type].example.keys() - model.model_fields.keys()
    model.model_validate(found["data"])


def test_the_document_describes_each_type_and_each_member():
    described = webhooks()
    assert described.keys() == TYPES.keys() | {TEST}
    for type, operations in described.items():
        content = operations["post"]["requestBody"]["content"]["application/json"]
        assert content["example"] == example(type)
        members = content["schema"]["properties"]["data"]["properties"]
        assert members.keys() == TOLD[type].data.model_fields.keys()
        assert all(member["description"] for member in members.values())


def test_the_reference_says_what_each_type_tells(owner):
    text = owner.client.get("/api/reference/").content.decode()
    for type, told_of in TOLD.items():
        assert f'id="{type}"' in text
        assert f'href="#{type}"' in text
        assert all(f"<code>{name}</code>" in text for name in told_of.data.model_fields)
    assert json.loads(html.unescape(re.findall(r"<pre[^>]*>({.*?})</pre>", text, re.DOTALL)[-1])) == example(
        TEST
    )


def test_within_one_transaction_several_things_may_be_told(northwind, owner, endpoint):
    with transaction.atomic():
        for row in (customer(northwind), customer(northwind)):
            ending.remove(row, owner.principal)
    assert WebhookDelivery.objects.count() == 2
