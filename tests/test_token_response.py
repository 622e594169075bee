"""What token endpoints answer, read through the real door: AuthorizationCode.obtain against a real server."""

import gzip
import json
import os
import re
import subprocess
import sys
import time
import zlib
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from urllib.parse import parse_qs, unquote_plus, urlsplit

import pytest
import requests.adapters

from connectors.manifest.auth_methods import AuthorizationCode as AuthMethod
from console import clock, http
from console.problems import PROBLEMS
from installations.auth.authorization_code import AuthorizationCode
from installations.auth.token import Token
from installations.auth.token_response import TokenError
from tests.product import full
from tests.stand_ins.process import ROOT
from tests.stand_ins.quirks import Authority, Quirks, answer, chunked, drip

# Lifetimes count from the database's clock.
pytestmark = pytest.mark.django_db

# The slow answers take as long as the deadline allows: the real one only with FULL=1.
DEADLINE = full(2, 20)
HEADERS = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
CHUNKED = HEADERS + b"Transfer-Encoding: chunked\r\n\r\n"
CHUNKED_GZIP = CHUNKED.replace(b"chunked\r\n", b"chunked\r\nContent-Encoding: gzip\r\n")
TOKEN = {"access_token": "the-token", "token_type": "bearer"}
UNAVAILABLE, UNREADABLE, REFUSED = (
    "provider_unavailable",
    "provider_answer_unreadable",
    "configuration_refused",
)


def method(**fields) -> AuthMethod:
    known = {
        "type": "authorization_code",
        "label": "OAuth",
        "summary": "You sign in there.",
        "authorization_endpoint": "https://provider.example/authorize",
        "token_endpoint": "https://provider.example/token",
        # What Slack and GitHub add to the standard.
        "token_response": {
            "ok": "ok",
            "error_codes": {
                "bad_verification_code": "invalid_grant",
                "incorrect_client_credentials": "invalid_client",
            },
        },
    }
    return AuthMethod(**known | fields)


def obtain(client_id: str = "the-client", client_secret: str = "the-secret", **fields) -> Token:
    grant = AuthorizationCode(
        method(**fields),
        {"client_id": client_id, "client_secret": client_secret},
        redirect_uri="https://console.test/oauth/callback/1/",
    )
    return grant.obtain(code="the-code", code_verifier="v" * 43)


@pytest.fixture
def serve(settings):
    """Start a server and make it the provider."""
    running = []

    def start(respond, **fields) -> Quirks:
        running.append(server := Quirks(respond, **fields))
        settings.STAND_IN_ORIGINS = {"https://provider.example": server.origin, **settings.STAND_IN_ORIGINS}
        return server

    yield start
    for server in running:
        server.__exit__()


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


# ── the table ───────────────────────────────────────────────────────────────────────────────────


@dataclass
class Case:
    name: str
    # The server's answer: bytes, or what makes them of a request.
    respond: bytes | Callable
    # The code of the error, or what the token is besides its access_token.
    expected: str | dict
    # How the server proves who it is, where it does: see Authority.issue.
    certificate: dict | None = None
    slow: bool = field(default=False)


def given(expected: str | dict | None = None, /, **members) -> tuple[bytes, str | dict]:
    return answer(json.dumps(TOKEN | members)), {} if expected is None else expected


def failed(status: str, body: bytes | str | dict, *headers: str, **fields) -> bytes:
    body = json.dumps(body) if isinstance(body, dict) else body
    return answer(body, *headers, status=status, **fields)


def lasting(value) -> bytes:
    return answer(json.dumps(TOKEN | {"expires_in": value}))


def endless(first: bytes, again: bytes) -> Callable:
    def respond(_request):
        yield first
        while True:
            yield again

    return respond


GOOD = json.dumps(TOKEN)
FORM = "application/x-www-form-urlencoded"
HTML = "<!doctype html><title>504</title><h1>Gateway = gone</h1>"
WORDY = {"error": "invalid_grant", "error_description": "word " * 999}
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"
DEEP = "[" * 10_000 + "]" * 10_000
BOMB = gzip.compress(b" " * 50_000_000, 9)
assert len(BOMB) < 50_000

CASES = [
    # Success shapes
    Case("JSON", answer(GOOD), {}),
    Case("JSON called HTML", answer(GOOD, content_type="text/html; charset=utf-8"), {}),
    Case("JSON called plain text", answer(GOOD, content_type="text/plain"), {}),
    Case("JSON called nothing", answer(GOOD, content_type=""), {}),
    Case("JSON with a byte order mark", answer("\ufeff" + GOOD), {}),
    Case("JSON with a wrong charset", answer(GOOD, content_type="application/json; charset=utf-16"), {}),
    Case("JSON with a charset that is none", answer(GOOD, content_type="text/json; charset=idna"), {}),
    Case("JSON in chunks", CHUNKED + chunked(GOOD.encode(), 5), {}),
    Case("JSON until the connection closes", answer(GOOD, length=-1), {}),
    Case("JSON compressed", answer(gzip.compress(GOOD.encode()), "Content-Encoding: gzip"), {}),
    Case(
        "a form",
        answer("access_token=the-token&scope=read%2Cwrite&token_type=bearer", content_type=FORM),
        {"granted_scopes": ("read", "write")},
    ),
    Case("a form called JSON", answer("access_token=the-token&token_type=bearer"), {}),
    Case("no token_type", answer('{"access_token": "the-token"}'), {}),
    Case("token_type Bearer", *given({"token_type": "Bearer"}, token_type="Bearer")),
    Case("token_type user", *given({"token_type": "user"}, token_type="user")),
    Case("token_type null", *given(token_type=None)),
    # Lifetimes: seconds, or None for unknown
    Case("expires_in missing", answer(GOOD), {"lifetime": None}),
    Case("expires_in null", lasting(None), {"lifetime": None}),
    Case("expires_in a string", lasting("3600"), {"lifetime": 3600}),
    Case("expires_in a float", lasting(3600.0), {"lifetime": 3600}),
    Case("expires_in a float as a string", lasting("3600.5"), {"lifetime": 3600}),
    Case("expires_in zero", lasting(0), {"lifetime": None}),
    Case("expires_in negative", lasting(-1), {"lifetime": None}),
    Case("expires_in 31,000 years", lasting(1e12), {"lifetime": None}),
    Case("expires_in a word", lasting("abc"), {"lifetime": None}),
    Case("expires_in no number", lasting("NaN"), {"lifetime": None}),
    Case("expires_in infinite", answer('{"access_token": "the-token", "expires_in": Infinity}'), {}),
    Case("expires_in of 400 digits", answer(GOOD[:-1] + ', "expires_in": 1' + "0" * 400 + "}"), {}),
    Case("expires_in an object", lasting({"seconds": 3600}), {"lifetime": None}),
    Case("expires_in true", lasting(True), {"lifetime": None}),
    # Refresh tokens
    Case("a new refresh token", *given({"refresh_token": "the-next"}, refresh_token="the-next")),
    Case("no refresh token", answer(GOOD), {"refresh_token": ""}),
    Case("an empty refresh token", *given({"refresh_token": ""}, refresh_token="")),
    Case("a refresh token of null", *given({"refresh_token": ""}, refresh_token=None)),
    # Errors with status 200
    Case("ok is false", answer('{"ok": false, "error": "invalid_code"}'), REFUSED),
    Case("ok is false and a token", *given(REFUSED, ok=False)),
    Case("an error", answer('{"error": "bad_verification_code"}'), "invalid_grant"),
    Case("an error beside a token", *given("invalid_client", error="incorrect_client_credentials")),
    Case("an error in a form", answer("error=redirect_uri_mismatch&error_uri=x"), "redirect_uri_mismatch"),
    Case("no access_token", answer('{"token_type": "bearer", "expires_in": 3600}'), UNREADABLE),
    Case("an empty access_token", *given(UNREADABLE, access_token=" ")),
    Case("an access_token of null", *given(UNREADABLE, access_token=None)),
    Case("an access_token that is a number", *given(UNREADABLE, access_token=1)),
    Case("a nested access_token", answer('{"ok": true, "authed_user": {"access_token": "x"}}'), UNREADABLE),
    Case("an empty body", answer(), UNREADABLE),
    Case("an empty body with status 204", answer(status="204 No Content"), UNREADABLE),
    Case("a list", answer("[1]"), UNREADABLE),
    Case("null", answer("null"), UNREADABLE),
    # Error statuses
    Case("400 invalid_grant", failed("400 Bad", {"error": "invalid_grant"}), "invalid_grant"),
    Case("400 with many words", failed("400 No", WORDY), "invalid_grant"),
    Case("401 invalid_client", failed("401 No", {"error": "invalid_client"}), "invalid_client"),
    Case("401 without a word", failed("401 No", ""), "invalid_client"),
    Case("400 unauthorized_client", failed("400 Bad", {"error": "unauthorized_client"}), REFUSED),
    Case("400 invalid_scope", failed("400 Bad", {"error": "invalid_scope"}), REFUSED),
    Case("400 an error that is an object", failed("400 Bad", {"error": {"code": 7}}), REFUSED),
    Case("403", failed("403 Forbidden", ""), UNREADABLE),
    Case("403 invalid_grant", failed("403 Forbidden", {"error": "invalid_grant"}), "invalid_grant"),
    Case("429 and when to come back", failed("429 Slow down", {}, "Retry-After: 30"), UNAVAILABLE),
    Case(
        "429 and a date",
        failed("429 Slow down", {"error": "rate_limited"}, "Retry-After: Wed, 21 Oct 2099 07:28:00 GMT"),
        UNAVAILABLE,
    ),
    Case("500", failed("500 Oops", {"error": "server_error"}), UNAVAILABLE),
    Case("500 with a token", failed("500 Oops", TOKEN), UNAVAILABLE),
    Case("502", failed("502 Bad Gateway", ""), UNAVAILABLE),
    Case("503", failed("503 Unavailable", "", "Retry-After: 120"), UNAVAILABLE),
    Case("504", failed("504 Timeout", {"message": "upstream"}), UNAVAILABLE),
    Case("504 with a page", failed("504 Timeout", HTML, content_type="text/html"), UNAVAILABLE),
    # Hostile
    Case("a page", answer(HTML, content_type="text/html"), UNREADABLE),
    Case("10 MB", answer(b" " * 10_000_000), UNREADABLE),
    Case("10 MB in chunks", CHUNKED + chunked(b" " * 10**7), UNREADABLE),
    Case("one byte too many", answer(GOOD.ljust(http.BODY_LIMIT + 1)), UNREADABLE),
    Case("just small enough", answer(GOOD.ljust(http.BODY_LIMIT)), {}),
    Case("a bomb", answer(BOMB, "Content-Encoding: gzip"), UNREADABLE),
    Case("a drip in the body", lambda _: drip(GOOD.encode(), 0.4, HEADERS + b"\r\n"), UNAVAILABLE, slow=True),
    Case("a drip in the headers", lambda _: drip(HEADERS, 0.4), UNAVAILABLE, slow=True),
    Case("silence", lambda _: [60.0], UNAVAILABLE, slow=True),
    Case("late, then silent", lambda _: [DEADLINE * 0.75, HEADERS, 60.0], UNAVAILABLE, slow=True),
    Case("headers without end", endless(HEADERS, b"X-More: and more\r\n"), UNAVAILABLE),
    Case("one header without end", endless(HEADERS + b"X-More: ", b"m" * 5000), UNAVAILABLE),
    Case("a chunk size without end", endless(CHUNKED, b"0" * 5000), UNAVAILABLE),
    Case("trailers without end", endless(CHUNKED + b"0\r\n", b"X: y\r\n" * 99), UNREADABLE),
    Case("interim answers without end", endless(b"", INTERIM * 99), UNREADABLE),
    Case("a chunk of less than nothing", endless(CHUNKED + b"-1\r\n", b"x" * 5000), UNREADABLE),
    Case("not HTTP", b"SSH-2.0-OpenSSH_9.6\r\n", UNAVAILABLE),
    Case("nothing at all", b"", UNAVAILABLE),
    Case("not UTF-8", answer(b'{"access_token": "\xff\xfe"}'), UNREADABLE),
    Case("Latin-1", answer('{"access_token": "tök"}'.encode("latin-1")), UNREADABLE),
    Case("10,000 levels", answer(DEEP), UNREADABLE),
    Case("10,000 levels beside a token", answer(f'{GOOD[:-1]}, "x": {DEEP}}}'), UNREADABLE),
    Case("the same member twice", answer('{"access_token": "one", "access_token": "two"}'), UNREADABLE),
    Case("the same pair twice", answer("access_token=one&access_token=two", content_type=FORM), UNREADABLE),
    Case("broken JSON that looks like a form", answer('{"a": &access_token=evil'), UNREADABLE),
    Case("a page that looks like a form", answer("<a href='?b=c&access_token=evil&d=e'>"), UNREADABLE),
    Case("Content-Length too long", answer(GOOD, length=999), UNAVAILABLE),
    Case("Content-Length too short", answer(GOOD, length=20), UNREADABLE),
    Case("compressed, it says", answer(GOOD, "Content-Encoding: gzip"), UNAVAILABLE),
    Case("a line break in the token", *given(UNREADABLE, access_token="the-token\r\nX-Evil: 1")),
    Case("a token that no header can carry", *given(UNREADABLE, access_token="the-token\u2026")),
    Case("half a character in a scope", *given({"granted_scopes": ("read",)}, scope="read \ud800")),
    Case("a good certificate", answer(GOOD), {}, certificate={}),
    Case("an expired certificate", answer(GOOD), UNAVAILABLE, certificate={"expired": True}),
    Case("a certificate signed by itself", answer(GOOD), UNAVAILABLE, certificate={"self_signed": True}),
    Case("a certificate of another host", answer(GOOD), UNAVAILABLE, certificate={"host": "other.example"}),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_answer_of_a_token_endpoint_is_read_or_refused(case, serve, authority, monkeypatch):
    tls = None
    if case.certificate is not None:
        monkeypatch.setattr(requests.adapters, "DEFAULT_CA_BUNDLE_PATH", str(authority.bundle))
        wanted = dict(case.certificate)
        tls = authority.issue(wanted.pop("host", "127.0.0.1"), **wanted)
    server = serve(case.respond, tls=tls)
    monkeypatch.setattr(http, "DEADLINE_SECONDS", DEADLINE)
    before, started = clock.now(), time.monotonic()
    try:
        outcome = obtain()
    except TokenError as error:
        outcome = error
    took = time.monotonic() - started
    assert took <= DEADLINE + 1
    if case.slow:
        # It was the deadline that ended it, and nothing else.
        assert took >= DEADLINE - 0.5
    else:
        assert took < 2
    if isinstance(case.expected, str):
        assert isinstance(outcome, TokenError), f"a token was taken from {case.name}"
        assert outcome.code == case.expected
        assert outcome.code in PROBLEMS
        assert len(outcome.words) <= 200
    else:
        expected = {"access_token": "the-token", "token_type": "bearer", "refresh_token": ""} | case.expected
        lifetime = expected.pop("lifetime", None)
        assert isinstance(outcome, Token), f"{outcome.code} ({outcome.words})"
        assert {name: getattr(outcome, name) for name in expected} == expected
        if lifetime is None:
            assert outcome.expires_at is None
        else:
            assert (
                timedelta(0)
                <= outcome.expires_at - before - timedelta(seconds=lifetime)
                < timedelta(seconds=2)
            )
        assert "the-token" not in repr(outcome)
    # One request and no second try, whatever came.
    assert len(server.requests) == (0 if tls and isinstance(outcome, TokenError) else 1)


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Again", "308 Gone"])
def test_a_redirect_of_the_token_endpoint_is_not_followed(status, serve, settings):
    with Quirks(answer(GOOD)) as other:
        settings.STAND_IN_ORIGINS = {"https://other.example": other.origin}
        serve(answer(GOOD, "Location: https://other.example/token", status=status))
        with pytest.raises(TokenError) as refused:
            obtain()
    assert refused.value.code == UNREADABLE
    assert other.connections == 0


def test_a_lifetime_counts_from_before_the_request(serve):
    serve(lambda _: [1.0, lasting(3600)])
    before = clock.now()
    token = obtain()
    assert token.expires_at - before < timedelta(seconds=3600.5)


MEASURE = """
import re, sys
import django
django.setup()
from connectors.manifest.auth_methods import AuthorizationCode as AuthMethod
from installations.auth.authorization_code import AuthorizationCode
from installations.auth.token_response import TokenError

def obtain(name):
    origin, texts = "https://provider.example", {"label": "OAuth", "summary": "OAuth"}
    endpoints = {"authorization_endpoint": f"{origin}/authorize", "token_endpoint": f"{origin}/{name}"}
    method = AuthMethod(type="authorization_code", **texts, **endpoints)
    grant = AuthorizationCode(method, {"client_id": "c", "client_secret": "s"}, redirect_uri="https://console.test/")
    grant.obtain(code="c", code_verifier="v" * 43)

def most():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read()).group(1))

obtain("good")
before = most()
for name in sys.argv[1:]:
    try:
        obtain(name)
    except TokenError as error:
        assert error.code == "provider_answer_unreadable", (name, error.code, error.words)
    else:
        raise SystemExit(f"a token was taken from {name}")
print(most() - before)
"""


def test_bombs_leave_no_trace_in_memory(serve, settings, tmp_path):
    """Measured in a process of its own: the most that it ever held, before and after."""
    spaces = b" " * 50_000_000
    encoded = ["Content-Encoding: gzip"]
    answers = {
        "good": answer(GOOD),
        "large": answer(b" " * 10_000_000),
        "gzip": answer(BOMB, *encoded),
        "gzip-closed": answer(BOMB, *encoded, length=-1),
        "gzip-chunked": CHUNKED_GZIP + chunked(BOMB),
        "gzip-one-chunk": CHUNKED_GZIP + chunked(BOMB, len(BOMB)),
        "deflate": answer(zlib.compress(spaces, 9), "Content-Encoding: deflate"),
        "nested": answer(gzip.compress(gzip.compress(BOMB)), "Content-Encoding: gzip, gzip, gzip"),
        "error": failed("400 Bad", BOMB, *encoded),
    }  # fmt: skip
    server = serve(lambda request: answers[request.target.strip("/")])
    script = tmp_path / "measure.py"
    script.write_text(MEASURE)
    done = subprocess.run(
        [sys.executable, script, *(name for name in answers if name != "good")],
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "DJANGO_SETTINGS_MODULE": "console.settings",
            # It asks the database for the time, and for nothing else.
            "DATABASE_URL": f"sqlite:///{tmp_path / 'empty.sqlite3'}",
            "STAND_IN_ORIGINS": f"https://provider.example={server.origin}",
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(server.requests) == len(answers)
    assert int(done.stdout) < 20_000, f"{done.stdout.strip()} kB more than before"


# ── what is sent ────────────────────────────────────────────────────────────────────────────────

SECRETS = [
    "plain",
    ":",
    "a:b:c",
    "%",
    "%3A",
    "%2",
    "+",
    "a b",
    " leading and trailing ",
    "/+=",
    "&client_id=evil",
    "=",
    "?#",
    '"quoted"',
    "back\\slash",
    "tab\tbed",
    "ü",
    "ключ",
    "鍵🔑",
    "test-client-secret/+:%ü",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_a_client_secret_arrives_as_it_is_in_basic(secret, serve):
    server = serve(answer(GOOD))
    obtain(client_id=f"id {secret}", client_secret=secret)
    (request,) = server.requests
    kind, _, encoded = request.headers["authorization"].partition(" ")
    # RFC 6749, section 2.3.1: form-encoded each, then joined, then base64.
    client_id, _, client_secret = b64decode(encoded).decode("ascii").partition(":")
    assert kind == "Basic"
    assert re.fullmatch(r"[A-Za-z0-9._~%+-]+:[A-Za-z0-9._~%+-]+", b64decode(encoded).decode())
    assert (unquote_plus(client_id), unquote_plus(client_secret)) == (f"id {secret}", secret)
    assert "client_secret" not in parse_qs(request.body.decode())


@pytest.mark.parametrize("secret", SECRETS)
def test_a_client_secret_arrives_as_it_is_in_the_body(secret, serve):
    server = serve(answer(GOOD))
    obtain(client_id=f"id {secret}", client_secret=secret, token_endpoint_auth_method="client_secret_post")
    (request,) = server.requests
    sent = parse_qs(request.body.decode("ascii"), keep_blank_values=True)
    assert (sent["client_id"], sent["client_secret"]) == ([f"id {secret}"], [secret])
    assert "authorization" not in request.headers


def test_a_code_is_exchanged_with_what_the_standard_asks_for_and_nothing_else(serve):
    server = serve(answer(GOOD))
    obtain()
    (request,) = server.requests
    assert (request.method, request.target, request.headers["host"]) == ("POST", "/token", "provider.example")
    assert request.headers["content-type"] == FORM
    assert parse_qs(request.body.decode()) == {
        "grant_type": ["authorization_code"],
        "code": ["the-code"],
        "code_verifier": ["v" * 43],
        "redirect_uri": ["https://console.test/oauth/callback/1/"],
    }


def test_a_provider_that_wants_a_get_has_the_same_in_its_query(serve):
    server = serve(answer(GOOD))
    obtain(token_request_method="GET", token_endpoint_auth_method="client_secret_post")
    (request,) = server.requests
    assert request.method == "GET"
    assert parse_qs(urlsplit(request.target).query)["client_secret"] == ["the-secret"]
    assert request.body == b""


@pytest.mark.parametrize(
    ("said", "granted"),
    [
        ({"scope": "a b"}, ("a", "b")),
        ({"scope": "a b c d"}, ("a", "b", "c", "d")),
        ({"scope": "c b a"}, ("c", "b", "a")),
        ({}, None),
        ({"scope": "a,b,c"}, ("a", "b", "c")),
        ({"scope": ""}, ()),
        ({"scope": ["a", "b"]}, ("a", "b")),
        ({"scope": None}, None),
    ],
    ids=["narrowed", "widened", "reordered", "absent", "commas", "none", "a list", "null"],
)
def test_granted_scopes_are_what_the_provider_said(said, granted, serve):
    """Asked for were a, b and c. Not saying anything is not the same as granting nothing."""
    serve(answer(json.dumps(TOKEN | said)))
    grant = AuthorizationCode(
        method(),
        {"client_id": "the-client", "client_secret": "the-secret"},
        redirect_uri="https://console.test/",
    )
    grant.authorization_url(scopes=["a", "b", "c"], state="s", code_verifier="v" * 43)
    assert grant.obtain(code="the-code", code_verifier="v" * 43).granted_scopes == granted
