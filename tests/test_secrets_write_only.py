"""What was entered once is never shown again: not on a page, in a header, in a log or in a mail."""

import base64
import html
import json
import logging
import re
import secrets as random
from dataclasses import dataclass, field
from functools import cache
from itertools import product as combinations
from urllib.parse import parse_qs, quote, quote_plus, urljoin, urlsplit

import pytest
from django.contrib import admin
from django.core import mail
from django.db import connection
from django.test import Client
from django.urls import URLPattern, get_resolver, reverse
from django.utils import timezone

from connectors import registry
from connectors.manifest.auth_methods import AuthorizationCode as AuthMethod
from connectors.models import ConnectorSettings
from console.models import ApiKey, Event, Partner, User
from console.models.api_key import SCOPES
from installations.auth.authorization_code import AuthorizationCode
from installations.auth.token_response import TokenError
from installations.models import (
    AuthorizationRequest,
    Installation,
    Notice,
    ReceivedWebhook,
    SetupLink,
    Status,
    WebhookDelivery,
    WebhookEndpoint,
)
from installations.webhooks import endpoints
from installations.wizard import STEPS
from tests.conftest import PASSWORD, open_link
from tests.product import full
from tests.stand_ins.quirks import Quirks, Request, answer

pytestmark = [pytest.mark.django_db, pytest.mark.routes]

# Pages are alike for every connector, and a crawl looks at all of them: these have each way to authenticate
# that the canaries walk, one without any HTTP and one with many.
CONNECTORS = ("heartland-retail", "github", "postgresql", "stripe")
HOST = "http://console.test"
SETTINGS = "/connectors/library/heartland-retail/settings/"


@pytest.fixture(autouse=True)
def _few_connectors(settings, tmp_path):
    (library,) = settings.CONNECTOR_LIBRARIES
    for slug in CONNECTORS:
        (tmp_path / slug).symlink_to(library / slug)
    settings.CONNECTOR_LIBRARIES = [tmp_path]
    registry.all.cache_clear()
    yield
    registry.all.cache_clear()


# ── canaries ────────────────────────────────────────────────────────────────────────────────────


def canary(middle: str = "<&'\"/+%=>") -> str:
    """A secret that looks different in every encoding and begins and ends like no other."""
    return f"{random.token_hex(8)}{middle}{random.token_hex(8)}"


def canary_with_everything() -> str:
    return canary("<&'\"/+%=> ü\\")


@cache
def forms_of(secret: str) -> set[bytes]:
    """The beginning and the end of the secret: plain and in base64, URL, JSON, HTML and hexadecimal.

    And the secret as a whole in those of them that hold neither of the two, as where it is short.
    """
    pieces = [_written(piece) for piece in (secret, secret[:8], secret[-8:])]
    parts = pieces[1] | pieces[2]
    return parts | {form for form in pieces[0] if not any(part in form for part in parts)}


def _written(piece: str) -> set[bytes]:
    """The piece in every encoding."""
    plain = piece.encode()
    texts = {piece, quote(piece), quote(piece, safe=""), quote_plus(piece), html.escape(piece)}
    texts |= {json.dumps(piece)[1:-1], json.dumps(piece, ensure_ascii=False)[1:-1], repr(piece)[1:-1]}
    forms = {text.encode() for text in texts}
    forms |= {plain.hex().encode(), plain.hex().upper().encode()}
    for before in range(3):
        # Wherever it stands in what was encoded; at both edges other bytes have their part.
        size = len(plain) + before
        whole = base64.b64encode(b"\0" * before + plain)
        inner = whole[[0, 2, 3][before] : size * 8 // 6]
        forms |= {inner, inner.replace(b"+", b"-").replace(b"/", b"_")}
    return forms


def found_in(secrets: dict[str, str], text: bytes) -> list[tuple[str, bytes]]:
    return [(name, form) for name, secret in secrets.items() for form in forms_of(secret) if form in text]


@pytest.mark.parametrize("secret", [canary(), canary_with_everything()], ids=["plain", "with everything"])
def test_a_canary_is_found_in_every_disguise(secret):
    """Otherwise finding none would prove nothing."""
    whole = f"before {secret} after"
    disguises = {
        "plain": whole,
        "base64": base64.b64encode(whole.encode()).decode(),
        "base64, moved by one": base64.b64encode(b"x" + whole.encode()).decode(),
        "base64, moved by two": base64.urlsafe_b64encode(b"xy" + whole.encode()).decode(),
        "URL": quote(whole, safe=""),
        "form": quote_plus(whole),
        "JSON": json.dumps({"a": whole}),
        "HTML": html.escape(whole),
        "hex": whole.encode().hex(),
        "beginning": f"{secret[:8]}…",
        "end": f"••••{secret[-8:]}",
    }
    for name, text in disguises.items():
        assert found_in({"secret": secret}, text.encode()), name
    assert not found_in({"secret": secret}, f"{secret[:7]}…{secret[-7:]}".encode())


# ── a world full of them ────────────────────────────────────────────────────────────────────────


@dataclass
class World:
    secrets: dict[str, str] = field(default_factory=dict)
    # Customers' browsers, each with the page that its link leads to.
    customers: list[tuple[Client, str]] = field(default_factory=list)
    key: re.Match | None = None

    def new(self, name: str, secret: str | None = None) -> str:
        assert name not in self.secrets
        self.secrets[name] = canary() if secret is None else secret
        return self.secrets[name]


class Provider:
    """Heartland Retail, to whom every token is good and every client known, unless told otherwise."""

    def __init__(self):
        self.token: bytes = answer("{}")
        self.look_up: bytes = answer('{"host": "harbor.retail.heartland.us"}')
        self.whoami: bytes = answer('{"account_name": "Harbor Street Outfitters"}')
        self.server = Quirks(self.respond)

    def respond(self, request: Request):
        path = request.target.partition("?")[0]
        return {
            "/api/oauth/token": self.token,
            "/api/system/host": self.look_up,
            "/api/system/whoami": self.whoami,
        }.get(path, answer("{}"))


@pytest.fixture
def provider(settings):
    found = Provider()
    settings.STAND_IN_ORIGINS = {"https://*": found.server.origin}
    with found.server:
        yield found


def begin(world: World, installation: Installation, method: str) -> tuple[Client, str]:
    """A customer opens a link and chooses how."""
    browser, link, url = open_link(installation, email="customer@harbor.example")
    world.new(f"link {link.pk}", url.rstrip("/").rpartition("/")[2])
    base = f"/setup/{link.pk}/"
    browser.post(f"{base}review/")
    browser.post(f"{base}method/", {"auth_method": method})
    world.customers.append((browser, base))
    return browser, base


def consent(world: World, browser: Client, base: str) -> dict[str, str]:
    """Ask for consent; where the answer goes, with its secrets noted."""
    asked = browser.post(f"{base}consent/")
    assert asked.status_code == 303, asked.content
    sent = parse_qs(urlsplit(asked.headers["Location"]).query)
    number = AuthorizationRequest.objects.count()
    world.new(f"state {number}", sent["state"][0])
    row = AuthorizationRequest.objects.latest("created_at")
    world.new(f"verifier {number}", row.verifier["code_verifier"])
    code = world.new(f"code {number}")
    return {"path": urlsplit(sent["redirect_uri"][0]).path, "state": sent["state"][0], "code": code}


def bring(browser: Client, back: dict[str, str]):
    return browser.get(back["path"], {"state": back["state"], "code": back["code"]})


@pytest.fixture
def world(provider, owner, account) -> World:
    """Every secret that the product keeps, in every state, entered the way people enter them."""
    made = World()

    def install(name: str) -> Installation:
        return Installation.objects.create(
            partner=owner.partner, account=account, connector="heartland-retail", name=name
        )

    # Client registrations of installations' own: one half way, one in consent, one connected.
    for name, until in [("draft", 1), ("asked", 2), ("connected", 3)]:
        browser, base = begin(made, install(name), "authorization_code")
        secret = made.new(f"client secret of {name}", canary_with_everything())
        browser.post(f"{base}details/", {"client_id": f"client-of-{name}", "client_secret": secret})
        if until >= 2:
            back = consent(made, browser, base)
        if until >= 3:
            tokens = {"access_token": made.new("access token"), "refresh_token": made.new("refresh token")}
            provider.token = answer(json.dumps(tokens))
            assert bring(browser, back).headers["Location"] == f"{base}done/"
    # API tokens: one connected, one refused, one that waits for its address.
    browser, base = begin(made, install("with a key"), "api_key")
    browser.post(f"{base}details/", {"access_token": made.new("API token")})
    assert Installation.objects.filter(status=Status.CONNECTED).count() == 2
    provider.look_up = answer('{"error": "unauthorized"}', status="401 Unauthorized")
    browser, base = begin(made, install("refused"), "api_key")
    browser.post(f"{base}details/", {"access_token": made.new("refused API token")})
    provider.look_up = answer("{}", status="500 Oops")
    browser, base = begin(made, install("waiting"), "api_key")
    sent = browser.post(f"{base}details/", {"access_token": made.new("waiting API token")})
    assert sent.headers["Location"] == f"{base}address/"
    # The partner's own client registration, at last: with it nobody is asked any more.
    secret = made.new("partner's client secret", canary_with_everything())
    owner.client.post(SETTINGS, {"client_id": "client-of-northwind", "client_secret": secret})
    # A consent that fails for its client, one that works, and a test of each kind.
    provider.look_up = answer('{"host": "harbor.retail.heartland.us"}')
    browser, base = begin(made, install("failed"), "authorization_code")
    provider.token = answer('{"error": "invalid_client"}', status="401 Unauthorized")
    failed = bring(browser, consent(made, browser, base))
    assert "problem-" in failed.headers["Location"]
    made.customers.append((browser, failed.headers["Location"]))
    for row in Installation.objects.filter(status=Status.CONNECTED):
        owner.client.post(f"/installations/{row.pk}/test/")
    provider.whoami = answer('{"error": "revoked"}', status="401 Unauthorized")
    connected = Installation.objects.get(name="with a key")
    owner.client.post(f"/installations/{connected.pk}/test/")
    owner.client.post(f"/installations/{connected.pk}/reauthorise/")
    # Addresses for webhooks: one with a secret of ours, one with an entered one; something came to each.
    for slug in ("github", "stripe"):
        row = Installation.objects.create(
            partner=owner.partner, account=account, connector=slug, status=Status.CONNECTED, name="hooked"
        )
        base = f"/installations/{row.pk}/webhooks/"
        shown = owner.client.post(f"{base}address/").content.decode()
        address = re.search(rf"{HOST}/hooks/([^/]+)/", shown).group(1)
        made.new(f"hook address of {slug}", address)
        if slug == "github":
            made.new("hook secret of ours", re.search(r'id="hook-secret">([^<]+)<', shown).group(1))
        else:
            secret = made.new("hook secret entered", canary_with_everything())
            assert owner.client.post(f"{base}secret/", {"secret": secret}).status_code == 302
        ReceivedWebhook.objects.create(
            partner=owner.partner,
            installation=row,
            received_at=timezone.now(),
            size=2,
            body={"text": "{}"},
        )
    # A link that is mailed, whose address is shown once.
    shown = owner.client.post(f"/installations/{connected.pk}/links/", {"email": "m@harbor.example"})
    made.new("mailed link", re.search(rf"{HOST}/s/([^/]+)/", shown.content.decode()).group(1))
    # An endpoint of the partner's, whose secrets are shown once.
    hook, secret = endpoints.create(owner.principal, url="https://app.northwind.example/hook")
    made.new("webhook secret before", secret)
    made.new("webhook secret", endpoints.rotate_secret(owner.principal, hook))
    endpoints.test(owner.principal, hook)
    # An API key, and the text that it had before.
    form = {"name": "Nightly import", "environment": "live", "scopes": list(SCOPES), "expires": "never"}
    shown = owner.client.post("/company/api-keys/add/", form)
    made.key = re.search(r"pc_live_\w+_(\w{49})", shown.content.decode())
    made.new("API key before", made.key.group(1))
    rotate = f"/company/api-keys/{ApiKey.objects.get().pk}/rotate/"
    of = owner.client.get(rotate).context["form"].initial["of"]
    shown = owner.client.post(rotate, {"overlap": "24", "of": of})
    made.key = re.search(r"pc_live_\w+_(\w{49})", shown.content.decode())
    made.new("API key", made.key.group(1))
    stored = ConnectorSettings.objects.get().values
    assert stored["client_secret"] == made.secrets["partner's client secret"]
    return made


# ── looking everywhere ──────────────────────────────────────────────────────────────────────────


def everything_of(response) -> bytes:
    """Body, headers and cookies as the browser gets them, and the body once more without its escapes."""
    body = b"".join(response.streaming_content) if response.streaming else response.content
    heads = "\n".join(f"{name}: {value}" for name, value in response.items())
    cookies = response.cookies.output()
    return b"\n".join(
        [body, html.unescape(body.decode("utf-8", "replace")).encode(), heads.encode(), cookies.encode()]
    )


def look(client: Client, url: str, world: World) -> str:
    """GET the page; fail if anything is found; the page's text."""
    response = client.get(url)
    # A problem's page may say with its status that the provider is at fault.
    assert response.status_code != 500, url
    everything = everything_of(response)
    assert found_in(world.secrets, everything) == [], url
    text = everything.decode("utf-8", "replace")
    for field_tag in re.findall(r"<input\b[^>]*>", text):
        if 'type="password"' in field_tag:
            assert not re.search(r"\bvalue\s*=", field_tag), f"{url}: {field_tag}"
        elif re.search(r'name="[^"]*(secret|token|password)', field_tag):
            harmless = r'csrfmiddlewaretoken|type="(hidden|submit)"|usable_password|token_endpoint'
            assert re.search(harmless, field_tag), f"{url}: {field_tag}"
    return text + "\n" + response.headers.get("Location", "")


def crawl(client: Client, starts: list[str], world: World) -> list[str]:
    """Follow every link from these pages; the addresses that were seen."""
    waiting, seen = [*starts], set()
    while waiting:
        url = waiting.pop()
        if url in seen:
            continue
        seen.add(url)
        assert len(seen) < 3000, "this crawl does not end"
        text = look(client, url, world)
        links = re.findall(r'\b(?:href|src|action)="([^"]*)"', text) + re.findall(r"\n(\S+)$", text)
        for link in links:
            target = urlsplit(urljoin(HOST + url, html.unescape(link)))
            if f"{target.scheme}://{target.netloc}" == HOST and not target.path.startswith("/static/"):
                # The admin's lists have an address for every order and filter of the same rows.
                query = "" if target.path.startswith("/staff/") else target.query
                waiting.append(target.path + (f"?{query}" if query else ""))
    return sorted(seen)


def forget_the_partners_values(owner) -> None:
    """From now on every installation asks again, and shows that it knows its own secret."""
    for name in ("client_id", "client_secret"):
        assert owner.client.post(f"{SETTINGS}{name}/remove/").status_code == 302


def shows_that_one_is_stored(client: Client, pages: list[str]) -> bool:
    return any("Stored since" in client.get(url).content.decode() for url in pages)


def test_a_partner_sees_no_secret_on_any_page(world, owner):
    seen = crawl(owner.client, ["/"], world)
    assert SETTINGS in seen
    for row in Installation.objects.all():
        assert f"/installations/{row.pk}/" in seen
    assert len(seen) > 50
    forget_the_partners_values(owner)
    for row in Installation.objects.all():
        owner.client.post(f"/installations/{row.pk}/reauthorise/")
    details = [f"/installations/{row.pk}/setup/details/" for row in Installation.objects.all()]
    crawl(owner.client, details, world)
    assert shows_that_one_is_stored(owner.client, details)


def test_a_customer_sees_no_secret_on_any_page(world, owner):
    seen = [url for browser, page in world.customers for url in crawl(browser, [page], world)]
    for step in ("review", "method", "details", "consent", "address", "done", "problem-"):
        assert any(f"/{step}" in url for url in seen), step
    assert len(seen) > 20
    forget_the_partners_values(owner)
    browser, base = world.customers[0]
    again = crawl(browser, [base], world)
    assert shows_that_one_is_stored(browser, again)


def test_support_sees_no_secret_on_any_page(world, staff):
    seen = crawl(staff, ["/staff/"], world)
    for model in admin.site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        assert reverse(f"{name}_changelist") in seen
        for row in model._default_manager.all()[:20]:
            for page in ("change", "history", "delete"):
                look(staff, reverse(f"{name}_{page}", args=[row.pk]), world)
    assert len(seen) > 80


def patterns(resolver, namespace: str = ""):
    for entry in resolver.url_patterns:
        if isinstance(entry, URLPattern):
            yield f"{namespace}{entry.name}" if entry.name else None, entry
        else:
            yield from patterns(entry, f"{entry.namespace}:" if entry.namespace else namespace)


def test_no_address_of_the_product_shows_a_secret_to_anybody(world, owner, stranger, staff):
    """Every route, with everything there is to put into it: a new route or parameter must be added here."""
    links = [link.pk for link in SetupLink.objects.all()]
    references = [event.reference for event in Event.objects.exclude(reference="")] or ["ABCDEFGH"]
    values = {
        "account_id": list(Installation.objects.values_list("account_id", flat=True).distinct()),
        "installation_id": list(Installation.objects.values_list("pk", flat=True)),
        "link_id": links,
        "received_id": list(ReceivedWebhook.objects.values_list("pk", flat=True)),
        "key_id": list(ApiKey.objects.values_list("pk", flat=True)),
        "key": ["heartland-retail", "close"],
        "notice_id": [
            Notice.objects.create(partner=owner.partner, kind="digest", subject="One needs you").pk
        ],
        "endpoint_id": list(WebhookEndpoint.objects.values_list("pk", flat=True)),
        "delivery_id": list(WebhookDelivery.objects.values_list("pk", flat=True)),
        "registration_id": list(AuthorizationRequest.objects.values_list("registration_id", flat=True)),
        "name": ["client_id", "client_secret"],
        "rest": ["items"],
        "reference": references[:3],
        "code": ["attempt_unknown"],
        "source": ["form", "manifest"],
        "digest": [registry.get("github").digest],
        "token": ["no-such-token"],
        "app_label": ["console", "connectors", "installations", "admin"],
        "content_type_id": [1],
    }
    steps, connectors = [step.slug for step in STEPS], ["close", "heartland-retail"]
    anonymous = Client(HTTP_HOST="console.test")
    customers = [browser for browser, _ in world.customers]
    software = Client(HTTP_HOST="console.test", headers={"Authorization": f"Bearer {world.key.group()}"})
    assert software.get("/api/v1/accounts").status_code == 200
    whose = {page.split("/")[2]: browser for browser, page in world.customers}

    def people(given: dict) -> list[Client]:
        if "installation_id" in given:
            return [owner.client, stranger.client, anonymous]
        if "link_id" not in given:
            return [owner.client, stranger.client, staff, anonymous, customers[0]]
        # The customer whose link it is, and another: every further one is as much another.
        own = whose.get(str(given["link_id"]))
        others = [browser for browser in customers if browser is not own][: full(1, len(customers))]
        return [*([own] if own else []), *others, anonymous]

    visited = 0
    for name, pattern in patterns(get_resolver()):
        if name is None:
            # The way to sign in, and the admin's own redirects: they lead to pages that are seen below.
            continue
        parameters = list(pattern.pattern.converters) or list(pattern.pattern.regex.groupindex)
        choices = []
        for parameter in parameters:
            if parameter == "slug":
                kind = type(pattern.pattern.converters["slug"]).__name__
                choices.append(connectors if kind == "SlugConverter" else steps)
            elif parameter in ("object_id", "id"):
                choices.append(_objects(name))
            else:
                assert parameter in values, f"{name} has a parameter {parameter} that nobody thought of"
                choices.append(values[parameter])
        for chosen in combinations(*choices):
            given = dict(zip(parameters, chosen, strict=True))
            url = reverse(name, kwargs=given)
            # The one address that is there to hand a secret out, to a key that may have it.
            is_for_software = name.startswith("api:") and not url.endswith("/credential")
            callers = [software] if is_for_software else []
            for client in [*people(given), *callers]:
                look(client, url, world)
                visited += 1
    assert visited > 500


def _objects(name: str) -> list:
    """The rows that a page of the admin is about."""
    for model in admin.site._registry:
        label = f"{model._meta.app_label}_{model._meta.model_name}_"
        if name.startswith((f"admin:{label}", f"admin:auth_{model._meta.model_name}_")):
            return list(model._default_manager.values_list("pk", flat=True)[:3])
    return [Partner.objects.first().pk]


def test_no_mail_and_no_record_holds_a_secret(world):
    link = world.secrets.pop("mailed link")
    (sent,) = mail.outbox
    assert link in sent.body
    assert found_in(world.secrets, sent.message().as_bytes() + sent.body.encode()) == []
    record = repr(list(Event.objects.values())).encode()
    assert found_in({**world.secrets, "mailed link": link}, record) == []


# ── forms ───────────────────────────────────────────────────────────────────────────────────────


def refused(client: Client, url: str, data: dict, secret: str) -> str:
    """Post what is not accepted; fail if the secret comes back; the page."""
    response = client.post(url, data)
    assert response.status_code in (200, 422), response.status_code
    assert found_in({"entered": secret}, everything_of(response)) == []
    page = response.content.decode()
    assert "has-error" in page or "errorlist" in page
    return page


def test_a_form_that_is_refused_does_not_bring_the_secret_back(owner, installation, provider):
    secret = canary_with_everything()
    page = refused(owner.client, SETTINGS, {"client_secret": secret, "scopes": 'a"b'}, secret)
    assert "a&quot;b" in page
    refused(owner.client, SETTINGS, {"client_secret": secret + "x" * 4000}, secret)
    assert not ConnectorSettings.objects.exists()

    browser, link, _ = open_link(installation)
    base = f"/setup/{link.pk}/"
    browser.post(f"{base}review/")
    browser.post(f"{base}method/", {"auth_method": "authorization_code"})
    refused(browser, f"{base}details/", {"client_id": "", "client_secret": secret}, secret)
    browser.post(f"{base}method/", {"auth_method": "api_key"})
    provider.look_up = answer("{}", status="401 Unauthorized")
    token = canary()
    refused(browser, f"{base}details/", {"access_token": token}, token)
    refused(browser, f"{base}details/", {"access_token": f"{token} {token}"}, token)


def test_a_password_is_not_brought_back_either(owner):
    wrong, new = canary(), canary()
    anonymous = Client(HTTP_HOST="console.test")
    refused(anonymous, "/sign-in/", {"username": owner.user.email, "password": wrong}, wrong)
    fields = {"old_password": wrong, "new_password1": new, "new_password2": new}
    refused(owner.client, "/password/", fields, wrong)
    refused(owner.client, "/password/", fields, new)


def test_a_stored_secret_is_replaced_kept_and_removed_without_being_shown(owner):
    first, second = canary_with_everything(), canary_with_everything()
    owner.client.post(SETTINGS, {"client_id": "id", "client_secret": first})
    owner.client.post(SETTINGS, {"client_id": "another", "client_secret": ""})
    assert ConnectorSettings.objects.get().values == {"client_id": "another", "client_secret": first}
    page = owner.client.get(SETTINGS).content.decode()
    assert "Stored since" in page
    assert 'value="another"' in page
    owner.client.post(SETTINGS, {"client_id": "another", "client_secret": second})
    assert ConnectorSettings.objects.get().values["client_secret"] == second
    owner.client.post(f"{SETTINGS}client_secret/remove/")
    assert ConnectorSettings.objects.get().values == {"client_id": "another"}


def test_an_unknown_link_is_not_repeated(db):
    token = canary("-_-")
    anonymous = Client(HTTP_HOST="console.test")
    for url in (f"/s/{token}/", f"/s/{token}", f"/s/{token}/more/", f"/s/{token * 20}/"):
        response = anonymous.get(url)
        assert response.status_code in (301, 404)
        if response.status_code == 404:
            assert found_in({"token": token}, everything_of(response)) == []


# ── what the provider repeats ───────────────────────────────────────────────────────────────────


# What stands before a secret, so that words are cut off before it, within it and after it.
PADDINGS = [0, 150, 168, 178, 190]


@pytest.mark.parametrize("written", [str, lambda text: quote(text, safe=""), quote_plus, html.escape])
def test_a_provider_that_repeats_our_secrets_does_not_make_us_show_them(
    written, provider, owner, installation, staff
):
    """Wherever they stand: also where the words are cut off."""
    world = World()
    secret = world.new("client secret", canary_with_everything())
    owner.client.post(SETTINGS, {"client_id": "id", "client_secret": secret})
    browser, base = begin(world, installation, "authorization_code")
    ours = f"/installations/{installation.pk}/"
    for padding in PADDINGS:
        back = consent(world, browser, base)
        said = "x" * padding + written(secret) + " " + written(back["code"])
        provider.token = answer(
            json.dumps({"error": "invalid_client", "error_description": said}), status="401 Unauthorized"
        )
        page = bring(browser, back).headers["Location"]
        assert "invalid_client" in look(browser, page, world)
        # Each failure takes the place of the one before it here.
        look(owner.client, ours, world)
    crawl(owner.client, [ours], world)
    look(staff, reverse("admin:console_event_changelist"), world)
    record = repr(list(Event.objects.values()))
    assert record.count("invalid_client") >= len(PADDINGS)
    assert "x" * PADDINGS[2] in record, "the provider's words are kept, as long as they are not ours"
    assert found_in(world.secrets, record.encode()) == []


def test_a_provider_that_repeats_the_token_does_not_make_us_show_it(provider, owner, installation):
    world = World()
    token = world.new("API token")
    browser, base = begin(world, installation, "api_key")
    browser.post(f"{base}details/", {"access_token": token})
    installation.refresh_from_db()
    assert installation.status == Status.CONNECTED
    ours = f"/installations/{installation.pk}/"
    for padding in PADDINGS:
        provider.whoami = answer(json.dumps({"error": f"{'x' * padding}{token}"}), status="403 Forbidden")
        tested = owner.client.post(f"{ours}test/", follow=True)
        assert "A permission is missing" in tested.content.decode()
        assert found_in(world.secrets, everything_of(tested)) == []
    owner.client.post(f"{ours}reauthorise/")
    for padding in PADDINGS:
        again = world.new(f"another API token after {padding}")
        said = json.dumps({"message": f"{'x' * padding}{again}"})
        provider.look_up = answer(said, status="401 Unauthorized")
        for address in ("details", "method", "review"):
            shown = owner.client.post(f"{ours}setup/{address}/", {"access_token": again})
            assert found_in(world.secrets, everything_of(shown)) == []
        look(owner.client, ours, world)
    crawl(owner.client, [ours], world)
    record = repr(list(Event.objects.values()))
    assert record.count("permission_missing") >= len(PADDINGS)
    assert record.count("credential_rejected") >= len(PADDINGS)
    assert found_in(world.secrets, record.encode()) == []


def test_a_call_by_hand_shows_no_secret_even_where_the_provider_repeats_the_whole_request(
    world, provider, owner
):
    provider.server.respond = lambda request: answer(
        json.dumps([request.target, request.headers]),
        *(f"X-Echo-{n}: {v}" for n, v in request.headers.items()),
    )
    called = 0
    for row in Installation.objects.filter(status__in=[Status.CONNECTED, Status.ATTENTION]):
        page = f"/installations/{row.pk}/explore/"
        shown = owner.client.post(page, {"method": "GET", "path": "items"})
        called += shown.status_code == 200 and "•••" in shown.content.decode()
        assert found_in(world.secrets, everything_of(shown)) == []
        look(owner.client, page, world)
    assert called >= 2
    assert found_in(world.secrets, repr(list(Event.objects.values())).encode()) == []


# ── the log ─────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def everything_logged(caplog):
    """Everything that would be written with LOG_LEVEL=DEBUG, and Django's SQL besides."""
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="django")
    caplog.set_level(logging.DEBUG, logger="django.db.backends")
    connection.force_debug_cursor = True
    yield caplog
    connection.force_debug_cursor = False


def test_no_secret_is_in_the_log_of_a_whole_day(everything_logged, request):
    world = request.getfixturevalue("world")
    owner = request.getfixturevalue("owner")
    owner.client.get("/s/no-such-link/")
    log = "\n".join(
        logging.Formatter("%(name)s %(message)s").format(record)
        for record in [*everything_logged.get_records("setup"), *everything_logged.get_records("call")]
    )
    assert "UPDATE" in log
    assert "console.request GET /oauth/callback/<uuid:registration_id>/ 303" in log
    assert "answer refused: invalid_client" in log
    assert found_in(world.secrets, log.encode()) == []
    assert PASSWORD not in log


def test_a_provider_with_broken_headers_does_not_get_our_secrets_logged(everything_logged, settings):
    """With a GET the secret stands in the address, which a library's warning would repeat."""
    world = World()
    broken = b"HTTP/1.1 200 OK\r\nConnection: close\r\nno colon here\r\nContent-Length: 2\r\n\r\n{}"
    with Quirks(broken) as server:
        settings.STAND_IN_ORIGINS = {"https://provider.example": server.origin}
        method = AuthMethod(
            type="authorization_code",
            label="OAuth",
            summary="You sign in there.",
            authorization_endpoint="https://provider.example/authorize",
            token_endpoint="https://provider.example/token",
            token_endpoint_auth_method="client_secret_post",
            token_request_method="GET",
        )
        grant = AuthorizationCode(
            method,
            {"client_id": "id", "client_secret": world.new("secret")},
            redirect_uri="https://console.test/",
        )
        with pytest.raises(TokenError):
            grant.obtain(code=world.new("code"), code_verifier=world.new("verifier"))
        assert found_in(world.secrets, server.requests[0].target.encode())
    assert found_in(world.secrets, everything_logged.text.encode()) == []


@pytest.mark.parametrize(
    "name", ["oauthlib", "oauthlib.oauth2.rfc6749", "requests_oauthlib", "requests_oauthlib.oauth2_session"]
)
def test_libraries_that_log_tokens_are_quiet_whatever_the_level(name, everything_logged):
    assert logging.getLogger().isEnabledFor(logging.DEBUG)
    assert not logging.getLogger(name).isEnabledFor(logging.INFO)


def test_a_password_of_a_new_user_is_stored_as_its_hash_alone(db):
    password = canary()
    user = User.objects.create_user("new@northwind.example", password)
    assert found_in({"password": password}, repr(vars(user)).encode()) == []
