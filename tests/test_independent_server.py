"""The OAuth path against an authorization server that other people wrote (Authlib's).

It requires PKCE, lets tokens expire, gives refresh tokens, and holds a client to the one way of
authenticating that it registered.
"""

import shutil
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
import requests
from django.utils import timezone

from connectors import registry
from connectors.models import ConnectorSettings
from console.tenancy import Principal
from installations.models import CredentialVersion, Installation, Status
from tests.stand_ins.control import StandIn
from tests.stand_ins.process import running
from tests.test_callback import Attempt, attempt_of, install

pytestmark = pytest.mark.django_db

LIBRARY = Path(__file__).parent / "library"
SECRET = "s3cret:%+ü /&=?"
EXPIRES_IN = 3_600


@pytest.fixture(scope="module")
def authlib_process():
    with running("tests.stand_ins.authlib_server", "--expires-in", EXPIRES_IN) as server:
        yield server


@pytest.fixture(params=["client_secret_basic", "client_secret_post"])
def auth_method(request) -> str:
    """How the client authenticates at the token endpoint."""
    return request.param


@pytest.fixture
def server(authlib_process, auth_method, settings, tmp_path) -> StandIn:
    """The server, and in the library a connector for it that authenticates in the given way."""
    _write_library(tmp_path, ('"client_secret_basic"', f'"{auth_method}"'))
    settings.CONNECTOR_LIBRARIES = [*settings.CONNECTOR_LIBRARIES, tmp_path]
    settings.STAND_IN_ORIGINS = {"https://as.example": authlib_process.origin}
    registry.all.cache_clear()
    # Answers without a body, unlike the other stand-in.
    requests.post(f"{authlib_process.origin}/_calls/reset", timeout=10)
    yield StandIn(authlib_process.origin)
    registry.all.cache_clear()


def _write_library(folder: Path, *changes: tuple[str, str]) -> None:
    connector = folder / "authlib-test"
    shutil.copytree(LIBRARY / "authlib-test", connector, dirs_exist_ok=True)
    manifest = connector / "manifest.toml"
    text = manifest.read_text()
    for old, new in changes:
        assert text.count(old) == 1
        text = text.replace(old, new)
    manifest.write_text(text)


def store_client(partner, server: StandIn, auth_method: str, *, secret_kept: str = SECRET) -> None:
    """Register a client at the server and keep its values, as the partner's admin does."""
    row = ConnectorSettings.objects.for_connector(partner.pk, "authlib-test")
    client_id = f"client:{row.pk}"
    server.post(
        "/_apps",
        {
            "client_id": client_id,
            "client_secret": SECRET,
            "redirect_uri": row.redirect_uri,
            "auth_method": auth_method,
        },
    )
    values = {"client_id": client_id, "client_secret": secret_kept}
    row.change(Principal(partner_id=partner.pk, actor="admin"), values)


@pytest.fixture
def ready(server, auth_method, account) -> Installation:
    store_client(account.partner, server, auth_method)
    return install(account, "authlib-test")


def decide(attempt: Attempt, *, decision: str = "allow", account: str = "first") -> dict[str, str]:
    """Do at the consent page what a person does; what the server sends back through the browser."""
    form = {"decision": decision, "as": account}
    answer = requests.post(attempt.location, form, allow_redirects=False, timeout=10)
    assert answer.status_code == 302, answer.text
    location = answer.headers["Location"]
    assert location.startswith(attempt.sent["redirect_uri"])
    return dict(parse_qsl(urlsplit(location).query))


def page_after(attempt: Attempt, answer: dict[str, str]) -> str:
    back = attempt.answer(**answer)
    assert back.status_code == 303
    return attempt.browser.get(back.headers["Location"]).content.decode()


def test_a_customer_connects(ready, server):
    attempt = attempt_of(ready)
    page = page_after(attempt, decide(attempt))
    assert "Authlib Test is connected" in page
    assert "First Street Books" in page
    assert "account-1" in page
    ready.refresh_from_db()
    assert (ready.status, ready.auth_method) == (Status.CONNECTED, "authorization_code")
    assert (ready.external_account_id, ready.external_account_name) == ("account-1", "First Street Books")
    assert server.calls() == {"/authorize": 1, "/token": 1, "/userinfo": 1}


def test_the_refresh_token_the_lifetime_and_the_scopes_are_stored(ready):
    attempt = attempt_of(ready)
    before = timezone.now()
    attempt.answer(**decide(attempt))
    token = ready.current_token()
    version = CredentialVersion.objects.get()
    assert token.refresh_token
    assert token.access_token not in ("", token.refresh_token)
    assert token.granted_scopes == ("profile", "orders.read")
    assert version.granted_scopes == "profile orders.read"
    assert version.expires_at == token.expires_at
    lifetime = timedelta(seconds=EXPIRES_IN)
    assert before + lifetime - timedelta(seconds=1) <= token.expires_at <= timezone.now() + lifetime


def test_the_stored_token_works_for_the_account_that_was_chosen(ready, server):
    attempt = attempt_of(ready)
    assert "Second Avenue Cycles" in page_after(attempt, decide(attempt, account="second"))
    bearer = {"Authorization": f"Bearer {ready.current_token().access_token}"}
    who = requests.get(f"{server.origin}/userinfo", headers=bearer, timeout=10).json()
    ready.refresh_from_db()
    assert ready.external_account_id == who["account"]["id"] == "account-2"


def test_declined_consent_connects_nothing_and_can_be_asked_again(ready, server):
    attempt = attempt_of(ready)
    answer = decide(attempt, decision="deny")
    assert answer == {"error": "access_denied", "state": attempt.state} | {
        key: answer[key] for key in answer if key == "error_description"
    }
    assert "You did not allow access" in page_after(attempt, answer)
    assert "/token" not in server.calls()
    ready.refresh_from_db()
    assert ready.status == Status.NOT_SET_UP
    again = Attempt(
        attempt.browser,
        attempt.base,
        attempt.browser.post(f"{attempt.base}consent/").headers["Location"],
    )
    assert "is connected" in page_after(again, decide(again))


def test_a_wrong_client_secret_is_the_partners_to_mend(server, auth_method, account):
    store_client(account.partner, server, auth_method, secret_kept=SECRET.replace("+", " "))
    installation = install(account, "authlib-test")
    attempt = attempt_of(installation)
    page = page_after(attempt, decide(attempt))
    assert "Authlib Test does not accept the application&#x27;s credentials" in page
    assert "Northwind Software can." in page
    assert SECRET not in page
    assert server.calls()["/token"] == 1
    assert installation.current_token() is None


def test_the_wrong_way_of_authenticating_is_the_partners_to_mend(server, auth_method, account):
    """The server registered the other of the two ways for this client."""
    ways = {"client_secret_basic", "client_secret_post"}
    store_client(account.partner, server, (ways - {auth_method}).pop())
    attempt = attempt_of(install(account, "authlib-test"))
    assert "does not accept the application&#x27;s credentials" in page_after(attempt, decide(attempt))


def test_the_server_refuses_another_verifier_than_ours(ready, server):
    attempt = attempt_of(ready)
    answer = decide(attempt)
    row = attempt.row()
    row.verifier = {"code_verifier": "w" * 86}
    row.save()
    assert "The consent could not be used" in page_after(attempt, answer)
    assert server.calls()["/token"] == 1
    assert ready.current_token() is None


def test_the_server_refuses_a_request_without_pkce(ready, server):
    """So that the test before means something: this server does look at it."""
    attempt = attempt_of(ready)
    without = {name: value for name, value in attempt.sent.items() if not name.startswith("code_challenge")}
    url = f"{attempt.location.partition('?')[0]}?{urlencode(without)}"
    answer = requests.get(url, allow_redirects=False, timeout=10)
    assert "PKCE is required" in answer.text + dict(
        parse_qsl(urlsplit(answer.headers.get("Location", "")).query)
    ).get("error_description", "")


def test_a_code_of_another_customer_is_refused_by_the_verifier(ready, account):
    """The code of one request in the answer to another (RFC 9700, section 4.5)."""
    mine, theirs = attempt_of(ready), attempt_of(install(account, "authlib-test"))
    stolen = decide(theirs)["code"]
    assert "The consent could not be used" in page_after(mine, {"code": stolen, "state": mine.state})
    assert ready.current_token() is None


def test_an_answer_that_names_no_account_connects_nothing(server, auth_method, account, tmp_path):
    elsewhere = ('"account.id"', '"account.number"')
    _write_library(tmp_path, ('"client_secret_basic"', f'"{auth_method}"'), elsewhere)
    registry.all.cache_clear()
    store_client(account.partner, server, auth_method)
    installation = install(account, "authlib-test")
    attempt = attempt_of(installation)
    assert "gave an answer that we cannot read" in page_after(attempt, decide(attempt))
    assert installation.current_token() is None


def test_no_secret_stands_in_what_was_sent_through_the_browser(ready):
    attempt = attempt_of(ready)
    assert set(attempt.sent) == {
        *("response_type", "client_id", "redirect_uri", "scope", "state"),
        *("code_challenge", "code_challenge_method"),
    }
    assert attempt.sent["scope"] == "profile orders.read"
    assert SECRET not in attempt.sent.values()
