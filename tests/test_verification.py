"""Asking the provider who a credential belongs to: its answer is not trusted, least of all a host name."""

import json
import re

import pytest
from django.core.cache import cache

from connectors import registry
from console import http
from console.problems import ProblemError
from installations.auth import Token
from installations.models import CredentialVersion, Status
from installations.verification import AddressUnknown, Identity, verify
from tests.conftest import open_link
from tests.stand_ins.quirks import Quirks, Request, answer

CREDENTIAL = "the-credential-of-a-customer"
CENTRAL = "retail.heartland.us"
# Where the credential may go, and nowhere else.
ALLOWED = re.compile(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)?retail\.heartland\.us")


class Provider:
    """Answers for every host there is, so that no credential goes astray unseen."""

    def __init__(self):
        self.look_up = answer('{"host": "harbor.retail.heartland.us"}')
        self.whoami = answer('{"account_name": "Harbor Street Outfitters", "name": "Ann"}')
        self.name = answer('{"value": "Harbor by name"}')
        self.server = Quirks(self.respond)

    def respond(self, request: Request):
        paths = {
            "/api/system/host": self.look_up,
            "/api/system/whoami": self.whoami,
            "/api/settings/company_name": self.name,
        }
        found = paths.get(request.target, answer(status="404 Not Found"))
        return found(request) if callable(found) else found

    @property
    def hosts(self) -> list[str]:
        """The hosts that were asked, in order; each was given the credential."""
        assert all(CREDENTIAL in request.headers["authorization"] for request in self.server.requests)
        return [request.headers["host"] for request in self.server.requests]

    def nothing_went_astray(self) -> bool:
        return all(ALLOWED.fullmatch(host) for host in self.hosts)


@pytest.fixture
def provider(settings):
    found = Provider()
    settings.STAND_IN_ORIGINS = {"https://*": found.server.origin}
    with found.server:
        yield found


def ask(**values) -> Identity:
    manifest = registry.get("heartland-retail").manifest
    return verify(manifest, manifest.method("api_key"), Token(access_token=CREDENTIAL), values)


def said(value) -> bytes:
    return answer(json.dumps({"host": value}))


# ── the host that is looked up ──────────────────────────────────────────────────────────────────

GOOD_HOSTS = [
    "harbor.retail.heartland.us",
    "https://harbor.retail.heartland.us",
    "https://harbor.retail.heartland.us/",
    "HARBOR.retail.heartland.us",
    " harbor.retail.heartland.us\n",
]
ESCAPES = [
    "evil.com",
    "harbor.retail.heartland.us.evil.com",
    "harbor.retail.heartland.us.",
    "evil.com.",
    "a@b",
    "harbor.retail.heartland.us@evil.com",
    "user:password@evil.com",
    "evil.com@harbor.retail.heartland.us",
    "harbor.retail.heartland.us/x",
    "harbor.retail.heartland.us/../x",
    "evil.com/.retail.heartland.us",
    "evil.com#.retail.heartland.us",
    "evil.com?.retail.heartland.us",
    "evil.com\\.retail.heartland.us",
    "evil.com;.retail.heartland.us",
    "evil.com,harbor.retail.heartland.us",
    "evil.com .retail.heartland.us",
    "evil.com\t.retail.heartland.us",
    "evil.com\n.retail.heartland.us",
    "evil.com\x00.retail.heartland.us",
    "evil.com%00.retail.heartland.us",
    "evil.com%2f.retail.heartland.us",
    "evil.com%23.retail.heartland.us",
    "harbor%2eevil.com",
    "harbor.retail.heartland.us:8443",
    "harbor.retail.heartland.us:22",
    "evil.com:443",
    "harbor.retail.heartland.us\r\nX-Evil: 1",
    "harbor.retail.heartland.us\nevil.com",
    "evil.com\nharbor.retail.heartland.us",
    "//evil.com",
    "http://harbor.retail.heartland.us",
    "https://https://harbor.retail.heartland.us",
    "https://evil.com",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "\uff48arbor.retail.heartland.us",
    "harbor\uff0eretail.heartland.us",
    "harbor\u3002retail\u3002heartland\u3002us",
    "harbor.retail.heartland.us\uff0eevil.com",
    "harbor.retail.heartland.us\uff0fevil",
    "evil.com\uff03.retail.heartland.us",
    "h\u0430rbor.retail.heartland.us",
    "harbor\u200b.retail.heartland.us",
    "harbor\u202e.retail.heartland.us",
    "\ud800.retail.heartland.us",
    "retail.heartland.us",
    ".retail.heartland.us",
    "..retail.heartland.us",
    "a.b.retail.heartland.us",
    "-harbor.retail.heartland.us",
    "harbor-.retail.heartland.us",
    "har_bor.retail.heartland.us",
    "harborXretail.heartland.us",
    "harbor.retailXheartland.us",
    "harbor.retail.heartland.usa",
    "harbor.retail.heartland",
    "a" * 64 + ".retail.heartland.us",
    "a" * 300 + ".retail.heartland.us",
    "a." * 150 + "retail.heartland.us",
    "127.0.0.1",
    "2130706433",
    "[::1]",
    "169.254.169.254",
    "localhost",
    "${host}",
    "${subdomain}.retail.heartland.us",
    "{{7*7}}.retail.heartland.us",
    "*.retail.heartland.us",
    "'\"<script>.retail.heartland.us",
]
NO_TEXT = [
    "",
    " ",
    None,
    True,
    False,
    7,
    1.5,
    1e400,
    [],
    ["harbor.retail.heartland.us"],
    {},
    {"host": "evil.com"},
]


def test_there_are_enough_escapes():
    assert len(set(ESCAPES)) >= 50


@pytest.mark.parametrize("host", GOOD_HOSTS)
def test_a_good_host_is_asked_who_the_credential_belongs_to(host, provider):
    provider.look_up = said(host)
    identity = ask()
    assert identity.account_id == "harbor.retail.heartland.us"
    assert identity.discovered == {"host": "harbor.retail.heartland.us"}
    assert provider.hosts == [CENTRAL, "harbor.retail.heartland.us"]


@pytest.mark.parametrize("host", [*ESCAPES, *NO_TEXT], ids=ascii)
def test_a_host_that_leads_elsewhere_never_gets_the_credential(host, provider):
    provider.look_up = said(host)
    with pytest.raises(AddressUnknown):
        ask()
    assert provider.hosts == [CENTRAL]


def test_a_letter_that_only_looks_foreign_leads_nowhere_else(provider):
    # The Kelvin sign, which is a k in lower case.
    provider.look_up = said("dar\u212a.retail.heartland.us")
    assert ask().account_id == "dark.retail.heartland.us"
    assert provider.nothing_went_astray()


@pytest.mark.parametrize(
    "look_up",
    [
        answer("{}"),
        answer("[]"),
        answer("null"),
        answer('"harbor.retail.heartland.us"'),
        answer("harbor.retail.heartland.us", content_type="text/plain"),
        answer("<h1>harbor.retail.heartland.us</h1>", content_type="text/html"),
        answer(),
        answer(b"\xff\xfe"),
        answer("[" * 10_000),
        answer(b" " * (http.BODY_LIMIT + 1)),
        answer('{"host": "harbor.retail.heartland.us"}', status="403 Forbidden"),
        answer('{"host": "harbor.retail.heartland.us"}', status="404 Not Found"),
        answer('{"host": "harbor.retail.heartland.us"}', status="429 Slow down"),
        answer('{"host": "harbor.retail.heartland.us"}', status="500 Oops"),
        answer('{"host": "harbor.retail.heartland.us"}', status="201 Created"),
        answer("{}", "Location: https://evil.com/", status="302 Found"),
        answer("{}", "Location: https://harbor.retail.heartland.us/", status="307 Again"),
        b"nonsense\r\n\r\n",
    ],
)
def test_a_look_up_that_fails_leaves_the_address_to_be_asked_for(look_up, provider):
    provider.look_up = look_up
    with pytest.raises(AddressUnknown):
        ask()
    assert provider.hosts == [CENTRAL]


def test_a_look_up_that_refuses_the_credential_is_no_missing_address(provider):
    provider.look_up = answer('{"message": "no such token"}', status="401 Unauthorized")
    with pytest.raises(ProblemError) as refused:
        ask()
    assert (refused.value.code, refused.value.words) == ("credential_rejected", "status 401 · no such token")


def test_a_look_up_that_refuses_the_credential_with_status_200_is_understood(provider):
    mailchimp = registry.get("mailchimp").manifest
    provider.server.respond = answer('{"error": "invalid_token"}')
    with pytest.raises(ProblemError) as refused:
        verify(mailchimp, mailchimp.method("authorization_code"), Token(access_token=CREDENTIAL), {})
    assert refused.value.code == "credential_rejected"


def test_an_address_entered_by_hand_takes_the_place_of_the_look_up(provider):
    assert ask(subdomain="harbor").account_id == "harbor.retail.heartland.us"
    assert provider.hosts == ["harbor.retail.heartland.us"]


@pytest.mark.parametrize(
    "subdomain",
    ["evil.com#", "evil.com/", "a@b", "a.b", "a:80", "a\r\nb", "\uff41", "-a", "a" * 64, "${host}"],
)
def test_an_address_entered_by_hand_is_checked_once_more(subdomain, provider):
    """The form has its own check; this is what holds if a value came in by another way."""
    with pytest.raises(AddressUnknown):
        ask(subdomain=subdomain)
    assert provider.hosts == []


def test_a_value_of_the_account_does_not_replace_what_was_found(provider):
    assert ask(host="evil.com").account_id == "harbor.retail.heartland.us"
    assert provider.hosts == [CENTRAL, "harbor.retail.heartland.us"]


# ── who it belongs to ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("whoami", "code"),
    [
        (answer("{}", status="401 Unauthorized"), "credential_rejected"),
        (answer("{}", status="403 Forbidden"), "permission_missing"),
        (answer("{}", status="429 Slow down"), "provider_unavailable"),
        (answer("{}", status="500 Oops"), "provider_unavailable"),
        (answer("<h1>504</h1>", status="504 Timeout"), "provider_unavailable"),
        (b"nonsense\r\n\r\n", "provider_unavailable"),
        (answer("{}", length=9), "provider_unavailable"),
        (lambda _: [60.0], "provider_unavailable"),
        (answer("{}", status="404 Not Found"), "provider_answer_unreadable"),
        (answer("{}", "Location: https://evil.com/", status="302 Found"), "provider_answer_unreadable"),
        (answer("[]"), "provider_answer_unreadable"),
        (answer("<h1>Welcome</h1>"), "provider_answer_unreadable"),
        (answer(""), "provider_answer_unreadable"),
        (answer(b" " * (http.BODY_LIMIT + 1)), "provider_answer_unreadable"),
    ],
)
def test_what_the_provider_answers_decides_whose_fault_it_is(whoami, code, provider, monkeypatch):
    monkeypatch.setattr(http, "DEADLINE_SECONDS", 0.5)
    provider.whoami = whoami
    with pytest.raises(ProblemError) as refused:
        ask()
    assert refused.value.code == code
    assert provider.hosts == [CENTRAL, "harbor.retail.heartland.us"]


@pytest.mark.parametrize(
    ("whoami", "account_name", "user_name"),
    [
        ({"account_name": "Harbor", "name": "Ann"}, "Harbor", "Ann"),
        ({"account": {"name": "Harbor"}, "email": "ann@harbor.example"}, "Harbor", "ann@harbor.example"),
        ({"account_name": " ", "account": {"name": "Harbor"}}, "Harbor", ""),
        ({"account_name": 7, "name": 0}, "7", "0"),
        ({"account_name": True, "name": None}, "Harbor by name", ""),
        ({"account_name": ["Harbor"], "name": {"first": "Ann"}}, "Harbor by name", ""),
        ({"account": "Harbor"}, "Harbor by name", ""),
        ({}, "Harbor by name", ""),
        ({"account_name": "H" * 5000, "name": "A" * 5000}, "H" * 200, "A" * 200),
        ({"account_name": "Har\x00bor\ud800", "name": "A\nnn"}, "Har bor", "A nn"),
    ],
)
def test_names_are_taken_from_where_they_stand(whoami, account_name, user_name, provider):
    provider.whoami = answer(json.dumps(whoami))
    identity = ask()
    assert (identity.account_name, identity.user_name) == (account_name, user_name)
    assert identity.account_id == "harbor.retail.heartland.us"
    # Whatever it was, the database takes it.
    assert (identity.account_name + identity.user_name).isprintable()


@pytest.mark.parametrize(
    "name",
    [answer("{}", status="403 Forbidden"), answer("{}", status="401 No"), answer("nonsense"), answer("{}")],
)
def test_a_name_that_cannot_be_read_is_no_failure(name, provider):
    provider.whoami, provider.name = answer("{}"), name
    assert ask().account_name == "harbor.retail.heartland.us"


# ── through the wizard ──────────────────────────────────────────────────────────────────────────


@pytest.fixture
def at_the_address_step(provider, installation):
    """A customer's browser whose API token is accepted and whose address nobody knows, and the page."""
    provider.look_up = answer(status="500 Oops")
    provider.whoami = answer("{}", status="401 Unauthorized")
    browser, link, _ = open_link(installation)
    base = f"/setup/{link.pk}/"
    browser.post(f"{base}review/")
    browser.post(f"{base}method/", {"auth_method": "api_key"})
    sent = browser.post(f"{base}details/", {"access_token": CREDENTIAL})
    assert sent.headers["Location"] == f"{base}address/"
    return browser, f"{base}address/"


def test_no_subdomain_that_a_person_enters_leads_elsewhere(provider, at_the_address_step, installation):
    browser, page = at_the_address_step
    suffixed = [f"evil.com{mark}" for mark in "#?/\\@:;,&%=+ \t\n\r\x00"]
    strings = [text for text in [*ESCAPES, *GOOD_HOSTS, *suffixed] if text.isprintable() or text.isascii()]
    strings += [
        "%2e%2e",
        "a%23",
        "evil",
        "EVIL",
        "xn--evil",
        "a" * 63,
        "a" * 64,
        "a" * 5000,
        "",
        " ",
        "0",
        "a-b",
    ]
    assert len(strings) > 80
    for text in strings:
        cache.clear()  # there is a limit on tries, too
        answered = browser.post(page, {"subdomain": text})
        assert answered.status_code == 422, ascii(text)
    assert provider.nothing_went_astray()
    # Those that are subdomains were really asked.
    assert {"harbor.retail.heartland.us", "evil.retail.heartland.us"} < set(provider.hosts)
    assert not CredentialVersion.objects.exists()
    provider.whoami = answer('{"account_name": "Harbor"}')
    assert browser.post(page, {"subdomain": "harbor"}).status_code == 302
    installation.refresh_from_db()
    assert installation.status == Status.CONNECTED
    assert installation.external_account_id == "harbor.retail.heartland.us"


@pytest.mark.parametrize(
    "token", ["two words", "a\nb", "a\r\nX-Evil: 1", "t\u00f6ken", "\u201ctoken\u201d", "tok\x7fen", "🔑"]
)
def test_a_token_that_no_header_can_carry_is_said_beside_its_field(token, provider, installation):
    """Not taken for an outage of the provider, which is never asked."""
    browser, link, _ = open_link(installation)
    base = f"/setup/{link.pk}/"
    browser.post(f"{base}review/")
    browser.post(f"{base}method/", {"auth_method": "api_key"})
    page = browser.post(f"{base}details/", {"access_token": token})
    assert page.status_code == 422
    assert "Copy it again as a whole." in page.content.decode()
    assert provider.server.requests == []


def test_an_answer_with_half_a_character_connects_all_the_same(provider, installation):
    provider.whoami = answer(r'{"account_name": "Har\ud800bor", "name": "\u0000"}')
    browser, link, _ = open_link(installation)
    base = f"/setup/{link.pk}/"
    browser.post(f"{base}review/")
    browser.post(f"{base}method/", {"auth_method": "api_key"})
    assert browser.post(f"{base}details/", {"access_token": CREDENTIAL}).headers["Location"] == f"{base}done/"
    assert "Har bor" in browser.get(f"{base}done/").content.decode()
