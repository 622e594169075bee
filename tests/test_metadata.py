"""From an authorization server's metadata (RFC 8414, OpenID Connect Discovery 1.0) to a draft."""

import json

import pytest

from connectors import registry
from connectors.authoring import metadata
from connectors.authoring.documents import BadDocument
from connectors.models import CustomConnector
from tests.stand_ins.quirks import Quirks, Request, answer

ISSUER = "https://login.acme.example/tenant"
OAUTH_PATH = "/.well-known/oauth-authorization-server/tenant"
OPENID_PATH = "/tenant/.well-known/openid-configuration"
FOUND = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}/authorize",
    "token_endpoint": f"{ISSUER}/token",
    "revocation_endpoint": f"{ISSUER}/revoke",
    "userinfo_endpoint": f"{ISSUER}/userinfo",
    "scopes_supported": ["openid", "email", "orders:read"],
    "response_types_supported": ["code"],
    "grant_types_supported": ["authorization_code", "client_credentials", "refresh_token"],
    "token_endpoint_auth_methods_supported": ["private_key_jwt", "client_secret_post"],
    "code_challenge_methods_supported": ["S256"],
    "authorization_response_iss_parameter_supported": True,
    "service_documentation": "https://dev.acme.example/login",
}


class Server:
    def __init__(self, quirks: Quirks):
        self.quirks, self.pages = quirks, {}
        quirks.respond = self._respond

    def _respond(self, request: Request) -> bytes:
        page = self.pages.get(request.target)
        if isinstance(page, bytes):
            return page
        return answer(json.dumps(page)) if page is not None else answer(status="404 Not Found")

    @property
    def asked(self) -> list[str]:
        return [request.target for request in self.quirks.requests]


@pytest.fixture
def server(settings):
    with Quirks(None) as quirks:
        settings.STAND_IN_ORIGINS = {"https://login.acme.example": quirks.origin}
        yield Server(quirks)


def made(found: dict) -> registry.Connector:
    sketch = metadata.read(found, name="Acme", base_url="https://api.acme.example/v1")
    return registry.made("custom-acme", sketch.files())


def what_becomes_of(issuer: str) -> str:
    """The name under which the connector would be stored, or the sentences with which it is refused."""
    try:
        return made(metadata.fetch(issuer)).digest
    except (BadDocument, registry.BadManifest) as error:
        return str(error)


@pytest.mark.parametrize(
    ("path", "asked"), [(OAUTH_PATH, [OAUTH_PATH]), (OPENID_PATH, [OAUTH_PATH, OPENID_PATH])]
)
@pytest.mark.parametrize("entered", [ISSUER, f"{ISSUER}/"])
def test_the_metadata_of_an_issuer_is_found_at_both_places(server, path, asked, entered):
    server.pages = {path: FOUND}
    assert metadata.fetch(entered) == FOUND
    assert server.asked == asked


def test_the_address_of_the_metadata_itself_will_do(server):
    server.pages = {OPENID_PATH: FOUND}
    assert metadata.fetch(f"https://login.acme.example{OPENID_PATH}") == FOUND


def test_all_that_the_metadata_says_is_in_the_connector():
    manifest = made(FOUND).manifest
    consent, machine = manifest.auth_methods
    assert (consent.type, machine.type) == ("authorization_code", "client_credentials")
    assert consent.authorization_endpoint == f"{ISSUER}/authorize"
    assert consent.revocation_endpoint == f"{ISSUER}/revoke"
    assert consent.token_endpoint == machine.token_endpoint == f"{ISSUER}/token"
    assert consent.token_endpoint_auth_method == "client_secret_post"
    assert (consent.issuer, consent.no_pkce) == (ISSUER, "")
    assert consent.default_scopes == ("openid", "email")
    assert manifest.verification.url == f"{ISSUER}/userinfo"
    assert manifest.source == ("https://dev.acme.example/login",)
    assert "# Further scopes: orders:read" in made(FOUND).files.manifest


def test_a_server_that_does_not_know_pkce_is_told_so():
    found = {**FOUND, "code_challenge_methods_supported": ["plain"]}
    assert made(found).manifest.auth_methods[0].no_pkce == "The server's metadata does not list S256."


def test_nobody_speaks_for_another_issuer(server):
    server.pages = {OAUTH_PATH: {**FOUND, "issuer": "https://login.contoso.example"}}
    with pytest.raises(BadDocument, match=r"another issuer, https://login\.contoso\.example"):
        metadata.fetch(ISSUER)


def test_what_was_tried_is_said_where_nothing_was_found(server):
    server.pages = {OAUTH_PATH: answer("<html>hello</html>")}
    with pytest.raises(BadDocument) as refused:
        metadata.fetch(ISSUER)
    assert "No metadata was found" in str(refused.value)
    assert f"{OPENID_PATH} answers with status 404" in str(refused.value)


@pytest.mark.parametrize(
    "issuer", ["https://[x", "https://", "http://login.acme.example", "login", "https://10.0.0.1"]
)
def test_an_address_that_is_none_or_lies_within_the_network_is_refused(server, issuer):
    with pytest.raises(BadDocument):
        metadata.fetch(issuer)
    assert server.asked == []


@pytest.mark.parametrize(
    "odd", [None, 1, [], {}, "", "x", "https://[x", "\ud800", "https://a\x00b", ["x", 1]]
)
@pytest.mark.parametrize("field", FOUND)
def test_anything_may_stand_anywhere_and_it_is_a_draft_or_a_sentence(server, field, odd):
    server.pages = {OAUTH_PATH: {**FOUND, field: odd}}
    assert what_becomes_of(ISSUER)


def test_what_looks_like_a_placeholder_in_the_metadata_is_text():
    place = "${client_secret}"
    fields = [name for name in FOUND if name.endswith("_endpoint")]
    found = {**FOUND, **dict.fromkeys(fields, f"https://evil.example/{place}")}
    manifest = made({**found, "scopes_supported": [place]}).manifest
    consent = manifest.auth_methods[0]
    safe = "https://evil.example/$${client_secret}"
    assert consent.authorization_endpoint == consent.token_endpoint == consent.revocation_endpoint == safe
    assert manifest.verification.url == safe
    assert consent.default_scopes == ("$${client_secret}",)


@pytest.mark.django_db
def test_a_partner_makes_a_draft_of_an_issuer_it_names(server, owner):
    server.pages = {OPENID_PATH: FOUND}
    form = {
        "name": "Acme",
        "issuer": ISSUER,
        "base_url": "https://api.acme.example/v1",
        "category": "commerce",
        "key": "",
    }
    done = owner.client.post("/connectors/add/metadata/", form)
    assert done.headers["Location"] == "/connectors/library/custom-acme/definition/"
    assert CustomConnector.objects.get().partner == owner.partner


@pytest.mark.django_db
def test_a_partner_is_told_why_there_is_no_draft_and_keeps_what_was_entered(server, owner):
    form = {"name": "Acme", "issuer": ISSUER, "base_url": "https://api.acme.example", "category": "commerce"}
    page = owner.client.post("/connectors/add/metadata/", form)
    assert page.status_code == 422
    assert "No metadata was found" in page.content.decode()
    assert ISSUER in page.content.decode()
    assert not CustomConnector.objects.exists()
