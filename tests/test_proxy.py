"""Calls to a provider by way of the console: what gets through, in which form, and what does not."""

import base64
import gzip
import json
import re
import socket
import time
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from console import bearer, streams
from console import http as door
from console.models import Account, Partner
from console.problems import ProblemError
from console.tenancy import Principal
from installations import circuits, fresh
from installations.auth import Token
from installations.models import Circuit, Credential, CredentialVersion
from installations.proxying import calling
from tests.calling import caller
from tests.proxied import connected
from tests.rotating import connected as connected_at_rotating
from tests.rotating import store_client
from tests.stand_ins.quirks import Quirks, answer, chunked
from tests.test_http import (  # noqa: F401 - two of them are fixtures
    LOOPBACK_SPELLINGS,
    SPECIAL_IPV4,
    SPECIAL_IPV6,
    loopback_is_public,
    resolve,
)

pytestmark = pytest.mark.django_db
GOOD = answer('{"items": []}', close=False)
KEY = "sk_live_1"
# By partner, of the test that runs.
_keys: dict = {}


@pytest.fixture(autouse=True)
def _alone(settings):
    bearer._seen_good.clear()
    _keys.clear()
    settings.API_CALLS_PER_MINUTE = 1_000_000
    calling._doubtful.clear()
    yield
    while streams._kept:
        streams._kept.pop()[1].close()
    # A call that has ended has left its room.
    assert calling.Room._under_way == {}


@pytest.fixture
def provider(settings):
    with Quirks(GOOD) as server:
        settings.STAND_IN_ORIGINS = {"https://*": server.origin}
        yield server


@pytest.fixture
def stripe(account):
    return connected(account, "stripe", "restricted_key", Token(values={"api_key": KEY}))


def shop_at(account, host: str):
    """An installation whose provider is a server of the customer's own."""
    token = Token(values={"consumer_key": "ck_1", "consumer_secret": "cs_1"})
    return connected(account, "woocommerce", "http_basic", token, values={"host": host})


@pytest.fixture
def shop(account):
    return shop_at(account, "shop.example")


def key_of(partner: Partner) -> str:
    """One for each: a call looks a key up and notes once that it is used."""
    if partner.pk not in _keys:
        _keys[partner.pk] = caller(partner, ["proxy"], last_used_at=timezone.now()).written
    return _keys[partner.pk]


def call(
    installation, method: str = "GET", target: str = "items", body: bytes = b"", *, by=None, headers=(), **env
):
    """As the partner's own software does."""
    base = f"/api/v1/installations/{installation.pk}/proxy/"
    path, _, query = target.partition("?")
    headers = dict(headers)
    return Client(HTTP_HOST="console.test", raise_request_exception=False).generic(
        method,
        base,
        body,
        content_type=headers.pop("Content-Type", ""),
        headers={**headers, "Authorization": f"Bearer {key_of(by or installation.partner)}"},
        **{"QUERY_STRING": query, "RAW_URI": base + target, "PATH_INFO": base + path, **env},
    )


def problem(response) -> str:
    """The code of the problem; everything but the answer of a provider is one."""
    assert response.headers["Content-Type"] == "application/problem+json"
    told = json.loads(response.content)
    assert told["status"] == response.status_code
    assert "Via" not in response.headers
    return told["type"].removeprefix("http://console.test/api/problems/#")


# ── what is sent ────────────────────────────────────────────────────────────────────────────────


def test_a_call_arrives_with_the_credential_and_comes_back_as_it_is(provider, stripe):
    found = call(stripe, target="items?page=2&sort=a%20b", headers={"X-Shop-Version": "7", "Accept": "x/y"})
    assert (found.status_code, found.content) == (200, b'{"items": []}')
    assert found.headers["Via"] == "1.1 Partner-Console"
    (sent,) = provider.requests
    assert (sent.method, sent.target) == ("GET", "/v1/items?page=2&sort=a%20b")
    assert sent.headers == {
        "host": "api.stripe.com",
        "authorization": f"Bearer {KEY}",
        "accept": "x/y",
        "accept-encoding": "identity",
        "user-agent": "Partner-Console",
        "x-shop-version": "7",
    }


@pytest.fixture
def mailchimp(account):
    return connected(account, "mailchimp-transactional", "api_key", Token(values={"api_key": 'md-"1'}))


JSON, FORM = (
    {"Content-Type": "application/json; charset=utf-8"},
    {"Content-Type": "application/x-www-form-urlencoded"},
)
WRITTEN = {
    "an object": (JSON, b'{"n": 1.10, "big": 1e999}', b'{"key": "md-\\"1", "n": 1.10, "big": 1e999}'),
    "an object of nothing": (JSON, b" { } ", b'{"key": "md-\\"1" } '),
    "no body at all": ({}, b"", b'{"key": "md-\\"1"}'),
    "a form": (FORM, b"a=1&b=%20", b"key=md-%221&a=1&b=%20"),
    "a form of nothing": (FORM, b"", b'{"key": "md-\\"1"}'),
}


@pytest.mark.parametrize(("headers", "body", "sent"), WRITTEN.values(), ids=WRITTEN)
def test_a_credential_that_belongs_into_the_body_stands_in_front_of_it(
    provider, mailchimp, headers, body, sent
):
    assert call(mailchimp, "POST", "users/info.json", body, headers=headers).status_code == 200
    (request,) = provider.requests
    assert request.body == sent
    assert request.headers["content-length"] == str(len(sent))
    assert "authorization" not in request.headers


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_where_a_body_means_nothing_none_is_made(provider, mailchimp, method):
    call(mailchimp, method, "users/info.json")
    assert provider.requests[0].body == b""


REFUSED_BODIES = {
    "the credential's own member": (JSON, b'{"key": "another"}', "value_unusable"),
    "it by another spelling": (JSON, b'{"\\u006bey": "another"}', "value_unusable"),
    "it in a form": (FORM, b"a=1&k%65y=another", "value_unusable"),
    "a list": (JSON, b"[1]", "value_unusable"),
    "half an object": (JSON, b'{"a": ', "value_unusable"),
    "two objects": (JSON, b"{}{}", "value_unusable"),
    "another encoding": (JSON, '{"a": 1}'.encode("utf-16"), "value_unusable"),
    "neither of them": ({"Content-Type": "text/plain"}, b"{}", "value_unusable"),
    "too much": (JSON, b'{"a": "' + b"x" * 70_000 + b'"}', "body_not_signable"),
    "too deep": (JSON, b'{"a": ' + b"[" * 30_000 + b"]" * 30_000 + b"}", "value_unusable"),
}


@pytest.mark.parametrize(("headers", "body", "code"), REFUSED_BODIES.values(), ids=REFUSED_BODIES)
def test_a_body_that_the_credential_does_not_fit_into_is_not_sent(provider, mailchimp, headers, body, code):
    assert problem(call(mailchimp, "POST", "users/info.json", body, headers=headers)) == code
    assert provider.requests == []


def test_one_question_who_calls_and_one_what_is_called(provider, stripe, django_assert_num_queries):
    call(stripe)
    with django_assert_num_queries(2):
        assert call(stripe).status_code == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])
def test_any_method_is_passed_on_with_its_body(method, provider, stripe):
    body = b"" if method in ("GET", "HEAD") else b'{"name": "Rope"}'
    provider.respond = answer("" if method == "HEAD" else GOOD.partition(b"\r\n\r\n")[2], close=False)
    assert call(stripe, method, body=body, headers={"Content-Type": "application/json"}).status_code == 200
    (sent,) = provider.requests
    assert (sent.method, sent.body) == (method, body)
    assert sent.headers.get("content-type") == ("application/json" if body else None)


@pytest.mark.parametrize("method", ["CONNECT", "TRACE"])
def test_a_method_that_is_about_the_way_itself_is_not(method, provider, stripe):
    assert problem(call(stripe, method)) == "proxy_request_refused"
    assert provider.requests == []


def test_without_a_path_the_base_itself_is_called(provider, stripe):
    assert call(stripe, target="").status_code == 200
    assert provider.requests[0].target == "/v1"


def test_each_way_to_authenticate_puts_its_credential_where_the_connector_says(provider, account):
    def sent(slug: str, method: str, token: Token, target: str = "items", **fields):
        assert call(connected(account, slug, method, token, **fields), target=target).status_code == 200
        return provider.requests[-1]

    found = sent(
        "heartland-retail", "api_key", Token("t-1"), discovered={"host": "harbor.retail.heartland.us"}
    )
    assert found.headers["host"] == "harbor.retail.heartland.us"
    assert (found.headers["authorization"], found.target) == ("Bearer t-1", "/api/items")

    found = sent("insightly", "http_basic", Token(values={"api_key": "k-1"}), values={"pod": "na1"})
    assert found.headers["host"] == "api.na1.insightly.com"
    assert found.headers["authorization"] == "Basic " + base64.b64encode(b"k-1:").decode()

    found = sent("trello", "token", Token(values={"token": "ATTA1"}), "boards?a=1", values={"api_key": "abc"})
    assert found.target == "/1/boards?a=1&key=abc&token=ATTA1"

    secrets = dict.fromkeys(("consumer_key", "consumer_secret", "token_id", "token_secret"), "s1")
    found = sent("netsuite", "oauth1", Token(values=secrets), values={"account_id": "1234567_SB1"})
    assert found.headers["host"] == "1234567-sb1.suitetalk.api.netsuite.com"
    assert re.match(r'OAuth realm="1234567_SB1",.*oauth_signature="', found.headers["authorization"])

    found = sent(
        "trello",
        "oauth1_redirection",
        Token("tok", values={"token_secret": "s"}),
        values={"api_key": "abc", "api_secret": "xyz"},
    )
    assert 'oauth_token="tok"' in found.headers["authorization"]

    token = Token(values={"access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "wJalrXUtnFEMI"})
    place = {"region": "eu-central-1", "bucket": "files"}
    found = sent("amazon-s3", "aws_signature", token, "a%20b?list-type=2", values=place)
    assert found.target == "/files/a%20b?list-type=2"
    assert found.headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/")

    found = sent("open-food-facts", "none", Token())
    assert "authorization" not in found.headers


def test_what_the_partner_stored_is_filled_in(provider, account, owner):
    from connectors.models import ConnectorSettings

    settings = ConnectorSettings.objects.for_connector(account.partner_id, "trello")
    settings.change(owner.principal, {"api_key": "partners"})
    row = connected(account, "trello", "token", Token(values={"token": "ATTA1"}))
    assert call(row).status_code == 200
    assert provider.requests[0].target == "/1/items?key=partners&token=ATTA1"


def test_a_form_is_part_of_the_signature_and_a_large_one_is_refused(provider, account):
    secrets = dict.fromkeys(("consumer_key", "consumer_secret", "token_id", "token_secret"), "s1")
    row = connected(account, "netsuite", "oauth1", Token(values=secrets), values={"account_id": "1234567"})
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert call(row, "POST", body=b"name=Rope", headers=form).status_code == 200
    assert provider.requests[0].body == b"name=Rope"
    assert problem(call(row, "POST", body=b"a=" + b"x" * 100_000, headers=form)) == "body_not_signable"
    other = {"Content-Type": "application/json"}
    assert call(row, "POST", body=b"x" * 100_000, headers=other).status_code == 200
    # What cannot be part of a signature.
    assert problem(call(row, target="items?q=a[1]")) == "value_unusable"
    assert problem(call(row, target="items?oauth_token=mine")) == "proxy_request_refused"
    assert len(provider.requests) == 2


def test_a_body_that_is_not_held_goes_to_s3_unsigned_and_its_own_headers_are_signed(provider, account):
    token = Token(values={"access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "wJalrXUtnFEMI"})
    place = {"region": "eu-central-1", "bucket": "files"}
    row = connected(account, "amazon-s3", "aws_signature", token, values=place)
    headers = {"X-Amz-Acl": "private", "X-Amz-Date": "evil", "X-Amz-Security-Token": "evil"}
    assert call(row, "PUT", "a", b"x" * 100_000, headers=headers).status_code == 200
    (sent,) = provider.requests
    assert sent.headers["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"
    signed = "SignedHeaders=host;x-amz-acl;x-amz-content-sha256;x-amz-date"
    assert signed in sent.headers["authorization"]
    assert "evil" not in sent.everything
    assert problem(call(row, target="a?X-Amz-Signature=mine")) == "proxy_request_refused"


# ── row 21: nobody but us says where to and with what ───────────────────────────────────────────

EVIL = "evil.example"
OVERRIDES = [
    *[
        {name: EVIL}
        for name in (
            "Host",
            "Cookie",
            "Cookie2",
            "Proxy-Authorization",
            "Proxy-Connection",
            "Proxy-Authenticate",
            "X-Forwarded-For",
            "X-Forwarded-Host",
            "X-Forwarded-Server",
            "X-Forwarded-Proto",
            "X-Forwarded-Port",
            "X-Forwarded",
            "X-Forwarded-Prefix",
            "Forwarded",
            "X-Real-IP",
            "X-Client-IP",
            "X-Cluster-Client-IP",
            "True-Client-IP",
            "CF-Connecting-IP",
            "Fastly-Client-IP",
            "Client-IP",
            "X-Host",
            "X-HTTP-Host-Override",
            "X-Original-Host",
            "X-Original-URL",
            "X-Rewrite-URL",
            "Via",
            "Origin",
            "Referer",
            "Keep-Alive",
            "TE",
            "Trailer",
            "Upgrade",
            "HTTP2-Settings",
            "Sec-WebSocket-Key",
            "Max-Forwards",
        )
    ],
    # Named by Connection it is for us alone.
    {"Connection": "close, X-Secret", "X-Secret": EVIL},
    {"Connection": f"upgrade, {EVIL}"},
    {"X-Note": f"a\r\nAuthorization: Bearer {EVIL}"},
    {"X-Note": f"a\nHost: {EVIL}"},
]


def test_there_are_forty_ways_to_override():
    assert len(OVERRIDES) == 40


@pytest.mark.parametrize("headers", OVERRIDES, ids=lambda headers: " ".join(headers))
def test_no_header_of_the_caller_says_where_to_or_as_whom(headers, provider, stripe):
    found = call(stripe, headers=headers)
    assert found.status_code in (200, 400)
    for sent in provider.requests:
        assert EVIL not in sent.everything
        assert (sent.headers["host"], sent.headers["authorization"]) == ("api.stripe.com", f"Bearer {KEY}")
    assert bool(provider.requests) == (found.status_code == 200)
    if "\n" in str(headers.get("X-Note", "")):
        assert problem(found) == "proxy_request_refused"


@pytest.mark.parametrize(
    "query", ["key=mine", "a=1&KEY=mine", "%6bey=mine", "a=1;key=mine", "key[]=mine", "token=mine", "key"]
)
def test_no_parameter_takes_the_place_of_the_credential(query, provider, account):
    row = connected(account, "trello", "token", Token(values={"token": "ATTA1"}), values={"api_key": "abc"})
    assert problem(call(row, target=f"boards?{query}")) == "proxy_request_refused"
    assert provider.requests == []


@pytest.mark.parametrize(
    "target",
    [
        "../v2/items",
        "a/../../x",
        "%2e%2e/x",
        "a/%2E./x",
        "..%2fx",
        "..%5cx",
        "%252e%252e/x",
        "..;/x",
        "/evil.example/x",
        "%2Fevil.example",
        "a b",
        "a\x00",
        "a%00b",
        "a%0d%0aHost:evil",
        "é",
        "a?b=é",
        "a?b c",
    ],
)
def test_no_path_leads_out_of_its_place(target, provider, stripe):
    assert problem(call(stripe, target=target)) == "proxy_request_refused"
    assert provider.requests == []


def test_an_address_that_is_written_otherwise_than_it_was_routed_is_refused(provider, stripe):
    for written in ("http://evil.example/x", f"/api/v1/installations/{stripe.pk}/%70roxy/items", "*"):
        assert problem(call(stripe, RAW_URI=written)) == "proxy_request_refused"
    assert provider.requests == []


@pytest.mark.parametrize(
    "framing",
    [
        {"HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": "5", "wsgi.input_terminated": True},
        {"HTTP_TRANSFER_ENCODING": "gzip, chunked", "CONTENT_LENGTH": "", "wsgi.input_terminated": True},
        # A server that does not say where it ends.
        {"HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": ""},
        {"CONTENT_LENGTH": "5, 6"},
        {"CONTENT_LENGTH": "+5"},
        {"CONTENT_LENGTH": "-5"},
        {"CONTENT_LENGTH": "٥"},
    ],
)
def test_a_body_whose_end_is_not_clear_is_refused(framing, provider, stripe):
    assert problem(call(stripe, "POST", body=b"hello", **framing)) == "proxy_request_refused"
    assert provider.requests == []


# ── row 18: addresses ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("address", [*SPECIAL_IPV4, *SPECIAL_IPV6])
def test_no_customers_server_is_at_a_special_address(address, shop, resolve):  # noqa: F811
    asked = resolve("shop.example", address)
    found = call(shop)
    assert problem(found) == "provider_unavailable"
    assert "not public" in json.loads(found.content)["words"]
    assert asked == ["shop.example"]


@pytest.mark.parametrize("host", LOOPBACK_SPELLINGS[:10])
def test_no_spelling_of_this_machine_is_called(host, account, monkeypatch):
    with Quirks(GOOD) as server:
        monkeypatch.setattr(door, "PORTS", {server.port})
        row = shop_at(account, f"{host}:{server.port}")
        assert call(row).status_code in (400, 502)
        assert server.connections == 0


@pytest.mark.parametrize("first", [True, False])
def test_a_name_with_a_public_and_a_private_address_is_refused(first, shop, resolve):  # noqa: F811
    both = ["127.0.0.1", "93.184.216.34"]
    resolve("shop.example", *(both if first else reversed(both)))
    assert problem(call(shop)) == "provider_unavailable"


def test_the_address_that_was_checked_is_the_one_connected_to(account, resolve, loopback_is_public):  # noqa: F811
    """A name that answers differently each time gains nothing."""
    right = Quirks(None, host="127.0.0.2")
    wrong = Quirks(None, host="127.0.0.1", port=right.port)
    with right, wrong:
        loopback_is_public("127.0.0.2", port=right.port)
        answers = []

        def rebinding():
            answers.append(["127.0.0.2", "127.0.0.1"][len(answers) % 2])
            return [answers[-1]]

        resolve("shop.example", rebinding)
        row = shop_at(account, f"shop.example:{right.port}")
        for _ in range(20):
            calling._doubtful.clear()
            Circuit.objects.all().delete()
            assert problem(call(row)) == "provider_unavailable"
        assert (wrong.connections, right.connections, len(answers)) == (0, 10, 20)


def test_other_ports_are_refused(account):
    found = call(shop_at(account, "shop.example:6379"))
    assert problem(found) == "provider_unavailable"
    assert "port 6379" in json.loads(found.content)["words"]


# ── row 19: what is filled into an address ──────────────────────────────────────────────────────

CONFINED = [
    ("freshdesk", "domain", ".freshdesk.com"),
    ("zendesk", "subdomain", ".zendesk.com"),
    ("gorgias", "subdomain", ".gorgias.com"),
    ("jira", "site", ".atlassian.net"),
    ("chargebee", "site", ".chargebee.com"),
    ("bigcommerce", "store_hash", "api.bigcommerce.com"),
    ("insightly", "pod", ".insightly.com"),
    ("mailchimp", "dc", ".api.mailchimp.com"),
    ("snowflake", "account", ".snowflakecomputing.com"),
    ("amazon-s3", "region", ".amazonaws.com"),
]
INJECTED = [
    "evil.com#",
    "evil.com/",
    "evil.com?",
    "evil.com\\",
    "a@evil.com",
    "a@evil.com/",
    "a:b@evil.com#",
    "a.evil.com/..",
    "evil.com%2f",
    "evil.com%23",
    "%2e%2e",
    "..",
    "a/../..",
    "evil.com:80",
    "evil.com\r\nHost: evil.com",
    "evil.com\n",
    "e\N{FULLWIDTH SOLIDUS}vil.com",
    "evil\N{IDEOGRAPHIC FULL STOP}com\N{FULLWIDTH NUMBER SIGN}",
    "",
    "a" * 300,
]


@pytest.mark.parametrize("text", INJECTED, ids=range(len(INJECTED)))
@pytest.mark.parametrize(("slug", "name", "suffix"), CONFINED, ids=[slug for slug, _, _ in CONFINED])
def test_no_value_leads_out_of_the_providers_domain(slug, name, suffix, text, provider, account):
    """As if a form had let it through: the address itself holds."""
    from connectors import registry

    manifest = registry.get(slug).manifest
    method = manifest.auth_methods[0]
    values = {prop.name: prop.example or "abc1" for prop in manifest.properties_for(method.key)}
    token = Token("abc1", values={"token_secret": "abc1", "access_token": "abc1"})
    row = connected(account, slug, method.key, token, values={**values, name: text})
    found = call(row)
    assert found.status_code in (200, 400)
    for sent in provider.requests:
        assert sent.headers["host"].endswith(suffix)
    if found.status_code == 400:
        assert problem(found) == "value_unusable"
        assert provider.requests == []


# ── row 20: redirects ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Again", "308 Gone"])
@pytest.mark.parametrize(
    "location",
    ["https://other.example/x", "http://other.example/", "https://169.254.169.254/", "/v1/elsewhere"],
)
def test_a_redirect_is_the_callers_to_follow(status, location, stripe, settings):
    with Quirks(GOOD) as other, Quirks(answer("", f"Location: {location}", status=status)) as server:
        settings.STAND_IN_ORIGINS = {
            "https://api.stripe.com": server.origin,
            "https://*": other.origin,
            "http://*": other.origin,
        }
        found = call(stripe, "POST", body=b"x")
        assert (found.status_code, found.headers["Location"]) == (int(status[:3]), location)
        assert (len(server.requests), other.connections) == (1, 0)


# ── what comes back ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", ["201 Created", "204 No Content", "304 Not Modified", "400 Bad", "404 No"])
def test_a_status_comes_back_as_it_is(status, provider, stripe):
    body = "" if status[:3] in ("204", "304") else '{"id": 1}'
    provider.respond = answer(body, status=status, length=None if body else -1, close=False)
    found = call(stripe)
    assert (found.status_code, found.reason_phrase) == (int(status[:3]), status[4:])
    assert found.content.decode() == body
    assert call(stripe).status_code == int(status[:3])
    assert provider.connections == 1


def test_a_compressed_answer_is_not_unpacked(provider, stripe):
    packed = gzip.compress(b'{"items": []}')
    provider.respond = answer(
        packed, "Content-Encoding: gzip", 'ETag: "1"', "Link: </v1/items?p=2>; rel=next"
    )
    found = call(stripe, headers={"Accept-Encoding": "gzip, br", "If-None-Match": '"0"'})
    assert found.content == packed
    assert found.headers["Content-Encoding"] == "gzip"
    assert found.headers["ETag"] == '"1"'
    assert found.headers["Link"] == "</v1/items?p=2>; rel=next"
    assert provider.requests[0].headers["accept-encoding"] == "gzip, br"
    assert provider.requests[0].headers["if-none-match"] == '"0"'


def test_a_head_says_how_long_it_would_be(provider, stripe):
    provider.respond = answer("", length=12345, close=False)
    for _ in range(2):
        found = call(stripe, "HEAD")
        assert (found.headers["Content-Length"], found.content) == ("12345", b"")
    assert provider.connections == 1


def test_an_answer_in_chunks_comes_back_whole_and_its_trailers_are_left_out(provider, stripe):
    body = b"0123456789" * 1000
    coded = chunked(body).removesuffix(b"\r\n") + b"Set-Cookie: late=1\r\n\r\n"
    provider.respond = answer(coded, "Transfer-Encoding: chunked", length=-1, close=False)
    for _ in range(2):
        found = call(stripe)
        assert b"".join(found.streaming_content) == body
        assert "Set-Cookie" not in found.headers
        assert not found.cookies
    assert provider.connections == 1


def test_nothing_comes_back_that_would_work_on_our_own_address(provider, stripe):
    unsafe = [
        "Set-Cookie: session=evil; Path=/",
        "Set-Cookie2: session=evil",
        "Clear-Site-Data: evil",
        "Strict-Transport-Security: evil",
        "Access-Control-Allow-Origin: evil",
        "Access-Control-Allow-Credentials: evil",
        "Service-Worker-Allowed: evil",
        "X-Accel-Redirect: /evil",
        "X-Accel-Buffering: evil",
        "X-Sendfile: /evil",
        "Refresh: 0; url=https://evil.example",
        "Alt-Svc: evil",
        "Content-Security-Policy: evil",
        "X-Frame-Options: evil",
        "Cross-Origin-Opener-Policy: evil",
        "Keep-Alive: evil",
        "Proxy-Authenticate: evil",
        "Upgrade: evil",
        "Connection: close, X-Private",
        "X-Private: evil",
        "Server: evil",
        "Date: evil",
    ]
    provider.respond = answer("<script>1</script>", *unsafe, content_type="text/html", close=False)
    found = call(stripe)
    assert "evil" not in str(found.headers) + str(found.cookies)
    assert found.headers["Content-Security-Policy"].startswith("default-src 'none'; sandbox")
    assert found.headers["X-Content-Type-Options"] == "nosniff"
    assert found.headers["Content-Disposition"] == "attachment"
    assert found.headers["Content-Type"] == "text/html"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("", "no-store"),
        ("public, max-age=60", "private, max-age=60"),
        ("s-maxage=60,  Public", "private"),
        ("no-store", "private, no-store"),
    ],
)
def test_what_one_caller_gets_no_cache_gives_to_another(said, told, provider, stripe):
    provider.respond = answer("{}", *([f"Cache-Control: {said}"] if said else []))
    assert call(stripe).headers["Cache-Control"] == told


def test_interim_answers_are_waited_through_and_another_protocol_is_not_spoken(provider, stripe):
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
    provider.respond = b"HTTP/1.1 100 Continue\r\n\r\n" + early + early + GOOD
    assert call(stripe).status_code == 200
    provider.respond = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"
    assert problem(call(stripe)) == "provider_unavailable"


@pytest.mark.parametrize("value", ["a\r\n b", "a\n b", "a\r b", "a\0b", "a\vb", "a\x7fb"])
def test_a_header_that_is_folded_or_holds_control_characters_comes_back_as_one_line(value, provider, stripe):
    provider.respond = answer("{}", f"X-Note: {value}")
    assert call(stripe).headers["X-Note"] == "a b"


@pytest.mark.parametrize(
    "headers",
    [
        ["Content-Length: 13", "Content-Length: 14"],
        ["Content-Length: 13", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: gzip"],
        ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
        ["Content-Length: -1"],
        ["Content-Length: 1_3"],
    ],
)
def test_an_answer_that_can_be_read_in_two_ways_is_refused(headers, provider, stripe):
    provider.respond = answer('{"items": []}', *headers, length=-1, close=False)
    assert problem(call(stripe)) == "provider_unavailable"
    provider.respond = GOOD
    assert call(stripe).status_code == 200
    assert provider.connections == 2


@pytest.mark.parametrize(
    "respond",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        answer("{}", length=100),
    ],
    ids=["nothing", "nonsense", "many headers", "a long header", "breaks off"],
)
def test_what_is_no_answer_is_told_as_such(respond, provider, stripe):
    provider.respond = respond
    assert problem(call(stripe)) == "provider_unavailable"


def test_a_provider_that_takes_too_long_is_told_as_such(provider, stripe, monkeypatch):
    monkeypatch.setattr(streams, "HEADERS_SECONDS", 0.4)
    # Each piece in time, and all of them never.
    provider.respond = lambda _: [part for _ in range(20) for part in (b"H", 0.1)]
    started = time.monotonic()
    found = call(stripe)
    assert (problem(found), found.status_code) == ("provider_timeout", 504)
    assert time.monotonic() - started < 1.5


def test_a_body_that_stops_is_not_waited_for_longer_than_a_piece(provider, stripe, monkeypatch):
    monkeypatch.setattr(streams, "IDLE_SECONDS", 0.4)
    provider.respond = lambda _: [answer(b"x" * 100, length=200_000), 5.0]
    found = call(stripe)
    started = time.monotonic()
    with pytest.raises(ConnectionResetError):
        list(found.streaming_content)
    assert time.monotonic() - started < 2


def test_nobody_answers(stripe, settings):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    settings.STAND_IN_ORIGINS = {"https://*": f"http://127.0.0.1:{port}"}
    found = call(stripe)
    assert (problem(found), found.status_code) == ("provider_unavailable", 502)


# ── again ───────────────────────────────────────────────────────────────────────────────────────


def test_a_connection_that_waited_and_died_is_replaced_for_what_may_be_sent_twice(provider, stripe):
    # It hangs up on the second request of each connection.
    seen = []

    def respond(request):
        seen.append(request.method)
        return GOOD if len(seen) != 2 else b""

    provider.respond = respond
    assert call(stripe).status_code == 200
    assert call(stripe).status_code == 200
    assert seen == ["GET", "GET", "GET"]
    seen.clear()
    assert call(stripe).status_code == 200
    assert problem(call(stripe, "POST", body=b"x")) == "provider_unavailable"
    assert seen == ["GET", "POST"]


@pytest.mark.parametrize("status", ["429 Busy", "502 Bad", "503 Down", "504 Late"])
def test_a_passing_fault_is_tried_again_only_if_the_caller_asks_for_it(status, provider, stripe):
    def respond(request):
        failing = len(provider.requests) % 3
        return answer("{}", "Retry-After: 0", status=status, close=False) if failing else GOOD

    provider.respond = respond
    assert call(stripe).status_code == int(status[:3])
    provider.requests.clear()
    assert call(stripe, headers={"Partner-Console-Retries": "2"}).status_code == 200
    assert len(provider.requests) == 3
    assert "partner-console-retries" not in provider.requests[0].headers
    provider.requests.clear()
    assert call(stripe, headers={"Partner-Console-Retries": "1"}).status_code == int(status[:3])
    assert len(provider.requests) == 2
    provider.requests.clear()
    found = call(stripe, "POST", body=b"x", headers={"Partner-Console-Retries": "3"})
    assert (found.status_code, len(provider.requests)) == (int(status[:3]), 1)
    assert problem(call(stripe, headers={"Partner-Console-Retries": "4"})) == "proxy_request_refused"


def test_as_long_as_a_provider_asks_for_is_waited_and_no_thread_waits_long(provider, stripe):
    def respond(request):
        return GOOD if len(provider.requests) > 1 else answer("", "Retry-After: 1", status="429 Busy")

    provider.respond = respond
    started = time.monotonic()
    assert call(stripe, headers={"Partner-Console-Retries": "1"}).status_code == 200
    assert 1 <= time.monotonic() - started < 3
    provider.respond = answer("", "Retry-After: 120", status="429 Busy")
    started = time.monotonic()
    found = call(stripe, headers={"Partner-Console-Retries": "3"})
    assert (found.status_code, found.headers["Retry-After"]) == (429, "120")
    assert time.monotonic() - started < 1


def test_a_provider_that_is_down_is_left_alone_for_a_while(provider, stripe, shop):
    provider.respond = answer("", status="503 Down")
    assert [call(stripe).status_code for _ in range(circuits.FAILURES)] == [503] * circuits.FAILURES
    found = call(stripe)
    assert problem(found) == "provider_unavailable"
    assert int(found.headers["Retry-After"]) > 0
    assert len(provider.requests) == circuits.FAILURES
    # Another host is another matter.
    assert call(shop).status_code == 503
    assert len(provider.requests) == circuits.FAILURES + 1
    # Its time has come: one asks, and finds it back.
    Circuit.objects.update(open_until=timezone.now() - timedelta(seconds=1))
    provider.respond = GOOD
    assert call(stripe).status_code == 200
    assert not Circuit.objects.filter(connector__startswith="stripe").exists()


@pytest.mark.parametrize(
    "status", ["400 Bad", "403 No", "404 No", "409 Conflict", "422 Bad", "429 Busy", "500 X"]
)
def test_what_a_provider_says_of_a_call_says_nothing_of_the_provider(status, provider, stripe):
    provider.respond = answer("", status=status, close=False)
    assert {call(stripe).status_code for _ in range(8)} == {int(status[:3])}
    assert len(provider.requests) == 8
    assert not Circuit.objects.exists()


# ── the token ───────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def renewable(rotating, account):
    store_client(account.partner)
    (row,) = connected_at_rotating(rotating, account, ["g1"])
    return row


def test_a_token_that_is_refused_is_renewed_once_and_the_call_repeated(rotating, renewable):
    before = Credential.objects.get(installation=renewable).current_id
    assert call(renewable, target="me").status_code == 200
    asked = rotating.asked
    rotating.control(expire="g1")
    found = call(renewable, target="me")
    assert found.status_code == 200
    assert rotating.asked["token"] == asked["token"] + 1
    assert Credential.objects.get(installation=renewable).current_id != before


def test_a_token_that_ends_is_renewed_before_the_call(rotating, account):
    store_client(account.partner)
    (row,) = connected_at_rotating(rotating, account, ["g1"], ends_in=-10)
    assert call(row, target="me").status_code == 200


def test_a_refusal_that_is_none_of_the_tokens_costs_one_renewal_and_no_more(rotating, renewable, settings):
    with Quirks(answer('{"error": "no"}', status="401 No", close=False)) as server:
        rotating_origin = settings.STAND_IN_ORIGINS["https://rotating.test"]
        tokens_asked = []

        def respond(request):
            if request.target.startswith("/token"):
                import urllib.request

                tokens_asked.append(1)
                asked = urllib.request.Request(
                    rotating_origin + request.target,
                    request.body,
                    {"Content-Type": request.headers["content-type"]},
                )
                with urllib.request.urlopen(asked) as found:
                    return answer(found.read(), close=False)
            return answer('{"error": "no"}', "WWW-Authenticate: Bearer", status="401 No", close=False)

        server.respond = respond
        settings.STAND_IN_ORIGINS = {"https://rotating.test": server.origin}
        for _ in range(4):
            found = call(renewable, target="me")
            assert (found.status_code, found.content) == (401, b'{"error": "no"}')
        assert len(tokens_asked) == 1
        # The first call was repeated with the new token, the others were sent once.
        assert len(server.requests) - len(tokens_asked) == 5


def test_a_large_body_is_not_repeated_but_the_next_call_has_a_new_token(rotating, renewable):
    rotating.control(expire="g1")
    asked = rotating.asked
    assert call(renewable, "POST", "me", b"x" * 100_000).status_code == 401
    assert rotating.asked["token"] == asked["token"] + 1
    assert call(renewable, target="me").status_code == 200


# ── who may call what ───────────────────────────────────────────────────────────────────────────


def test_another_partners_installation_is_not_there(provider, stripe, contoso):
    assert problem(call(stripe, by=contoso)) == "not_found"
    assert provider.requests == []


def test_a_setup_link_calls_nothing(stripe):
    principal = Principal(
        partner_id=stripe.partner_id, actor="a link", setup_link_id=stripe.pk, installation_id=stripe.pk
    )
    with pytest.raises(ProblemError, match="not_found"):
        fresh.find(principal, stripe.pk)


def test_a_key_of_another_account_or_for_try_outs_calls_nothing(provider, stripe, northwind):
    other = Account.objects.create(partner=northwind, name="Other")
    for confined in (caller(northwind, account=other), caller(northwind, environment="test")):
        response = confined("GET", f"/installations/{stripe.pk}/proxy/items")
        assert problem(response) == "not_found"
    assert (
        caller(northwind, account=stripe.account)(
            "GET", f"/installations/{stripe.pk}/proxy/items"
        ).status_code
        == 200
    )
    assert len(provider.requests) == 1


def test_what_is_switched_off_or_disconnected_is_not_called(provider, stripe, installation, owner):
    assert problem(call(installation)) == "not_connected"
    stripe.set_disabled(True)
    assert problem(call(stripe)) == "installation_disabled"
    stripe.set_disabled(False)
    Partner.objects.filter(pk=stripe.partner_id).update(is_active=False)
    assert problem(call(stripe)) == "partner_disabled"
    Partner.objects.filter(pk=stripe.partner_id).update(is_active=True)
    assert call(stripe).status_code == 200
    stripe.refresh_from_db()
    stripe.disconnect()
    assert problem(call(stripe)) == "not_connected"
    assert len(provider.requests) == 1


def test_a_credential_that_cannot_be_opened_is_a_problem_like_any_other(provider, stripe, account):
    other = connected(account, "stripe", "restricted_key", Token(values={"api_key": "sk_live_2"}))
    rows = CredentialVersion.objects
    moved = rows.get(installation=other).__dict__["token"]
    rows.filter(installation=stripe).update(token=moved)
    assert problem(call(stripe)) == "stored_value_unreadable"
    assert provider.requests == []


def test_what_speaks_no_http_says_so(provider, account):
    from connectors import registry

    manifest = registry.get("mongodb").manifest
    row = connected(account, "mongodb", manifest.auth_methods[0].key, Token(values={}))
    found = call(row)
    assert (problem(found), found.status_code) == ("not_http", 409)


def test_too_many_at_once_are_told_to_wait(provider, stripe, settings):
    settings.PROXY_AT_ONCE_TO_ONE = 1
    provider.respond = answer(b"x" * 200_000, close=False)
    under_way = call(stripe)
    found = call(stripe)
    assert (problem(found), found.status_code, found.headers["Retry-After"]) == (
        "too_many_under_way",
        503,
        "1",
    )
    assert len(b"".join(under_way.streaming_content)) == 200_000
    again = call(stripe)
    assert again.status_code == 200
    list(again.streaming_content)


def test_one_partner_with_slow_providers_leaves_some_room_to_another(provider, stripe, contoso, settings):
    settings.PROXY_AT_ONCE, settings.PROXY_AT_ONCE_TO_ONE = 4, 2
    others = Account.objects.create(partner=contoso, name="Woodgrove")
    token = Token(values={"api_key": KEY})
    more, theirs = (connected(owner, "stripe", "restricted_key", token) for owner in (stripe.account, others))
    provider.respond = answer(b"x" * 200_000, close=False)
    under_way = [call(stripe), call(stripe), call(more)]
    assert problem(call(more)) == "too_many_under_way"
    under_way.append(call(theirs))
    assert problem(call(theirs)) == "too_many_under_way"
    assert {len(b"".join(found.streaming_content)) for found in under_way} == {200_000}


def test_neither_the_log_nor_a_problem_tells_the_credential(provider, account, caplog):
    row = connected(
        account, "trello", "token", Token(values={"token": "ATTAsecret"}), values={"api_key": "abckey"}
    )
    told = str(call(row).headers)
    provider.respond = b""
    told += call(row).content.decode()
    provider.respond = answer("", length=5)
    told += call(row).content.decode()
    assert "ATTAsecret" not in told + caplog.text
    assert "items" not in caplog.text
