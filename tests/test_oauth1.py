"""OAuth 1.0a with a redirect: temporary credentials, the answer that is bound to them, and what goes wrong.

What holds for every redirect is held by test_state.py and test_callback.py; here is what OAuth 1.0a has
otherwise. The other side is a stand-in that checks each signature (RFC 5849, section 3.2).
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from html import unescape
from threading import Barrier
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.utils import timezone

from connectors import registry
from connectors.manifest import BadManifest, parse
from connectors.models import ConnectorSettings
from console.models import Account, Event
from console.problems import PROBLEMS
from console.tenancy import Principal
from installations import authorization
from installations.models import AuthorizationRequest, Installation, Status
from tests.conftest import open_link
from tests.stand_ins.oauth1 import OAuth1Server
from tests.stand_ins.oauth1 import authorization as signed
from tests.stand_ins.quirks import Quirks, Request, answer

KEY, SECRET = "0123456789abcdef0123456789abcdef", "consumersecret0123456789"
WAY = "oauth1_redirection"
MEMBER = '{"id": "5abbe4b7ddc1b351ef961414", "fullName": "Maya Example", "username": "mayaexample"}'


class Trello:
    """The stand-in: three endpoints and one resource. `instead` answers in the place of one of them."""

    def __init__(self):
        self.oauth1 = OAuth1Server(KEY, SECRET)
        self.instead: dict[str, bytes] = {}
        self.requests: list[Request] = []
        self.server = Quirks(self.respond)

    def respond(self, request: Request) -> bytes:
        self.requests.append(request)
        place = urlsplit(request.target).path.rpartition("/")[2]
        if place == "OAuthGetAccessToken" and place in self.instead:
            self.oauth1.exchanged += 1
        if place in self.instead:
            return self.instead[place]
        if place == "OAuthGetRequestToken":
            return self.oauth1.gives_temporary_credentials(request)
        if place == "OAuthGetAccessToken":
            return self.oauth1.gives_token_credentials(request)
        fault = self.oauth1.refuses(request)
        return answer(fault, status="401 Unauthorized") if fault else answer(MEMBER)


@pytest.fixture
def trello(settings):
    cache.clear()
    made = Trello()
    settings.STAND_IN_ORIGINS = {"https://*trello.com": made.server.origin}
    with made.server:
        yield made


@pytest.fixture
def ready(trello, account) -> Account:
    store(account, api_key=KEY, api_secret=SECRET)
    return account


def store(account: Account, **values: str) -> ConnectorSettings:
    row = ConnectorSettings.objects.for_connector(account.partner_id, "trello")
    row.change(Principal(partner_id=account.partner_id, actor="admin"), values)
    return row


@dataclass
class Asked:
    """A customer's browser that was led to the consent page, at `location`."""

    browser: Client
    base: str
    location: str
    installation: Installation

    @property
    def token(self) -> str:
        return dict(parse_qsl(urlsplit(self.location).query))["oauth_token"]

    def row(self) -> AuthorizationRequest:
        return AuthorizationRequest.objects.get(installation=self.installation)

    def ends_with(self, url: str, *, browser: Client | None = None, **changes: str | None) -> str:
        """Come back at this address, some parameters changed (None leaves one out); where it leads."""
        parts = urlsplit(url)
        given = {**dict(parse_qsl(parts.query)), **changes}
        query = urlencode({name: text for name, text in given.items() if text is not None}, doseq=True)
        answered = (browser or self.browser).get(f"{parts.path}?{query}")
        assert answered.status_code == 303
        return answered.headers["Location"]

    def problem(self, location: str) -> str:
        """The code of the problem that this address tells; its page says it, and no secret."""
        if location.startswith("/oauth/problem/"):
            return location.split("/")[3]
        page = self.browser.get(location)
        code = Event.objects.filter(subject_id=self.installation.pk).latest("at").details["code"]
        assert page.status_code == PROBLEMS[code].status
        assert PROBLEMS[code].title.format(connector="Trello") in unescape(page.content.decode())
        return code


def begin(account: Account) -> tuple[Client, str, Installation]:
    row = Installation.objects.create(partner=account.partner, account=account, connector="trello")
    browser, link, _ = open_link(row)
    base = f"/setup/{link.pk}/"
    browser.post(f"{base}review/")
    browser.post(f"{base}method/", {"auth_method": WAY})
    return browser, base, row


def asks(account: Account) -> Asked:
    browser, base, row = begin(account)
    return asks_in(browser, base, row)


def asks_in(browser: Client, base: str, row: Installation) -> Asked:
    answered = browser.post(f"{base}consent/")
    assert answered.status_code in (302, 303)
    return Asked(browser, base, answered.headers["Location"], row)


pytestmark = pytest.mark.django_db


def test_the_whole_way(ready, trello):
    asked = asks(ready)
    (request,) = trello.requests
    state = dict(parse_qsl(urlsplit(signed(request)["oauth_callback"]).query))["state"]
    redirect_uri = ConnectorSettings.objects.get().redirect_uri
    assert signed(request)["oauth_callback"] == f"{redirect_uri}?state={state}"
    assert len(state) == 43
    # Whoever sees the address of the consent page learns neither the state nor a secret.
    sent = dict(parse_qsl(urlsplit(asked.location).query))
    assert sent == {"oauth_token": asked.token, "expiration": "never", "scope": "read"}
    temporary_secret = trello.oauth1.temporary[asked.token].secret
    assert asked.ends_with(trello.oauth1.allows(asked.location)) == f"{asked.base}done/"
    assert (trello.oauth1.asked, trello.oauth1.exchanged) == (1, 1)
    asked.installation.refresh_from_db()
    assert (asked.installation.status, asked.installation.auth_method) == (Status.CONNECTED, WAY)
    assert asked.installation.external_account_name == "mayaexample"
    token = asked.installation.current_token()
    assert (token.access_token, token.values) == (
        "test-token",
        {"token_secret": trello.oauth1.tokens["test-token"]},
    )
    stored = everything()
    for secret in (temporary_secret, token.access_token, token.values["token_secret"], SECRET, state):
        assert secret not in stored


def everything() -> str:
    """Every row of every table, as it is in the database."""
    with connection.cursor() as cursor:
        texts = []
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            texts += [repr([bytes(v) if isinstance(v, memoryview) else v for v in row]) for row in cursor]
    return "\n".join(texts)


def test_the_temporary_credentials_are_sealed_and_gone_with_the_answer(ready, trello):
    asked = asks(ready)
    secret = trello.oauth1.temporary[asked.token].secret
    assert asked.row().verifier == {"oauth_token": asked.token, "oauth_token_secret": secret}
    assert secret not in everything()
    assert asked.token not in everything()
    asked.ends_with(trello.oauth1.allows(asked.location))
    assert asked.row().verifier is None


def test_a_connected_installation_is_tested_with_the_same_signature(ready, trello, owner):
    asked = asks(ready)
    asked.ends_with(trello.oauth1.allows(asked.location))
    owner.client.post(f"/installations/{asked.installation.pk}/test/")
    assert Event.objects.filter(kind="installation.tested").exists()
    assert [urlsplit(request.target).path for request in trello.requests[2:]] == ["/1/members/me"] * 2


# ── whose answer it is ──────────────────────────────────────────────────────────────────────────


def is_still_open(asked: Asked, trello: Trello, back: str) -> bool:
    """No token was asked for, nothing was connected, and the true answer is taken afterwards."""
    assert trello.oauth1.exchanged == 0
    assert asked.row().consumed_at is None
    return asked.ends_with(back) == f"{asked.base}done/"


@pytest.mark.parametrize("state", [None, "", "r" * 43, "x" * 300])
def test_a_forged_or_missing_state_is_refused(ready, trello, state):
    asked = asks(ready)
    back = trello.oauth1.allows(asked.location)
    assert asked.problem(asked.ends_with(back, state=state)) == "attempt_unknown"
    assert is_still_open(asked, trello, back)


def test_another_browsers_answer_is_refused(ready, trello):
    asked, other = asks(ready), asks(ready)
    back = trello.oauth1.allows(asked.location)
    for browser in (Client(HTTP_HOST="console.test"), other.browser):
        where = asked.ends_with(back, browser=browser)
        assert asked.problem(where) == "attempt_other_browser"
    assert is_still_open(asked, trello, back)


def test_another_registrations_address_is_refused(ready, trello):
    asked = asks(ready)
    back = trello.oauth1.allows(asked.location)
    elsewhere = back.replace(str(ConnectorSettings.objects.get().pk), str(asked.installation.pk))
    assert asked.problem(asked.ends_with(elsewhere)) == "attempt_unknown"
    assert is_still_open(asked, trello, back)


@pytest.mark.parametrize("swapped", ["another's", "one letter", "", "ü", "doubled", None])
def test_an_answer_about_other_temporary_credentials_is_refused(ready, trello, swapped):
    """The state is ours and the browser too; what was agreed to is somebody else's."""
    asked, other = asks(ready), asks(ready)
    back = trello.oauth1.allows(asked.location)
    verifier = dict(parse_qsl(urlsplit(trello.oauth1.allows(other.location)).query))["oauth_verifier"]
    named = {
        "another's": other.token,
        "one letter": asked.token[:-1] + ("0" if asked.token[-1] != "0" else "1"),
        "doubled": [asked.token, other.token],
    }.get(swapped, swapped)
    where = asked.ends_with(back, oauth_token=named, oauth_verifier=verifier)
    assert asked.problem(where) == "attempt_unknown"
    assert Event.objects.filter(kind="consent.refused", subject_id=asked.installation.pk).exists()
    assert is_still_open(asked, trello, back)


def test_a_registration_that_changes_between_question_and_answer_ends_the_request(ready, trello):
    asked = asks(ready)
    back = trello.oauth1.allows(asked.location)
    ConnectorSettings.objects.all().delete()
    assert asked.problem(asked.ends_with(back)) == "attempt_revoked"
    assert trello.oauth1.exchanged == 0


def test_an_answer_that_comes_too_late_is_refused(ready, trello):
    asked = asks(ready)
    assert abs(asked.row().expires_at - asked.row().created_at - timedelta(minutes=10)) < timedelta(seconds=1)
    AuthorizationRequest.objects.update(expires_at=timezone.now())
    assert asked.problem(asked.ends_with(trello.oauth1.allows(asked.location))) == "attempt_expired"
    assert trello.oauth1.exchanged == 0
    assert asked.row().verifier is None


def test_a_replayed_answer_asks_for_no_second_token(ready, trello):
    asked = asks(ready)
    back = trello.oauth1.allows(asked.location)
    for _ in range(3):
        assert asked.ends_with(back) == f"{asked.base}done/"
    assert trello.oauth1.exchanged == 1


@pytest.mark.django_db(transaction=True)
def test_of_answers_at_the_same_moment_one_is_exchanged(ready, trello):
    asked = asks(ready)
    back = trello.oauth1.allows(asked.location)
    barrier = Barrier(4)

    def sends(_):
        browser = Client(HTTP_HOST="console.test")
        browser.cookies.update(asked.browser.cookies)
        barrier.wait()
        try:
            return asked.ends_with(back, browser=browser)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(sends, range(4)))
    assert trello.oauth1.exchanged == 1
    asked.installation.refresh_from_db()
    assert asked.installation.status == Status.CONNECTED


# ── a refusal ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "changes",
    [
        {"oauth_token": None, "oauth_verifier": None},
        {"oauth_verifier": None},
        {"oauth_verifier": ""},
        {"oauth_token": None, "oauth_verifier": None, "denied": "whatever"},
        {"denied": "whatever"},
    ],
    ids=["nothing", "no verifier", "empty verifier", "denied", "denied beside a verifier"],
)
def test_who_declines_is_told_so_and_may_be_asked_again(ready, trello, changes):
    asked = asks(ready)
    where = asked.ends_with(trello.oauth1.allows(asked.location), **changes)
    assert asked.problem(where) == "access_denied"
    assert trello.oauth1.exchanged == 0
    assert (asked.row().outcome, asked.row().verifier) == ("access_denied", None)
    asked.installation.refresh_from_db()
    assert asked.installation.status == Status.NOT_SET_UP
    again = asks_in(asked.browser, asked.base, asked.installation)
    assert again.ends_with(trello.oauth1.allows(again.location)) == f"{again.base}done/"


# ── what the provider's servers answer ──────────────────────────────────────────────────────────

ECHO = f"invalid signature with {SECRET}"
FORM = "oauth_token=t&oauth_token_secret=s"
CONFIRMED = f"{FORM}&oauth_callback_confirmed=true"
DOWN = {
    "503": (answer("later", status="503 Service Unavailable"), "provider_unavailable"),
    "429": (answer("slower", status="429 Too Many Requests"), "provider_unavailable"),
    "hangs up": (b"", "provider_unavailable"),
    "too long": (answer("x" * 70_000), "provider_answer_unreadable"),
    "bad request": (answer("callback", status="400 Bad Request"), "configuration_refused"),
    "redirect": (
        answer("", "Location: https://evil.example/", status="302 Found"),
        "provider_answer_unreadable",
    ),
    "a page": (answer("<html>oauth_token=t&oauth_token_secret=s"), "provider_answer_unreadable"),
    "nothing": (answer(""), "provider_answer_unreadable"),
    "no secret": (answer("oauth_token=t&oauth_callback_confirmed=true"), "provider_answer_unreadable"),
    "a line break": (answer(CONFIRMED.replace("=t&", "=t%0d%0a&")), "provider_answer_unreadable"),
    "two tokens": (answer(f"{CONFIRMED}&oauth_token=u"), "provider_answer_unreadable"),
}
ONLY_FIRST = {
    "not confirmed": (answer(FORM), "provider_answer_unreadable"),
    "confirmed otherwise": (answer(f"{FORM}&oauth_callback_confirmed=false"), "provider_answer_unreadable"),
    "refused": (answer(ECHO, status="401 Unauthorized"), "invalid_client"),
}
ONLY_LAST = {"refused": (answer(ECHO, status="401 Unauthorized"), "invalid_grant")}


@pytest.mark.parametrize("name", [*DOWN, *ONLY_FIRST])
def test_without_temporary_credentials_there_is_no_request_for_consent(ready, trello, name, caplog):
    trello.instead["OAuthGetRequestToken"], code = {**DOWN, **ONLY_FIRST}[name]
    asked = asks(ready)
    assert asked.problem(asked.location) == code
    assert not AuthorizationRequest.objects.exists()
    asked.installation.refresh_from_db()
    assert asked.installation.status == Status.NOT_SET_UP
    told = asked.browser.get(asked.location).content.decode() + caplog.text + str(events())
    assert SECRET not in told
    if name == "refused":
        assert "invalid signature with •••" in told
    trello.instead.clear()
    again = asks_in(asked.browser, asked.base, asked.installation)
    assert again.ends_with(trello.oauth1.allows(again.location)) == f"{again.base}done/"


@pytest.mark.parametrize("name", [*DOWN, *ONLY_LAST])
def test_without_token_credentials_nothing_is_connected(ready, trello, name, caplog):
    asked = asks(ready)
    back = trello.oauth1.allows(asked.location)
    secret = trello.oauth1.temporary[asked.token].secret
    verifier = dict(parse_qsl(urlsplit(back).query))["oauth_verifier"]
    trello.instead["OAuthGetAccessToken"], code = {**DOWN, **ONLY_LAST}[name]
    if name == "refused":
        echo = f"{ECHO}, {secret}, {verifier}"
        trello.instead["OAuthGetAccessToken"] = answer(echo, status="401 Unauthorized")
    where = asked.ends_with(back)
    assert asked.problem(where) == code
    assert trello.oauth1.exchanged == 1
    assert (asked.row().outcome, asked.row().verifier) == (code, None)
    told = asked.browser.get(where).content.decode() + caplog.text + str(events())
    for hidden in (SECRET, secret, verifier):
        assert hidden not in told
    asked.installation.refresh_from_db()
    assert asked.installation.status == Status.NOT_SET_UP


def events() -> list:
    return list(Event.objects.values_list("text", "details"))


def test_a_wrong_consumer_secret_is_the_partners_to_mend(ready, trello):
    store(ready, api_secret="wrongsecret")
    asked = asks(ready)
    assert asked.problem(asked.location) == "invalid_client"
    # Not the customer's, who is asked for nothing here.
    assert f'href="{asked.base}consent/"' in asked.browser.get(asked.location).content.decode()
    assert "wrongsecret" not in str(events())


def test_a_wrong_secret_of_ones_own_is_entered_again(trello, account):
    browser, base, row = begin(account)
    browser.post(f"{base}details/", {"api_key": KEY, "api_secret": "wrongsecret"})
    asked = asks_in(browser, base, row)
    assert asked.problem(asked.location) == "invalid_client"
    assert f'href="{base}details/"' in browser.get(asked.location).content.decode()
    browser.post(f"{base}details/", {"api_key": KEY, "api_secret": SECRET})
    again = asks_in(browser, base, row)
    assert again.ends_with(trello.oauth1.allows(again.location)) == f"{base}done/"


def test_a_link_is_no_place_to_try_out_keys(ready, trello):
    """Each request for consent asks the provider, so that there is an end of them."""
    trello.instead["OAuthGetRequestToken"] = answer(ECHO, status="401 Unauthorized")
    browser, base, _ = begin(ready)
    for _ in range(25):
        browser.post(f"{base}consent/")
    assert len(trello.requests) == 20


# ── whose application it is ─────────────────────────────────────────────────────────────────────


def test_the_settings_show_the_redirect_uri_to_register(trello, owner):
    page = owner.client.get("/connectors/library/trello/settings/").content.decode()
    row = ConnectorSettings.objects.for_connector(owner.partner.pk, "trello")
    assert f'id="redirect-uri">{row.redirect_uri}<' in page


def test_without_the_partners_application_the_installation_brings_its_own(trello, account):
    browser, base, row = begin(account)
    page = browser.get(f"{base}details/").content.decode()
    redirect_uri = f"http://console.test/oauth/callback/{row.pk}/"
    assert f'id="redirect-uri">{redirect_uri}<' in page
    assert browser.post(f"{base}consent/").headers["Location"] == f"{base}details/"
    assert trello.requests == []
    browser.post(f"{base}details/", {"api_key": KEY, "api_secret": SECRET})
    asked = asks_in(browser, base, row)
    assert signed(trello.requests[0])["oauth_callback"].startswith(f"{redirect_uri}?state=")
    assert asked.ends_with(trello.oauth1.allows(asked.location)) == f"{base}done/"


@pytest.mark.parametrize("half", ["api_key", "api_secret"])
def test_half_of_the_partners_application_is_none(trello, account, half):
    store(account, **{half: "storedbythepartner"})
    browser, base, row = begin(account)
    assert list(browser.get(f"{base}details/").context["form"].fields) == ["api_key", "api_secret"]
    browser.post(f"{base}details/", {"api_key": KEY, "api_secret": SECRET})
    asked = asks_in(browser, base, row)
    assert asked.ends_with(trello.oauth1.allows(asked.location)) == f"{base}done/"
    assert all("storedbythepartner" not in request.everything for request in trello.requests)


def test_a_credential_stays_with_the_application_that_it_was_issued_to(trello, account, owner):
    """Also where the partner stores one of its own afterwards; a new consent is for that one."""
    browser, base, row = begin(account)
    browser.post(f"{base}details/", {"api_key": KEY, "api_secret": SECRET})
    asked = asks_in(browser, base, row)
    asked.ends_with(trello.oauth1.allows(asked.location))
    store(account, api_key="thepartners", api_secret="thepartnerssecret")
    owner.client.post(f"/installations/{row.pk}/test/")
    assert Event.objects.filter(kind="installation.tested").count() == 1
    trello.oauth1.consumer_key, trello.oauth1.consumer_secret = "thepartners", "thepartnerssecret"
    again, link, _ = open_link(row)
    base = f"/setup/{link.pk}/"
    again.post(f"{base}review/")
    asked = asks_in(again, base, row)
    assert asked.ends_with(trello.oauth1.allows(asked.location)) == f"{base}done/"
    row.refresh_from_db()
    assert not (row.values or {}).keys() & {"api_key", "api_secret"}
    owner.client.post(f"/installations/{row.pk}/test/")
    assert Event.objects.filter(kind="installation.tested").count() == 2


def test_the_way_that_needs_the_key_alone_takes_the_partners_key(trello, account):
    store(account, api_key=KEY)
    browser, base, _ = begin(account)
    browser.post(f"{base}method/", {"auth_method": "token"})
    assert list(browser.get(f"{base}details/").context["form"].fields) == ["token"]


def test_a_partners_scopes_are_asked_for(ready, trello):
    row = ConnectorSettings.objects.get()
    row.change(Principal(ready.partner_id, "admin"), {}, scopes="read write")
    assert dict(parse_qsl(urlsplit(asks(ready).location).query))["scope"] == "read,write"


def test_the_cookie_is_that_of_every_redirect(ready, trello):
    asked = asks(ready)
    cookie = asked.browser.cookies[authorization.cookie_name(asked.row().id)]
    assert (cookie["httponly"], cookie["samesite"], cookie["max-age"]) == (True, "Lax", 600)


# ── the format ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('expiration = "never"', 'oauth_token = "x"', "cannot set oauth_token"),
        ('expiration = "never"', 'scope = "x"', "cannot set scope"),
        ('name = "api_secret"', 'name = "token_secret"', "'token_secret' would hide"),
        ('token_endpoint = "https://trello.com/1/OAuthGetAccessToken"\n', "", "token_endpoint: is missing"),
        (
            '"https://trello.com/1/OAuthGetRequestToken"',
            '"http://trello.com/"',
            "temporary_credentials_endpoint",
        ),
        ('consumer_secret = "${api_secret}"', 'consumer_secret = "${api_secrets}"', "api_secrets"),
    ],
)
def test_a_manifest_that_cannot_work_is_refused(old, new, words):
    text = registry.get("trello").files.manifest
    assert old in text
    text = text.replace(old, new).replace("${api_secret}", new[8:-1] if "hide" in words else "${api_secret}")
    with pytest.raises(BadManifest, match=words):
        parse(text, slug="trello")
