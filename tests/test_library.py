"""Every connector of the library is installed, each way that it knows, from the form to "connected".

A stand-in plays all origins of the provider; what it must be asked, and what it answers, stands in the
connector's samples. A connector that cannot be installed here is not in the library.
"""

import json
import re
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch
from urllib.parse import parse_qsl, urlsplit

import asyncssh
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.core.cache import cache

from connectors import registry
from connectors.manifest import holds
from connectors.models import ConnectorSettings
from console import http
from installations.models import CredentialVersion, Installation, Status
from installations.values import fill, fill_scopes
from tests.samples import TOKEN, Samples, example
from tests.stand_ins.oauth1 import OAuth1Server
from tests.stand_ins.quirks import Quirks, Request, answer
from tests.stand_ins.sftp import sftp_server

LIBRARY = Path(__file__).resolve().parents[1] / "connectors" / "library"
WAYS = [
    (slug, method.key)
    for slug, connector in sorted(registry.all().items())
    if (LIBRARY / slug).is_dir()
    for method in connector.manifest.auth_methods
]


@pytest.fixture(scope="module")
def private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, *form).decode()


class Provider:
    """Plays every server of one connector's provider, and notes what it is asked."""

    def __init__(self, slug: str, key: str):
        self.manifest = registry.get(slug).manifest
        self.method = self.manifest.method(key)
        self.samples = Samples(LIBRARY / slug, key)
        self.tokens: list[Request] = []
        self.verified: list[Request] = []
        self.strays: list[str] = []
        self.oauth1 = self._oauth1()
        self.server = Quirks(self.respond)

    def _oauth1(self) -> OAuth1Server | None:
        """Who checks the signatures, where requests are signed; it knows a token that was made by hand."""
        if self.method.type not in ("oauth1", "oauth1_redirection"):
            return None
        values = {prop.name: example(prop) for prop in self.manifest.properties}
        server = OAuth1Server(
            *(fill(text, values) for text in self.method.client), self.method.signature_method
        )
        if self.method.type == "oauth1":
            server.tokens[fill(self.method.token, values)] = fill(self.method.token_secret, values)
        return server

    def _is(self, template: str, request: Request) -> bool:
        """Whether this is the address of the template, whatever is filled in."""
        if not template:
            return False
        address = f"https://{request.headers['host']}{urlsplit(request.target).path}"
        pattern = re.escape(template.partition("?")[0])
        return bool(re.fullmatch(re.sub(r"\\\$\\\{[a-z0-9_]+\\\}", r"[^/]+", pattern), address))

    def address_of(self, template: str) -> str:
        """Where this provider's stand-in has it; for an address with nothing to fill in."""
        return self.server.origin + urlsplit(template).path

    def respond(self, request: Request) -> bytes:
        verification = self.manifest.verification_for(self.method)
        expected = self.samples.request
        if self._is(getattr(self.method, "temporary_credentials_endpoint", ""), request):
            return self.oauth1.gives_temporary_credentials(request)
        if self.method.type == "oauth1_redirection" and self._is(self.method.token_endpoint, request):
            return self.oauth1.gives_token_credentials(request)
        if self._is(getattr(self.method, "token_endpoint", ""), request):
            self.tokens.append(request)
            return answer(json.dumps(self.samples.json("token", TOKEN)))
        for prop in self.manifest.properties:
            if prop.lookup and self._is(prop.lookup.url, request):
                return answer(json.dumps(self.samples.json(f"lookup-{prop.name}")))
        if self.manifest.discovery and self._is(self.manifest.discovery.url, request):
            return answer(json.dumps(self.samples.json("discovery")))
        if (request.headers["host"], urlsplit(request.target).path) == expected.place:
            self.verified.append(request)
            if self.oauth1 and (fault := self.oauth1.refuses(request)):
                return answer(fault, status="401 Unauthorized")
            body, kind = self.samples.answer
            return answer(body, content_type=kind)
        if self._is(getattr(verification, "account_name_url", ""), request):
            return answer(json.dumps(self.samples.json("account_name", {})))
        self.strays.append(f"{request.method} {request.headers['host']} {request.target}")
        return answer("{}", status="404 Not Found")


class Walk:
    """A partner's admin who stores what there is to store, and walks through the setup."""

    def __init__(self, owner, installation: Installation, provider: Provider, private_key: str):
        self.browser, self.installation, self.provider = owner.client, installation, provider
        self.manifest, self.method = provider.manifest, provider.method
        self.base = f"/installations/{installation.pk}/setup/"
        self.private_key = private_key
        self.values = {prop.name: self._example(prop) for prop in self.manifest.properties}
        by = self.manifest.method_property
        if by:
            self.values[by] = self.method.chosen_by[0]

    def _example(self, prop) -> str:
        return self.private_key if prop.format == "pem" and not prop.example else example(prop)

    def stores(self) -> None:
        """The partner's half, on the Settings tab."""
        values = {prop.name: self.values[prop.name] for prop in self.manifest.partner_properties}
        answered = self.browser.post(
            f"/connectors/library/{self.manifest.slug}/settings/", {**values, "scopes": ""}
        )
        assert answered.status_code == 302, answered.context["form"].errors

    def chooses(self) -> None:
        self.browser.post(f"{self.base}review/")
        by = self.manifest.method_property
        choice = self.values[by] if by else self.method.key
        self.browser.post(f"{self.base}method/", {"auth_method": choice})

    def asked(self) -> list[str]:
        """The names of the fields of the details page; [] where there is no such page."""
        page = self.browser.get(f"{self.base}details/")
        return list(page.context["form"].fields) if page.status_code == 200 else []

    def enters(self, names: list[str]):
        visible = {
            name: self.values[name]
            for name in names
            if holds(self.manifest.property_named(name).visible_if, self.values)
            and not (self.manifest.property_named(name).type == "boolean" and self.values[name] == "false")
        }
        answered = self.browser.post(f"{self.base}details/", visible)
        assert answered.status_code == 302, answered.context["form"].errors
        return answered

    def consents(self):
        """The provider's consent page is looked at, and agreed to."""
        method = self.method
        if method.type == "oauth1_redirection":
            return self._consents_to_oauth1()
        # Where the provider has it, and not its stand-in.
        with patch.object(http, "browser_url", lambda url: url):
            answered = self.browser.post(f"{self.base}consent/")
        assert answered.status_code == 303
        url = urlsplit(answered.headers["Location"])
        request = Request("GET", f"{url.path}?{url.query}", {"host": url.netloc}, b"")
        assert self.provider.samples.documented("consent", request).differences(request) == []
        asked = dict(parse_qsl(url.query))
        back = urlsplit(asked["redirect_uri"])
        assert f"{back.scheme}://{back.netloc}" == "http://console.test"
        said = self.provider.samples.json("callback", {})
        return self.browser.get(back.path, {method.code_param: "test-code", "state": asked["state"], **said})

    def _consents_to_oauth1(self):
        answered, method = self.browser.post(f"{self.base}consent/"), self.method
        assert answered.status_code == 303
        location = answered.headers["Location"]
        asked = dict(parse_qsl(urlsplit(location).query))
        assert location.partition("?")[0] == self.provider.address_of(method.authorization_endpoint)
        scopes = fill_scopes(method.default_scopes, self.values)
        assert asked.get("scope", "") == method.scope_separator.join(scopes)
        for name in method.authorization_params:
            assert name in asked, name
        back = self.provider.oauth1.allows(location)
        assert back.startswith("http://console.test/oauth/callback/")
        return self.browser.get(back.removeprefix("http://console.test"))

    def follows(self, answered) -> str:
        """To the end, choosing the first of each list; the last address."""
        where = answered.headers["Location"]
        if where.endswith("/choose/"):
            page = self.browser.get(where)
            fields = page.context["form"].fields
            first = {
                name: next(value for value, _ in field.widget.choices if value)
                for name, field in fields.items()
            }
            where = self.browser.post(where, first).headers["Location"]
        return where


def token_request_is_right(walk: Walk) -> None:
    """As the provider documents it: where it goes, the grant, who asks, and with what."""
    samples, (request,) = walk.provider.samples, walk.provider.tokens
    assert samples.documented("token", request).differences(request) == []
    if walk.method.type == "jwt_bearer":
        token = dict(parse_qsl(request.body.decode()))["assertion"]
        said = jwt.decode(token, options={"verify_signature": False})
        assert {name: said[name] for name in said if name not in ("iat", "exp")} == samples.json("assertion")


@pytest.mark.django_db
@pytest.mark.parametrize("partner", ["stores everything", "leaves everything blank"])
@pytest.mark.parametrize(("slug", "key"), WAYS, ids=lambda value: value)
def test_it_is_installed_from_the_form_to_connected(
    slug, key, partner, owner, account, settings, private_key
):
    cache.clear()
    provider = Provider(slug, key)
    manifest, method = provider.manifest, provider.method
    if partner == "leaves everything blank" and not manifest.partner_properties:
        return
    row = Installation.objects.create(partner=owner.partner, account=account, connector=slug)
    walk = Walk(owner, row, provider, private_key)
    with provider.server, without_http(walk) as elsewhere:
        settings.STAND_IN_ORIGINS = {"https://*": provider.server.origin, "tcp://*": elsewhere}
        if partner == "stores everything":
            walk.stores()
        walk.chooses()
        due = [
            p for p in manifest.properties_for(key) if p.level == "partner" and p.required and not p.default
        ]
        if partner == "leaves everything blank" and due:
            page = owner.client.get(f"{walk.base}details/", follow=True)
            assert "has to finish something first" in page.content.decode()
            walk.stores()
            ConnectorSettings.objects.get().set_values({}, "")
        names = walk.asked()
        answered = walk.enters(names) if names or not method.is_interactive else None
        if method.is_interactive:
            answered = walk.consents()
        where = walk.follows(answered)
        problem = "" if where.endswith("/done/") else owner.client.get(where, follow=True).content.decode()
        told = " ".join(re.findall(r"<h1>(.*?)</h1>|<pre>(.*?)</pre>", problem, re.DOTALL).__str__().split())
        assert where.endswith("/done/"), f"{where}\n{told}\nstrays: {provider.strays}"
    assert provider.strays == []
    if method.is_oauth:
        token_request_is_right(walk)
    if method.type == "oauth1_redirection":
        assert (provider.oauth1.asked, provider.oauth1.exchanged) == (1, 1)
    if manifest.verification_for(method).type == "http":
        assert len(provider.verified) == 1
        assert provider.samples.request.differences(provider.verified[0]) == []
    row.refresh_from_db()
    assert row.status == Status.CONNECTED
    assert "Connected" in owner.client.get(f"/installations/{row.pk}/").content.decode()
    nothing_in_clear(walk, row)


@contextmanager
def without_http(walk: Walk):
    """Where what speaks no HTTP is. The databases themselves are asked in tests/test_databases.py."""
    check = walk.manifest.verification_for(walk.method)
    if check.type != "sign_in" or check.protocol != "sftp":
        yield walk.provider.server.origin
        return
    key = asyncssh.import_private_key(walk.private_key)
    with sftp_server(key, walk.values["username"], walk.values["password"]) as port:
        yield f"http://127.0.0.1:{port}"


def nothing_in_clear(walk: Walk, row: Installation) -> None:
    """Each secret that was entered is sealed or gone; one that was for one time only is gone."""
    kept = json.dumps([row.values, CredentialVersion.objects.get(installation=row).token])
    for prop in walk.manifest.properties_for(walk.method.key):
        if prop.one_time:
            assert walk.values[prop.name] not in kept
    public = json.dumps([row.stored, row.discovered, row.external_account_id, row.external_account_name])
    for prop in walk.manifest.properties:
        if prop.is_secret and len(walk.values[prop.name]) > 8:
            assert walk.values[prop.name] not in public


@pytest.mark.django_db
@pytest.mark.parametrize("slug", sorted({slug for slug, _ in WAYS}))
def test_its_pages_can_be_looked_at(slug, owner):
    connector = registry.get(slug)
    for tab in ("", "settings/", "guide/"):
        page = owner.client.get(f"/connectors/library/{slug}/{tab}")
        assert page.status_code == 200
        assert connector.name in page.content.decode()
    assert owner.client.get(connector.logo_url).status_code == 200
    for audience in ("partner", "customer"):
        assert connector.guide.half(audience), f"guide.md has no half for the {audience}"
    for prop in connector.manifest.properties:
        if prop.level != "system" and not prop.fallback:
            assert prop.help_anchors, f"{prop.name} leads to no section of the guide"
