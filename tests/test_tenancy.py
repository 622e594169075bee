"""Who may see what: every route, method and person, generated from the URL configuration.

Northwind's rows are named for the quagga. Its colleague works with them; the stranger, who works for
Contoso, cannot tell them from rows that do not exist. A route without an entry in ROUTES fails here.
"""

import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import quote, urlencode

import pytest
from django import forms
from django.core.cache import cache
from django.db import connection, transaction
from django.http import HttpResponse
from django.test import Client
from django.test.client import ClientHandler
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone

from connectors import registry
from connectors.authoring import drafts
from connectors.authoring.beginning import begin as begin_texts
from connectors.models import ConnectorSettings, CustomConnector
from console.models import Account, ApiKey, Event, Membership, Partner, User
from installations import links
from installations.connecting import begin
from installations.models import (
    AuthorizationRequest,
    CredentialVersion,
    HookAddress,
    Installation,
    Notice,
    ReceivedWebhook,
    SetupLink,
    Status,
    WebhookDelivery,
    WebhookEndpoint,
)
from installations.webhooks import endpoints
from tests.conftest import PASSWORD, Person, person, sign_in

pytestmark = [pytest.mark.django_db, pytest.mark.routes]

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
SLUG = "heartland-retail"
OTHER_SLUG = "quagga-books"


# ── the routes ──────────────────────────────────────────────────────────────────────────────────


def routes(patterns=None, prefix: str = "") -> Iterator[tuple[str, URLPattern]]:
    """Every route's name (or address, where it has none), but for the admin, the API and static files.

    Who may call the API is asked in test_api_tenancy.
    """
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        address = prefix + str(pattern.pattern)
        if address.startswith(("staff/", "static/", "api/v1/")):
            continue
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, address)
        else:
            yield pattern.name or address, pattern


@dataclass
class Side:
    """One partner and what belongs to it."""

    member: Person
    account: Account
    installation: Installation
    customer: Client
    link: SetupLink
    token: str
    reference: str
    custom: CustomConnector
    notice: Notice
    endpoint: WebhookEndpoint
    delivery: WebhookDelivery
    key: ApiKey
    # Nothing but another installation of the same partner.
    other: "Side | None" = None
    # An installation to which its provider sends webhooks, one that came, and the token of its address.
    hooked: Installation | None = None
    received: ReceivedWebhook | None = None
    hook_token: str = ""

    @property
    def partner(self) -> Partner:
        return self.member.partner

    def ids(self) -> list[str]:
        rows = [self.partner, self.account, self.installation, self.link, self.custom, self.notice]
        rows += [self.endpoint, self.delivery, self.key]
        found = [row.pk.hex for row in rows]
        if self.received:
            found += [self.hooked.pk.hex, self.received.pk.hex]
        return found + (self.other.ids() if self.other else [])


@dataclass
class Entry:
    """Whom a route admits, and the arguments of its address.

    `own` makes them for an object of a partner, `missing` for one that nobody has; without `missing`
    the address names no partner's object.
    """

    admits: str
    own: Callable[[Side], dict] = lambda side: {}
    missing: Callable[[Side], dict] | None = None

    def insider(self, side: Side, colleague: Client) -> Client:
        return side.customer if self.admits == "customers" else colleague


def of_account() -> Entry:
    return Entry(
        "members", lambda side: {"account_id": side.account.pk}, lambda side: {"account_id": uuid.uuid4()}
    )


def of_installation(**more: str) -> Entry:
    return Entry(
        "members",
        lambda side: {"installation_id": side.installation.pk, **more},
        lambda side: {"installation_id": uuid.uuid4(), **more},
    )


def of_hooked() -> Entry:
    return Entry(
        "members",
        lambda side: {"installation_id": side.hooked.pk},
        lambda side: {"installation_id": uuid.uuid4()},
    )


def of_received() -> Entry:
    return Entry(
        "members",
        lambda side: {"installation_id": side.hooked.pk, "received_id": side.received.pk},
        lambda side: {"installation_id": uuid.uuid4(), "received_id": uuid.uuid4()},
    )


def of_link(**more: str) -> Entry:
    return Entry(
        "customers",
        lambda side: {"link_id": side.link.pk, **more},
        lambda side: {"link_id": uuid.uuid4(), **more},
    )


def of_endpoint() -> Entry:
    return Entry(
        "members", lambda side: {"endpoint_id": side.endpoint.pk}, lambda side: {"endpoint_id": uuid.uuid4()}
    )


def of_delivery() -> Entry:
    return Entry(
        "members", lambda side: {"delivery_id": side.delivery.pk}, lambda side: {"delivery_id": uuid.uuid4()}
    )


def of_connector() -> Entry:
    return Entry("members", lambda side: {"slug": SLUG})


def of_custom() -> Entry:
    return Entry("members", lambda side: {"slug": side.custom.slug}, lambda side: {"slug": "custom-nothing"})


def of_key() -> Entry:
    return Entry("members", lambda side: {"key_id": side.key.pk}, lambda side: {"key_id": uuid.uuid4()})


ROUTES = {
    "home": Entry("members"),
    "healthz": Entry("anybody"),
    "readyz": Entry("anybody"),
    "metrics": Entry("anybody"),
    "sign-in": Entry("anybody"),
    "sign-out": Entry("anybody"),
    "password": Entry("signed in"),
    "accounts": Entry("members"),
    "account-add": Entry("members"),
    "account": of_account(),
    "account-edit": of_account(),
    "account-delete": of_account(),
    "company": Entry("members"),
    "api-keys": Entry("members"),
    "api-key-add": Entry("members"),
    "api-key": of_key(),
    "api-key-rotate": of_key(),
    "api-key-revoke": of_key(),
    "api-reference": Entry("members"),
    "api-problems": Entry("anybody"),
    "preferences": Entry("members"),
    "alerts": Entry("members"),
    "notices": Entry("members"),
    "notice": Entry(
        "members", lambda side: {"notice_id": side.notice.pk}, lambda side: {"notice_id": uuid.uuid4()}
    ),
    "webhooks": Entry("members"),
    "webhook-add": Entry("members"),
    "webhook": of_endpoint(),
    "webhook-edit": of_endpoint(),
    "webhook-rotate": of_endpoint(),
    "webhook-switch": of_endpoint(),
    "webhook-delete": of_endpoint(),
    "webhook-test": of_endpoint(),
    "webhook-replay": of_endpoint(),
    "webhook-delivery": of_delivery(),
    "webhook-again": of_delivery(),
    "library": Entry("members"),
    "connector": of_connector(),
    "connector-settings": of_connector(),
    "connector-remove-value": Entry(
        "members",
        # What Northwind has stored, and Contoso has not.
        lambda side: {"slug": SLUG, "name": "client_id" if side.other else "client_secret"},
        lambda side: {"slug": SLUG, "name": "nothing"},
    ),
    "connector-overlap-end": of_connector(),
    "connector-consents": of_connector(),
    "connector-disconnect-all": of_connector(),
    "connector-guide": of_connector(),
    "connector-definition": of_custom(),
    "connector-discard": of_custom(),
    "connector-releases": of_custom(),
    "connector-publish": of_custom(),
    "connector-deprecate": of_custom(),
    "connector-export": of_custom(),
    "connector-health": of_connector(),
    "connector-try": of_custom(),
    "connector-delete": of_custom(),
    "connector-add": Entry("members"),
    "connector-add-from": Entry("members", lambda side: {"source": "form"}),
    "connector-check": Entry("members"),
    "connector-logo": Entry("anybody", lambda side: {"slug": SLUG, "digest": registry.get(SLUG).digest}),
    "connector-schema": Entry("anybody"),
    "installations": Entry("members"),
    "installations-export": Entry("members"),
    "installation-add": Entry("members"),
    "installation": of_installation(),
    "installation-edit": of_installation(),
    "installation-upgrade": of_installation(),
    "installations-upgrade": Entry("members", lambda side: {"slug": SLUG}),
    "installation-test": of_installation(),
    "installation-renew": of_installation(),
    "installation-try-anyway": of_installation(),
    "installation-reauthorise": of_installation(),
    "installation-disable": of_installation(),
    "installation-enable": of_installation(),
    "installation-disconnect": of_installation(),
    "installation-delete": of_installation(),
    "installation-link": of_installation(),
    "installation-link-revoke": Entry(
        "members",
        lambda side: {"installation_id": side.installation.pk, "link_id": side.link.pk},
        lambda side: {"installation_id": uuid.uuid4(), "link_id": uuid.uuid4()},
    ),
    "explorer": Entry("members"),
    "installation-explore": of_installation(),
    "installation-webhooks": of_hooked(),
    "installation-webhook-address": of_hooked(),
    "installation-webhook-secret": of_hooked(),
    "installation-webhook": of_received(),
    "installation-webhook-forward": of_received(),
    "hook": Entry("anybody", lambda side: {"token": side.hook_token}),
    "installation-setup-start": of_installation(),
    "installation-switch": of_installation(),
    "installation-problem": Entry(
        "members",
        lambda side: {"installation_id": side.installation.pk, "reference": side.reference},
        lambda side: {"installation_id": uuid.uuid4(), "reference": "NNNNNNNN"},
    ),
    "installation-setup": of_installation(slug="review"),
    "setup-link": Entry("anybody", lambda side: {"token": side.token}),
    "setup": of_link(),
    "setup-problem": Entry(
        "customers",
        lambda side: {"link_id": side.link.pk, "reference": side.reference},
        lambda side: {"link_id": uuid.uuid4(), "reference": "NNNNNNNN"},
    ),
    "setup-step": of_link(slug="review"),
    "oauth-callback": Entry("anybody", lambda side: {"registration_id": side.installation.pk}),
    "oauth-problem": Entry("anybody", lambda side: {"code": "attempt_unknown", "reference": "NNNNNNNN"}),
}
NAMES = [name for name, _ in routes()]
OWNED = [name for name in NAMES if name not in ROUTES or ROUTES[name].missing]
SHARED = [name for name in NAMES if name not in ROUTES or not ROUTES[name].missing]
FOR_MEMBERS = [name for name in NAMES if name not in ROUTES or ROUTES[name].admits == "members"]
FOR_CUSTOMERS = [name for name in NAMES if name not in ROUTES or ROUTES[name].admits == "customers"]

# Sent with every POST, PUT and PATCH: enough for any of the forms.
FORM = {
    "name": "Changed",
    "external_id": "changed",
    "domain": "changed.example",
    "client_id": "changed",
    "auth_method": "api_key",
    "then": "later",
    "environment": "live",
    "scopes": "read",
    "expires": "never",
}


# ── the world ───────────────────────────────────────────────────────────────────────────────────


def make_side(member: Person, animal: str, slug: str = SLUG) -> Side:
    account = Account.objects.create(
        partner=member.partner, name=f"{animal} Outfitters", external_id=f"{animal.lower()}-{slug}"
    )
    installation = Installation.objects.create(
        partner=member.partner,
        account=account,
        connector=slug,
        name=f"{animal} desk",
        status=Status.CONNECTED,
        auth_method="api_key",
        external_account_id=f"{animal.lower()}.retail.heartland.us",
        external_account_name=f"{animal} Stores",
        connected_at=timezone.now(),
    )
    # The letters of a reference number; the digits keep two of one partner apart.
    reference = f"{animal.upper()}{'2' if slug == SLUG else '3'}".ljust(8, "X")
    Event.objects.record(
        "setup.problem",
        member.principal,
        f"{animal} said no",
        subject=installation,
        reference=reference,
        code="access_denied",
        words=f"{animal} words",
    )
    email = f"{animal.lower()}@customer.example"
    link, url = SetupLink.issue(installation, by=member.user.email, email=email)
    token = url.split("/")[-2]
    customer = sharing(Client(HTTP_HOST="console.test"))
    assert customer.get(reverse("setup-link", args=[token])).status_code == 302
    notice = Notice.objects.create(
        partner=member.partner,
        kind="customer",
        to=[email],
        subject=f"{animal} needs you",
        text=f"{animal} text",
        installation_id=installation.pk,
    )
    custom = make_custom(member, slug)
    endpoint, _ = endpoints.create(
        member.principal, url=f"https://{animal.lower()}.example/hook", description=f"{animal} software"
    )
    delivery = endpoints.test(member.principal, endpoint)
    key = ApiKey(partner=member.partner, name=f"{animal} key", scopes=["read"], created_by=email)
    key.issue()
    key.save()
    return Side(
        member,
        account,
        installation,
        customer,
        link,
        token,
        reference,
        custom,
        notice,
        endpoint,
        delivery,
        key,
    )


def make_hooked(side: Side, animal: str) -> None:
    partner = side.partner
    side.hooked = Installation.objects.create(
        partner=partner,
        account=side.account,
        connector="stripe",
        status=Status.CONNECTED,
        auth_method="api_key",
        name=f"{animal} payments",
    )
    url = HookAddress.issue(side.hooked, by=side.member.user.email, secret=f"{animal} signs with it")
    side.hook_token = url.split("/")[-2]
    side.received = ReceivedWebhook.objects.create(
        partner=partner,
        installation=side.hooked,
        received_at=timezone.now(),
        event_type=f"{animal.lower()}.created",
        delivery_id=f"evt_{animal.lower()}",
        size=2,
        body={"text": "{}"},
    )


def make_custom(member: Person, slug: str) -> CustomConnector:
    """A connector of the partner's own, live, with a draft that differs."""
    manifest, guide = begin_texts(f"{member.partner.name.split()[0].lower()}-{slug}")
    files = registry.Files(manifest, guide, b"")
    custom = drafts.create(member.principal, f"{member.partner.name.split()[0].lower()}-{slug}", files)
    drafts.publish(custom, member.principal, "1.0")
    custom.refresh_from_db()
    drafts.save(custom, member.principal, files._replace(guide=guide + "\n> A hint.\n"))
    return custom


@dataclass
class World:
    northwind: Side
    contoso: Side
    colleague: Client
    staff: Client

    anonymous: Client

    def outsiders(self) -> dict[str, Client]:
        """Everybody whom Northwind's installation does not concern."""
        return {
            "stranger": self.contoso.member.client,
            "anonymous": self.anonymous,
            "staff": self.staff,
            "customer of another partner": self.contoso.customer,
            "customer with another link": self.northwind.other.customer,
        }


# Putting the middleware together takes longer than most requests: all browsers share one.
HANDLER = ClientHandler(enforce_csrf_checks=False)


def sharing(client: Client) -> Client:
    client.handler = HANDLER
    return client


@pytest.fixture
def world(owner, colleague, stranger, staff) -> World:
    for client in (owner.client, colleague.client, stranger.client, staff):
        sharing(client)
    northwind = make_side(owner, "Quagga")
    northwind.other = make_side(owner, "Quagga", OTHER_SLUG)
    contoso = make_side(stranger, "Zebra")
    make_hooked(northwind, "Quagga")
    make_hooked(contoso, "Zebra")
    for side in (northwind, contoso):
        begin(side.installation, side.member.principal)
        pk = ConnectorSettings.registration_id(side.partner.pk, SLUG)
        settings = ConnectorSettings(pk=pk, partner=side.partner, connector=SLUG)
        mine = "client_id" if side is northwind else "client_secret"
        settings.change(side.member.principal, {mine: "stored"})
    return World(northwind, contoso, colleague.client, staff, sharing(Client(HTTP_HOST="console.test")))


@contextmanager
def undone() -> Iterator[None]:
    """Take back what happens in the block."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


Rows = dict[str, set[str]]


def all_rows() -> Rows:
    """Every row of every table."""
    rows = {}
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            rows[table] = {repr(row).replace("-", "") for row in cursor.fetchall()}
    return rows


def changed(before: Rows, after: Rows) -> list[str]:
    """The rows that were added, removed or changed, each with its table."""
    return [f"{table}: {row}" for table in after for row in sorted(before[table] ^ after[table])]


# ── asking ──────────────────────────────────────────────────────────────────────────────────────


def address(name: str, arguments: dict) -> str:
    if name in ROUTES:
        return reverse(name, kwargs=arguments)
    pytest.fail(f"the route {name!r} has no entry in ROUTES")


def entry(name: str) -> Entry:
    if name not in ROUTES:
        pytest.fail(f"the route {name!r} has no entry in ROUTES")
    return ROUTES[name]


def ask(client: Client, method: str, path: str, form: dict | None = None):
    cache.clear()
    body = "" if method in ("GET", "HEAD", "DELETE") else urlencode(form or FORM, doseq=True)
    answer = client.generic(method, path, body, content_type="application/x-www-form-urlencoded")
    if answer.streaming:
        # All of it, as a browser would read it.
        whole = HttpResponse(b"".join(answer), status=answer.status_code, headers=dict(answer.items()))
        whole.cookies = answer.cookies
        return whole
    return answer


# New with each form: against forged requests, and against one that is sent twice.
OF_THE_FORM = re.compile(r'name="(csrfmiddlewaretoken" value="\w+|id" value="[\w:-]+)"')
# And the signed id of what a form will make: both are new each time.
CSRF_TOKEN = re.compile(r'name="(csrfmiddlewaretoken|id)" value="[\w:-]+"')


def told(response) -> tuple:
    """All that an answer tells, but for its reference number and what is new with each form."""
    reference = response["X-Request-Id"]

    def plain(text: str) -> str:
        return OF_THE_FORM.sub("", text).replace(reference, "")

    # "Expires" is the time of day.
    headers = {
        name: plain(value) for name, value in response.items() if name not in ("X-Request-Id", "Expires")
    }
    return response.status_code, plain(response.content.decode()), headers, sorted(response.cookies)


# ── the matrix ──────────────────────────────────────────────────────────────────────────────────


def test_every_route_has_an_entry_and_every_entry_a_route(record_property, capsys):
    covered = [name for name in NAMES if name in ROUTES]
    asked = len(OWNED) * len(METHODS) * 5 * 2
    line = f"tenancy: {len(covered)}/{len(NAMES)} routes, {asked} requests for foreign and missing objects"
    record_property("coverage", line)
    with capsys.disabled():
        print(f"\n{line}")
    assert set(NAMES) == set(ROUTES), line
    assert len(NAMES) == len(set(NAMES))


@pytest.mark.parametrize("name", OWNED)
def test_nobody_else_can_tell_a_foreign_object_from_one_that_does_not_exist(world, name):
    found = entry(name)
    foreign = address(name, found.own(world.northwind))
    missing = address(name, found.missing(world.northwind))
    before = all_rows()
    for method in METHODS:
        with undone():
            insider = ask(found.insider(world.northwind, world.colleague), method, foreign)
        for who, client in world.outsiders().items():
            answers = [ask(client, method, path) for path in (foreign, missing)]
            case = f"{method} {name} as {who}: {[answer.status_code for answer in answers]}"
            assert not changed(before, all_rows()), case
            if insider.status_code == 405:
                assert {answer.status_code for answer in answers} == {405}, case
            elif found.admits == "customers":
                assert {answer.status_code for answer in answers} == {403}, case
                assert "open your link again" in answers[0].content.decode() or method == "HEAD", case
            elif who == "stranger":
                assert {answer.status_code for answer in answers} == {404}, case
            elif who == "staff":
                assert {answer.status_code for answer in answers} == {403}, case
            else:
                for answer, path in zip(answers, (foreign, missing), strict=True):
                    assert (answer.status_code, answer.content) == (302, b""), case
                    assert answer["Location"] == f"/sign-in/?next={quote(path)}", case
                continue
            assert told(answers[0]) == told(answers[1]), case


@pytest.mark.parametrize("name", NAMES)
def test_a_colleague_can_and_a_link_opens_its_own_installation(world, name):
    found = entry(name)
    path = address(name, found.own(world.northwind))
    worked = 0
    for method in METHODS:
        with undone():
            answer = ask(found.insider(world.northwind, world.colleague), method, path)
        # Two say how the server fares, the one by its status, the other to a token of its own.
        assert answer.status_code < 500 or name == "readyz", (method, name)
        # Neither of the two knows people: a token of its own is asked for, or a signature.
        asks_others = name == "metrics" or (name == "hook" and answer.status_code == 401)
        assert answer.status_code not in (401, 403, 404) or asks_others, (method, name)
        assert not answer.get("Location", "").startswith("/sign-in/?next="), (method, name)
        worked += answer.status_code != 405
        if answer.status_code == 405:
            assert method not in answer["Allow"].split(", "), (method, name)
    assert worked


@pytest.mark.parametrize("name", SHARED)
def test_pages_that_name_no_object_admit_whom_they_should(world, name):
    found = entry(name)
    path = address(name, found.own(world.northwind))
    before = all_rows()
    for method in METHODS if found.admits != "anybody" else []:
        with undone():
            allowed = ask(world.colleague, method, path).status_code != 405
        for who, client in world.outsiders().items():
            if who == "stranger" or (who == "staff" and found.admits == "signed in"):
                continue
            answer = ask(client, method, path)
            case = f"{method} {name} as {who}: {answer.status_code}"
            if answer.status_code == 405:
                assert not allowed, case
            elif who == "staff":
                # Their start page is the admin's.
                assert (answer.status_code, answer.headers.get("Location", "")) in (
                    (403, ""),
                    (302, "/staff/" if name == "home" else None),
                ), case
            else:
                assert answer.status_code == 302, case
                assert answer["Location"] == f"/sign-in/?next={quote(path)}", case
            assert not changed(before, all_rows()), case


# ── ids in queries and bodies ───────────────────────────────────────────────────────────────────


def queries(side: Side) -> list[str]:
    return [
        "",
        "?page=2",
        "?page=-1",
        "?q=quagga",
        f"?q={side.account.external_id}",
        f"?q={side.installation.pk}",
        "?state=connected",
        "?state=quagga",
        f"?connector={OTHER_SLUG}",
        f"?connector={SLUG}&state=connected&q=quagga",
        "?state=disabled&worked=never&created=day",
        f"?lacks=client&connector={SLUG}",
        "?lacks=scopes",
        f"?account={side.account.pk}",
        f"?account={side.account.pk}&connector={SLUG}",
        "?configured=complete",
        "?configured=partial",
        f"?partner={side.partner.pk}&installation={side.installation.pk}&link={side.link.pk}",
        f"?next=/accounts/{side.account.pk}/",
    ]


@pytest.mark.parametrize("name", SHARED)
def test_a_strangers_page_is_the_same_as_if_the_other_partner_had_nothing(world, name):
    path = address(name, entry(name).own(world.contoso))
    paths = [path + query for query in queries(world.northwind)]
    stranger = world.contoso.member.client
    with undone():
        with_rows = [told(ask(stranger, "GET", path)) for path in paths]
    with undone():
        Installation.objects.filter(partner=world.northwind.partner).delete()
        world.northwind.partner.delete()
        without_rows = [told(ask(stranger, "GET", path)) for path in paths]
    for path, one, other in zip(paths, with_rows, without_rows, strict=True):
        assert one == other, path


def test_a_foreign_account_in_the_query_is_one_that_does_not_exist(world):
    stranger, path = world.contoso.member.client, reverse("installation-add")
    before = all_rows()
    for method in METHODS:
        for rest in ("", f"&connector={SLUG}", f"&connector={SLUG}&q=quagga"):
            answers = [
                ask(stranger, method, f"{path}?account={account_id}{rest}")
                for account_id in (world.northwind.account.pk, uuid.uuid4())
            ]
            assert told(answers[0]) == told(answers[1]), (method, rest)
            assert not changed(before, all_rows()), (method, rest)
    with undone():
        mine = ask(stranger, "POST", f"{path}?account={world.contoso.account.pk}&connector={SLUG}")
        assert mine.status_code == 302


@pytest.mark.parametrize("name", NAMES)
def test_ids_in_a_body_reach_nothing_of_another_partner(world, name):
    ours, theirs = world.contoso, world.northwind
    form = FORM | {
        "partner": theirs.partner.pk,
        "partner_id": theirs.partner.pk,
        "account": theirs.account.pk,
        "account_id": theirs.account.pk,
        "installation": theirs.installation.pk,
        "installation_id": theirs.installation.pk,
        "setup_link": theirs.link.pk,
        "link": theirs.link.pk,
        "link_id": theirs.link.pk,
        "id": theirs.installation.pk,
        "pk": theirs.account.pk,
        "user": theirs.member.user.pk,
        "reference": theirs.reference,
        "token": theirs.token,
    }
    path = address(name, entry(name).own(ours))
    if name == "installation-add":
        path += f"?account={ours.account.pk}&connector={SLUG}"
    for method in ("POST", "PUT", "PATCH"):
        with undone():
            before = all_rows()
            ask(entry(name).insider(ours, ours.member.client), method, path, form)
            touched = "\n".join(changed(before, all_rows()))
        assert not [found for found in theirs.ids() if found in touched], f"{method} {name}: {touched}"


def test_a_return_address_of_another_partner_is_refused(world):
    path = reverse("installation-link", args=[world.contoso.installation.pk])
    Partner.objects.filter(pk=world.contoso.partner.pk).update(return_urls=["https://zebra.example/back"])
    before = SetupLink.objects.count()
    foreign = world.northwind.partner.return_urls[0]
    assert ask(world.contoso.member.client, "POST", path, {"return_url": foreign}).status_code == 422
    assert SetupLink.objects.count() == before
    mine = {"return_url": "https://zebra.example/back"}
    assert ask(world.contoso.member.client, "POST", path, mine).status_code == 200
    assert SetupLink.objects.count() == before + 1


def test_no_form_of_ours_lets_a_row_be_chosen_by_its_id():
    def subclasses(of: type) -> Iterator[type]:
        for found in of.__subclasses__():
            yield found
            yield from subclasses(found)

    ours = {
        form
        for form in subclasses(forms.BaseForm)
        if re.match(r"(console|connectors|installations)\.(?!admin)", form.__module__)
    }
    assert {"AccountForm", "InstallationForm", "SetupLinkForm"} <= {form.__name__ for form in ours}
    for form in ours:
        for name, field in getattr(form, "base_fields", {}).items():
            assert not isinstance(field, forms.ModelChoiceField), f"{form.__name__}.{name}"


# ── right on one side, foreign on the other ─────────────────────────────────────────────────────

Mixed = Callable[[World], tuple[Client, str, str]]


def revoke(installation: Installation, link_id: uuid.UUID) -> str:
    return reverse("installation-link-revoke", args=[installation.pk, link_id])


def received(installation: Installation, received_id: uuid.UUID) -> str:
    return reverse("installation-webhook", args=[installation.pk, received_id])


MIXED: dict[str, Mixed] = {
    "the stranger's installation with Northwind's link": lambda world: (
        world.contoso.member.client,
        revoke(world.contoso.installation, world.northwind.link.pk),
        revoke(world.contoso.installation, uuid.uuid4()),
    ),
    "an installation with the link of another one": lambda world: (
        world.colleague,
        revoke(world.northwind.installation, world.northwind.other.link.pk),
        revoke(world.northwind.installation, uuid.uuid4()),
    ),
    "the stranger's installation with Northwind's problem": lambda world: (
        world.contoso.member.client,
        reverse("installation-problem", args=[world.contoso.installation.pk, world.northwind.reference]),
        reverse("installation-problem", args=[world.contoso.installation.pk, "NNNNNNNN"]),
    ),
    "an installation with the problem of another one": lambda world: (
        world.colleague,
        reverse(
            "installation-problem",
            args=[world.northwind.installation.pk, world.northwind.other.reference],
        ),
        reverse("installation-problem", args=[world.northwind.installation.pk, "NNNNNNNN"]),
    ),
    "the stranger's installation with Northwind's webhook": lambda world: (
        world.contoso.member.client,
        received(world.contoso.hooked, world.northwind.received.pk),
        received(world.contoso.hooked, uuid.uuid4()),
    ),
    "an installation with the webhook of another one": lambda world: (
        world.colleague,
        received(world.northwind.installation, world.northwind.received.pk),
        received(world.northwind.installation, uuid.uuid4()),
    ),
    "the id of an installation in place of its address's token": lambda world: (
        world.contoso.member.client,
        reverse("hook", args=[str(world.northwind.hooked.pk)]),
        reverse("hook", args=[str(uuid.uuid4())]),
    ),
    "the digest of an address's token in place of the token": lambda world: (
        world.contoso.member.client,
        reverse("hook", args=[HookAddress.objects.get(installation=world.northwind.hooked).token_digest]),
        reverse("hook", args=["0" * 64]),
    ),
    "a link with the problem of another partner": lambda world: (
        world.contoso.customer,
        reverse("setup-problem", args=[world.contoso.link.pk, world.northwind.reference]),
        reverse("setup-problem", args=[world.contoso.link.pk, "NNNNNNNN"]),
    ),
    "a link with the problem of another installation": lambda world: (
        world.northwind.customer,
        reverse("setup-problem", args=[world.northwind.link.pk, world.northwind.other.reference]),
        reverse("setup-problem", args=[world.northwind.link.pk, "NNNNNNNN"]),
    ),
    "the id of a link in place of its token": lambda world: (
        world.contoso.member.client,
        reverse("setup-link", args=[str(world.northwind.link.pk)]),
        reverse("setup-link", args=[str(uuid.uuid4())]),
    ),
    "the digest of a token in place of the token": lambda world: (
        world.contoso.member.client,
        reverse("setup-link", args=[world.northwind.link.token_digest]),
        reverse("setup-link", args=["0" * 64]),
    ),
}


@pytest.mark.parametrize("case", MIXED)
def test_the_right_object_does_not_open_a_foreign_one_beside_it(world, case):
    client, foreign, missing = MIXED[case](world)
    before = all_rows()
    for method in METHODS:
        answers = [ask(client, method, path) for path in (foreign, missing)]
        assert {answer.status_code for answer in answers} <= {404, 405}, method
        assert told(answers[0]) == told(answers[1]), method
        assert not changed(before, all_rows()), method
    assert 404 in {ask(client, method, foreign).status_code for method in ("GET", "POST")}


def test_an_answer_to_a_foreign_registration_is_an_answer_to_none(world):
    for path in (
        reverse("oauth-callback", args=[world.northwind.installation.pk]),
        reverse("oauth-callback", args=[uuid.uuid4()]),
    ):
        answer = ask(world.contoso.member.client, "GET", f"{path}?state=x&code=y")
        assert answer.status_code == 303
        assert answer["Location"] == f"/oauth/problem/attempt_unknown/{answer['X-Request-Id']}/"


def test_the_cookie_of_one_link_opens_no_other(world):
    ours, theirs = world.contoso, world.northwind
    for link in (theirs.link, theirs.other.link):
        mine = ours.customer.cookies[links.cookie_name(ours.link.pk)].value
        ours.customer.cookies[links.cookie_name(link.pk)] = mine
        assert ask(ours.customer, "GET", reverse("setup-step", args=[link.pk, "review"])).status_code == 403
    assert ask(ours.customer, "GET", reverse("setup-step", args=[ours.link.pk, "review"])).status_code == 200


@pytest.mark.parametrize("name", FOR_MEMBERS)
def test_a_link_opens_no_page_of_the_console(world, name):
    """Not even those of its own installation."""
    path = address(name, entry(name).own(world.northwind))
    for method in METHODS:
        answer = ask(world.northwind.customer, method, path)
        assert answer.status_code in (302, 405), (method, name)
        if answer.status_code == 302:
            assert answer["Location"].startswith("/sign-in/?next="), (method, name)


@pytest.mark.parametrize("name", FOR_CUSTOMERS)
def test_a_links_pages_name_nothing_but_its_installation(world, name):
    Account.objects.create(partner=world.northwind.partner, name="Okapi Outfitters")
    page = ask(world.northwind.customer, "GET", address(name, entry(name).own(world.northwind)))
    text = page.content.decode()
    for secret in (
        "Okapi",
        "Zebra",
        OTHER_SLUG,
        str(world.northwind.other.installation.pk),
        str(world.northwind.account.pk),
        str(world.northwind.partner.pk),
        world.northwind.member.user.email,
        world.northwind.token,
    ):
        assert secret not in text, secret


# ── what is switched off is off at the next request ─────────────────────────────────────────────


def pages_of(names: list[str], side: Side) -> list[tuple[str, str]]:
    return [(name, address(name, entry(name).own(side))) for name in names]


def refusals(client: Client, names: list[str], side: Side, switch: Callable[[], None]) -> dict[str, set]:
    """What each page answers after the switch, by any method that it takes; it must work before."""
    pages, answers = pages_of(names, side), {}
    taken = {}
    for name, path in pages:
        for method in METHODS:
            with undone():
                status = ask(client, method, path).status_code
            if status != 405:
                assert status not in (403, 404, 409, 410), f"{method} {name} was refused before: {status}"
                taken.setdefault(name, []).append(method)
    switch()
    before = all_rows()
    for name, path in pages:
        answers[name] = {
            (answer.status_code, answer.get("Location", "").partition("?")[0])
            for answer in (ask(client, method, path) for method in taken[name])
        }
        assert not changed(before, all_rows()), name
    return answers


def everywhere(names: list[str], status: int, location: str = "") -> dict[str, set]:
    return {name: {(status, location)} for name in names}


def test_a_paused_partner_is_refused_everywhere_at_once(world):
    def switch():
        Partner.objects.filter(pk=world.northwind.partner.pk).update(is_active=False)

    answers = refusals(world.colleague, FOR_MEMBERS, world.northwind, switch)
    assert answers == everywhere(FOR_MEMBERS, 403)
    page = ask(world.colleague, "GET", "/").content.decode()
    assert "access is paused" in page
    assert "Quagga" not in page


def test_an_ended_membership_is_refused_everywhere_at_once(world, colleague):
    answers = refusals(
        world.colleague,
        FOR_MEMBERS,
        world.northwind,
        lambda: Membership.objects.filter(user=colleague.user).delete(),
    )
    assert answers == everywhere(FOR_MEMBERS, 403)
    assert "belongs to no company" in ask(world.colleague, "GET", "/").content.decode()


@pytest.mark.parametrize("how", ["switched off", "sessions ended", "deleted"])
def test_a_user_who_is_gone_has_to_sign_in(world, colleague, how):
    switches = {
        "switched off": lambda: User.objects.filter(pk=colleague.user.pk).update(is_active=False),
        "sessions ended": colleague.user.end_sessions,
        "deleted": colleague.user.delete,
    }
    for name, path in pages_of(FOR_MEMBERS, world.northwind):
        with undone():
            assert not ask(world.colleague, "GET", path).get("Location", "").startswith("/sign-in/"), name
    switches[how]()
    for name, path in pages_of(FOR_MEMBERS, world.northwind):
        answer = ask(world.colleague, "GET", path)
        refused = answer.status_code == 302 and answer["Location"].startswith("/sign-in/")
        assert refused or answer.status_code == 405, name


def test_a_member_of_another_partner_by_now_sees_that_one(world, colleague):
    Membership.objects.filter(user=colleague.user).update(partner=world.contoso.partner)
    page = ask(world.colleague, "GET", "/accounts/").content.decode()
    assert "Zebra" in page
    assert "Quagga" not in page


LINK_PAGES = [*FOR_CUSTOMERS, "setup-link"]
LINK_SWITCHES = {
    "withdrawn": (410, lambda side: side.link.revoke()),
    "expired": (
        410,
        lambda side: SetupLink.objects.filter(pk=side.link.pk).update(expires_at=timezone.now()),
    ),
    "of a paused partner": (
        410,
        lambda side: Partner.objects.filter(pk=side.partner.pk).update(is_active=False),
    ),
    "of an installation switched off": (409, lambda side: side.installation.set_disabled(True)),
    "of a disconnected installation": (410, lambda side: side.installation.disconnect()),
}


@pytest.mark.parametrize("how", LINK_SWITCHES)
def test_a_link_that_ended_is_refused_on_every_page_at_once(world, how):
    status, switch = LINK_SWITCHES[how]
    answers = refusals(world.northwind.customer, LINK_PAGES, world.northwind, lambda: switch(world.northwind))
    assert answers == everywhere(LINK_PAGES, status)


SETUP_PAGES = [
    "installation-setup-start",
    "installation-setup",
    "installation-problem",
    "installation-switch",
    "installation-reauthorise",
    "installation-link",
]


def test_an_installation_switched_off_is_set_up_by_nobody(world):
    answers = refusals(
        world.colleague,
        SETUP_PAGES,
        world.northwind,
        lambda: world.northwind.installation.set_disabled(True),
    )
    assert answers == everywhere(SETUP_PAGES, 409)
    page = ask(world.colleague, "GET", reverse("installation", args=[world.northwind.installation.pk]))
    assert "Switched off by support" in page.content.decode()


CALLBACK_SWITCHES = {
    **{name: switch for name, (_, switch) in LINK_SWITCHES.items() if name != "expired"},
    "expired": LINK_SWITCHES["expired"][1],
}


@pytest.mark.parametrize("how", CALLBACK_SWITCHES)
def test_consent_under_way_comes_to_nothing_when_its_setup_ends(world, how):
    side = world.northwind
    base = f"/setup/{side.link.pk}/"
    # The provider is never asked: whatever would call it fails, for there is nobody at that address.
    ConnectorSettings.objects.get(partner=side.partner).change(
        side.member.principal, {"client_secret": "stored"}
    )
    ask(side.customer, "POST", f"{base}review/")
    ask(side.customer, "POST", f"{base}method/", {"auth_method": "authorization_code"})
    away = ask(side.customer, "POST", f"{base}consent/")
    assert away.status_code == 303
    state = re.search(r"[?&]state=([^&]+)", away["Location"]).group(1)
    request = AuthorizationRequest.objects.get()
    CALLBACK_SWITCHES[how](side)
    back = reverse("oauth-callback", args=[request.registration_id])
    answer = ask(side.customer, "GET", f"{back}?state={state}&code=stolen")
    assert answer.status_code == 303
    assert "/done/" not in answer["Location"]
    assert not CredentialVersion.objects.exists()
    assert not AuthorizationRequest.objects.filter(pk=request.pk, consumed_at__isnull=False).exists()


def test_a_console_users_consent_ends_with_the_membership(world, colleague):
    side = world.northwind
    base = f"/installations/{side.installation.pk}/setup/"
    ConnectorSettings.objects.get(partner=side.partner).change(
        side.member.principal, {"client_secret": "stored"}
    )
    ask(colleague.client, "POST", f"{base}review/")
    ask(colleague.client, "POST", f"{base}method/", {"auth_method": "authorization_code"})
    away = ask(colleague.client, "POST", f"{base}consent/")
    state = re.search(r"[?&]state=([^&]+)", away["Location"]).group(1)
    request = AuthorizationRequest.objects.get()
    back = f"{reverse('oauth-callback', args=[request.registration_id])}?state={state}&code=stolen"
    # Nor may somebody else bring the answer, with the cookie or without.
    other = sign_in(User.objects.create_user("third@northwind.example", PASSWORD))
    other.cookies.update(
        {name: morsel for name, morsel in colleague.client.cookies.items() if "consent" in name}
    )
    assert "attempt_other_browser" in ask(other, "GET", back)["Location"]
    assert "attempt_other_browser" in ask(world.contoso.member.client, "GET", back)["Location"]
    Membership.objects.filter(user=colleague.user).delete()
    assert "attempt_revoked" in ask(colleague.client, "GET", back)["Location"]
    request.refresh_from_db()
    assert request.consumed_at is None
    assert not CredentialVersion.objects.exists()


def test_two_members_of_one_partner_see_the_same(world):
    first, second = world.northwind.member.client, world.colleague
    third = person("third@northwind.example", world.northwind.partner).client
    for client in (first, second, third):
        page = ask(client, "GET", reverse("installation", args=[world.northwind.installation.pk]))
        assert "Quagga Stores" in page.content.decode()
