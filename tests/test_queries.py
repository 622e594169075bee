"""How often a page asks the database: twelve times at most, and no oftener for many rows than for few."""

import uuid
from datetime import timedelta

import pytest
from django.contrib import admin
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from connectors.models import ConnectorSettings, CustomConnector, Publication
from console.models import Account, ApiKey, Event, Membership, User
from installations.models import (
    Alert,
    Installation,
    Notice,
    ReceivedWebhook,
    SetupLink,
    Status,
    Tally,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookMessage,
)
from tests import test_tenancy
from tests.test_tenancy import NAMES, Side, address, ask, entry, undone

pytestmark = pytest.mark.django_db

world = test_tenancy.world

MOST = 12
FEW, SOME, MANY = 3, 20, 200


def grow(side: Side, by: int) -> None:
    """That many more rows of everything that a page of this partner may list."""
    partner, now = side.partner, timezone.now()
    accounts = Account.objects.bulk_create(
        Account(partner=partner, name=f"Pine {uuid.uuid4()}") for _ in range(by)
    )
    Installation.objects.bulk_create(
        Installation(
            partner=partner,
            account=account,
            connector=f"connector-{number % 40}",
            status=Status.values[number % len(Status.values)],
            problem="credential_rejected",
            missing_scopes="read" if number % 3 == 2 else "",
            grant_expires_at=now + timedelta(days=5) if number % 3 == 2 else None,
            disabled_at=now if number % 11 == 0 else None,
        )
        for number, account in enumerate([side.account] * by + accounts)
    )
    Alert.objects.bulk_create(
        Alert(partner=partner, connector=f"connector-{uuid.uuid4()}", code="invalid_client")
        for _ in range(by)
    )
    Tally.objects.bulk_create(
        Tally(partner=partner, about=f"account:{account.pk}", day=now.date(), worked=1)
        for account in accounts
    )
    SetupLink.objects.bulk_create(
        SetupLink(
            partner=partner,
            installation=side.installation,
            token_digest=uuid.uuid4().hex,
            created_by="somebody@northwind.example",
            expires_at=now + timedelta(days=1),
        )
        for _ in range(by)
    )
    Event.objects.bulk_create(
        Event(
            partner=partner,
            kind="installation.tested",
            actor="somebody@northwind.example",
            text="The test passed",
            subject_id=side.installation.pk,
        )
        for _ in range(by)
    )
    Notice.objects.bulk_create(
        Notice(partner=partner, kind="digest", to=["a@b.example"], subject="x", text="x", sent_at=now)
        for _ in range(by)
    )
    ReceivedWebhook.objects.bulk_create(
        ReceivedWebhook(
            partner=partner,
            installation=side.hooked,
            received_at=now,
            delivery_digest=uuid.uuid4().hex,
            size=0,
            body={"text": ""},
        )
        for _ in range(by)
    )
    WebhookEndpoint.objects.bulk_create(
        WebhookEndpoint(partner=partner, url="https://a.example/hook", secret="whsec_") for _ in range(by)
    )
    sent = WebhookMessage.objects.bulk_create(
        WebhookMessage(partner=partner, type="webhook.test", payload="{}", occurred_at=now) for _ in range(by)
    )
    WebhookDelivery.objects.bulk_create(
        WebhookDelivery(partner=partner, message=message, endpoint=side.endpoint, created_at=now)
        for message in sent
    )
    Alert.objects.bulk_create(
        Alert(partner=partner, connector=f"connector-{uuid.uuid4()}", code="invalid_client", closed_at=closed)
        for closed in [None, now] * by
    )
    ConnectorSettings.objects.bulk_create(
        ConnectorSettings(
            partner=partner, connector=f"connector-{uuid.uuid4()}", secret_expires_on=now.date()
        )
        for _ in range(by)
    )
    CustomConnector.objects.bulk_create(
        CustomConnector(
            partner=partner,
            slug=f"custom-{uuid.uuid4().hex}",
            manifest=side.custom.manifest,
            guide=side.custom.guide,
            logo=b"",
            live_id=side.custom.live_id,
        )
        for _ in range(by)
    )
    Publication.objects.bulk_create(
        Publication(partner=partner, custom=side.custom, release_id=side.custom.live_id, published_by="x")
        for _ in range(by)
    )
    ApiKey.objects.bulk_create(
        ApiKey(
            partner=partner,
            name="pine",
            prefix=uuid.uuid4().hex[:12],
            scopes=["read"],
            account=account,
            created_by="x",
        )
        for account in accounts
    )
    users = User.objects.bulk_create(
        User(email=f"{uuid.uuid4()}@northwind.example", password="!") for _ in range(by)
    )
    Membership.objects.bulk_create(Membership(user=user, partner=partner) for user in users)


def queries_of(client, url: str) -> list[str]:
    with undone():
        ask(client, "GET", url)
    with undone(), CaptureQueriesContext(connection) as captured:
        answer = ask(client, "GET", url)
    assert answer.status_code < 500 or url == "/readyz", url
    # Savepoints are the test's own.
    return [
        query["sql"]
        for query in captured.captured_queries
        if not query["sql"].startswith(("SAVEPOINT", "ROLLBACK", "RELEASE"))
    ]


def hold(client, urls: list[str], side: Side) -> None:
    """The pages keep within the bound and do not follow the rows. Raises AssertionError."""
    asked = {}
    for rows, more in ((FEW, FEW), (SOME, SOME - FEW), (MANY, MANY - SOME)):
        grow(side, more)
        asked[rows] = {url: queries_of(client, url) for url in urls}
    for url in urls:
        counts = {rows: len(asked[rows][url]) for rows in asked}
        told = f"{url}: {counts}\n" + "\n".join(asked[MANY][url][: 2 * MOST])
        assert counts[MANY] <= MOST, told
        assert counts[FEW] == counts[SOME], told
        # A list that is longer than a page is counted.
        assert counts[MANY] <= counts[SOME] + 1, told


QUERIES = {
    "accounts": ["?q=pine", "?q=nothing", "?page=2"],
    "account": ["?page=2"],
    "installations": [
        "?page=3",
        "?state=connected",
        "?connector=connector-1",
        "?q=pine",
        "?q=nothing",
        "?q=pine&state=connected&connector=connector-1&page=2",
        "?state=disabled",
        "?worked=never&created=day",
        "?worked=week&connector=heartland-retail",
        "?lacks=ends",
        "?lacks=scopes&state=connected",
        "?lacks=client&connector=heartland-retail",
    ],
    "notices": ["?kind=digest", "?kind=failed", "?page=2"],
    "alerts": ["?page=2"],
    "installation-webhooks": ["?page=2"],
    "webhook": ["?state=pending", "?state=failed", "?page=2"],
    "api-keys": ["?page=2"],
    "installations-export": ["?state=connected", "?q=pine"],
    "installation-add": ["?q=pine", "?connector=heartland-retail"],
    "library": ["?q=retail", "?configured=empty"],
}


@pytest.mark.parametrize("name", NAMES)
def test_a_page_asks_no_oftener_for_many_rows_than_for_few(world, name):
    side = world.northwind
    client = entry(name).insider(side, world.colleague)
    url = address(name, entry(name).own(side))
    more = [f"?account={side.account.pk}"] if name == "installation-add" else []
    hold(client, [url, *(url + query for query in [*QUERIES.get(name, []), *more])], side)


STAFF_MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)


@pytest.mark.parametrize("model", STAFF_MODELS, ids=lambda model: model._meta.label)
def test_a_page_of_staff_asks_no_oftener_for_many_rows_than_for_few(world, model):
    def page(what: str, *arguments) -> str:
        return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{what}", args=arguments)

    side = world.northwind
    urls = [page("changelist"), page("changelist") + "?q=pine", page("add")]
    mine = {Installation: side.installation, Account: side.account, type(side.partner): side.partner}
    if row := mine.get(model) or model.objects.first():
        urls += [page("change", row.pk), page("history", row.pk)]
    hold(world.staff, urls, side)


def test_the_desk_of_staff_asks_no_oftener_for_many_rows_than_for_few(world):
    hold(world.staff, [reverse("admin:index")], world.northwind)
