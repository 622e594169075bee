"""The API explorer: a person calls a provider by hand, sees what comes back, and it is on the record."""

import base64
import html
import json
import os
import re
import subprocess
import time

import pytest
from django.urls import reverse

from console import streams
from console.models import Event
from installations import explorer
from installations.auth import Token
from installations.models import Credential, CredentialVersion, Installation, Status
from installations.proxying import asked, calling, explored
from tests.proxied import connected
from tests.rotating import connected as connected_at_rotating
from tests.rotating import store_client
from tests.stand_ins.quirks import Quirks, answer, chunked

pytestmark = pytest.mark.django_db
KEY = 'sk_live_1/+%&"end'


@pytest.fixture(autouse=True)
def _alone():
    calling._doubtful.clear()
    yield
    while streams._kept:
        streams._kept.pop()[1].close()
    # A call that has ended has left its room.
    assert calling.Room._under_way == {}


@pytest.fixture
def provider(settings):
    with Quirks(answer('{"items": []}', close=False)) as server:
        settings.STAND_IN_ORIGINS = {"https://*": server.origin}
        yield server


@pytest.fixture
def stripe(account):
    return connected(account, "stripe", "restricted_key", Token(values={"api_key": KEY}))


@pytest.fixture
def harbor(account, heartland):
    token = Token(values={"access_token": heartland.token()})
    host = {"host": "harbor.retail.heartland.us"}
    return connected(account, "heartland-retail", "api_key", token, discovered=host)


def page_of(row: Installation) -> str:
    return f"/installations/{row.pk}/explore/"


def explore(person, row, method="GET", path="", *, status=200, **form) -> str:
    """The text of the page, without its escapes."""
    answer = person.client.post(page_of(row), {"method": method, "path": path, **form})
    text = answer.content.decode()
    assert answer.status_code == status, re.findall(r"(?s)errorlist.*?</ul>|<h2>.*?</p>", text)
    return text


def calls():
    return list(Event.objects.filter(kind=explored.KIND))


def test_a_call_shows_what_went_out_and_what_came_back_and_is_on_the_record(owner, harbor):
    page = html.unescape(explore(owner, harbor, path="items?per_page=1", headers="Accept-Language: de"))
    assert "GET https://harbor.retail.heartland.us/api/items?per_page=1" in page
    assert "Authorization: Bearer •••" in page
    assert "Accept-Language: de" in page
    assert "200 OK" in page
    assert '\n  "results": [\n    {' in page
    (event,) = calls()
    assert (event.subject_id, event.actor) == (harbor.pk, owner.user.email)
    assert event.details | {"ms": 0} == {"method": "GET", "path": "/items", "status": 200, "ms": 0}
    assert "per_page" not in repr(vars(event))


# ── what is asked ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("../admin", "leads out of its place"),
        ("a/%2e%2e/b", "leads out of its place"),
        ("//evil.example/", "leads out of its place"),
        ("a b", "characters that must be encoded"),
        ("items?q=a b", "characters that must be encoded"),
        ("items#part", "characters that must be encoded"),
    ],
)
def test_what_the_proxy_refuses_is_refused_here_and_said_where_it_was_typed(
    owner, stripe, provider, path, said
):
    page = explore(owner, stripe, path=path, status=422)
    assert said in page
    assert f'value="{html.escape(path)}"' in page
    assert provider.requests == []
    assert calls() == []


@pytest.mark.parametrize("line", ["no colon", "X Y: z", ": z", "X-A: \x07", "Ä: z", "X_A: z"])
def test_a_line_that_is_no_header_is_told_by_its_number(owner, stripe, provider, line):
    assert "Line 2 is no header" in explore(owner, stripe, headers=f"X-Good: 1\n{line}", status=422)
    assert provider.requests == []


def test_a_header_that_is_none_of_the_callers_business_is_not_passed_on(owner, stripe, provider):
    headers = (
        "Authorization: Bearer mine\nHost: evil.example\nCookie: a=b\nX_Forwarded_For: 1.2.3.4\nX-Mine: 1"
    )
    refused = explore(owner, stripe, path="items", headers=headers, status=422)
    assert "Line 4 is no header" in refused
    explore(owner, stripe, path="items", headers=headers.replace("X_Forwarded_For", "X-Forwarded-For"))
    (request,) = provider.requests
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["host"] == "api.stripe.com"
    assert request.headers["x-mine"] == "1"
    assert not {"cookie", "x-forwarded-for"} & request.headers.keys()


def test_the_whole_address_may_be_pasted_and_another_hosts_is_not_followed(owner, stripe, provider):
    explore(owner, stripe, path="https://api.stripe.com/v1/charges?limit=1")
    page = explore(owner, stripe, path="https://evil.example/v1/charges", status=422)
    assert "the path is an address elsewhere" in page
    (request,) = provider.requests
    assert (request.target, request.headers["host"]) == ("/v1/charges?limit=1", "api.stripe.com")


@pytest.mark.parametrize("method", explorer.CHANGING)
def test_what_changes_something_is_sent_only_once_it_is_confirmed(owner, stripe, provider, method):
    page = explore(owner, stripe, method, "charges", status=422)
    assert "This changes data of Harbor Street Outfitters at Stripe." in page
    assert "Nothing was sent" in page
    assert provider.requests == []
    page = explore(owner, stripe, method, "charges", body='{"a": 1}', sure="on")
    (request,) = provider.requests
    assert (request.method, request.body) == (method, b'{"a": 1}')
    assert request.headers["content-type"] == "application/json"
    # The next call is another one.
    assert not re.search(r'name="sure"[^>]*checked', page)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_what_changes_nothing_needs_no_confirmation_and_has_no_body(owner, stripe, provider, method):
    provider.respond = answer("" if method == "HEAD" else "{}", close=False)
    explore(owner, stripe, method, "charges", body="left over")
    (request,) = provider.requests
    assert (request.method, request.body) == (method, b"")


def test_a_method_that_is_not_offered_is_not_sent(owner, stripe, provider):
    for method in ("TRACE", "CONNECT", "get"):
        explore(owner, stripe, method, "charges", sure="on", status=422)
    assert provider.requests == []


def test_json_is_checked_where_it_was_typed_and_other_types_are_not(owner, stripe, provider):
    page = explore(owner, stripe, "POST", "a", body='{"a": 1,}', sure="on", status=422)
    assert "This is no JSON" in page
    assert "line 1, column 9" in page or "line 1, column 8" in page
    assert html.escape('{"a": 1,}') in page
    page = explore(
        owner,
        stripe,
        "POST",
        "a",
        body="[" * 100_000,
        sure="on",
        headers="content-type: x/y+json",
        status=200,
    )
    explore(owner, stripe, "POST", "a", body="a=1\r\nb", sure="on", headers="Content-Type: text/plain")
    assert provider.requests[-1].body == b"a=1\nb"
    assert provider.requests[-1].headers["content-type"] == "text/plain"


def test_opening_the_page_sends_nothing_and_renews_nothing(owner, rotating, account):
    store_client(account.partner)
    [row] = connected_at_rotating(rotating, account, ["grant"], ends_in=-5)
    versions = CredentialVersion.objects.count()
    before = rotating.asked
    answer = owner.client.get(page_of(row) + "?method=DELETE&path=anything")
    assert answer.status_code == 200
    assert 'value="anything"' in answer.content.decode()
    assert rotating.asked == before
    assert CredentialVersion.objects.count() == versions
    assert calls() == []


# ── what is shown ───────────────────────────────────────────────────────────────────────────────


def test_nothing_of_an_answer_is_taken_for_html(owner, stripe, provider):
    evil = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    for kind in ("text/html", "application/json", "image/svg+xml", "text/plain"):
        text = json.dumps({"a": evil}) if "json" in kind else evil
        provider.respond = answer(
            text, f"X-Evil: {evil}", status=f"418 {evil}", content_type=kind, close=False
        )
        page = explore(owner, stripe, path="a")
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert page.count("&lt;script&gt;alert(1)") >= 3, kind


def test_json_is_shown_in_lines_with_each_number_as_it_came(owner, stripe, provider):
    sent = '{"a":1.10,"big":12345678901234567.89,"a":[],"b":[{},"ü\\u00e9\\/[,"],"n":null}'
    provider.respond = answer(sent, close=False)
    page = html.unescape(explore(owner, stripe, path="a"))
    shown = re.search(r'id="explorer-body">(.*?)</pre>', page, re.DOTALL)[1]
    assert shown == (
        '{\n  "a": 1.10,\n  "big": 12345678901234567.89,\n  "a": [],\n  "b": [\n    {},\n'
        '    "üé/[,"\n  ],\n  "n": null\n}'
    )


@pytest.mark.parametrize(
    "text",
    ["[" * 5000 + "]" * 5000, "[" * 90 + "1," * 60_000 + "1" + "]" * 90, '{"a": ', "\ufeff{}", '"\\ud800"'],
    ids=["deep", "wide", "cut off", "with a mark", "half a character"],
)
def test_json_that_is_none_or_would_take_very_much_room_is_shown_as_it_is(owner, stripe, provider, text):
    provider.respond = answer(text, close=False)
    page = explore(owner, stripe, path="a")
    assert len(page) < 4_000_000
    assert 'id="explorer-body"' in page


def test_what_is_no_text_is_told_by_its_size_and_type(owner, stripe, provider):
    provider.respond = answer(b"\x89PNG\0\0", content_type="image/png", close=False)
    assert "6 bytes of image/png. It is no text" in explore(owner, stripe, path="a")
    provider.respond = answer(b"abc", "Content-Encoding: gzip", close=False)
    assert "compressed" in explore(owner, stripe, path="a", headers="Accept-Encoding: gzip")
    provider.respond = answer("", status="204 No Content", close=False, length=-1)
    assert "It has no body." in explore(owner, stripe, path="a")


def test_of_a_long_answer_the_beginning_is_read_and_it_is_said(owner, stripe, provider):
    # 1 MB, with the key across where the reading ends.
    text = ("x" * (explored.READ - 5) + KEY).ljust(1_000_000, "y")
    provider.respond = answer(text, content_type="text/plain", close=False)
    page = explore(owner, stripe, path="a")
    assert "The beginning of 1,000,000 bytes" in page
    assert len(page) < explored.READ + 50_000
    assert KEY[:5] not in page
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
    provider.respond = head + chunked(b"x" * 300_000)
    assert "The beginning of more than 256 KB" in explore(owner, stripe, path="a")


def test_an_answer_that_does_not_end_is_not_waited_for(owner, stripe, provider, monkeypatch):
    monkeypatch.setattr(explored, "READ_SECONDS", 0.5)

    def drips(request):
        yield b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        for _ in range(100):
            yield b"1\r\nx\r\n"
            yield 0.1

    provider.respond = drips
    began = time.monotonic()
    assert "did not answer in time" in explore(owner, stripe, path="a", status=504)
    assert time.monotonic() - began < 5
    provider.respond = answer("x" * 10, length=100)
    assert "does not answer right now" in explore(owner, stripe, path="a", status=502)
    assert [event.details["problem"] for event in calls()] == ["provider_unavailable", "provider_timeout"]


ECHOES = {
    "plain": lambda text: text,
    "JSON": lambda text: json.dumps({"key": text}),
    "JSON with escaped slashes": lambda text: json.dumps({"key": text}).replace("/", "\\/"),
    "JSON in numbers": lambda text: json.dumps({"key": "@"}).replace(
        "@", "".join(f"\\u{ord(char):04x}" for char in text)
    ),
    "JSON that is cut off": lambda text: '{"key": ' + json.dumps(text).replace("/", "\\/"),
    "URL": lambda text: explorer.quote(text, safe=""),
    "HTML": html.escape,
}


@pytest.mark.parametrize("how", ECHOES)
def test_a_provider_that_repeats_the_credential_does_not_make_us_show_it(owner, stripe, provider, how):
    echo = ECHOES[how](KEY)
    headers = [] if "\n" in echo else [f"X-Echo: {echo}"]
    provider.respond = answer(echo, *headers, status=f"400 {echo}", close=False)
    page = explore(owner, stripe, path="a")
    for piece in ("sk_live", '"end', "quot;end", "22end"):
        assert piece not in page
    assert "•••" in page
    assert "sk_live" not in repr(list(Event.objects.values()))


def test_what_signs_a_call_is_the_credential_too(owner, account, provider):
    token = Token(values={"consumer_key": "ck_12345", "consumer_secret": "cs_12345"})
    row = connected(account, "woocommerce", "http_basic", token, values={"host": "shop.example"})
    signed = base64.b64encode(b"ck_12345:cs_12345").decode()
    provider.respond = lambda request: answer(json.dumps(request.headers), close=False)
    page = html.unescape(explore(owner, row, path="orders"))
    assert provider.requests[-1].headers["authorization"] == f"Basic {signed}"
    assert "https://shop.example/wp-json/wc/v3/orders" in page
    assert "Authorization: Basic •••" in page
    assert '"authorization": "Basic •••"' in page
    for secret in (signed, "ck_12345", "cs_12345"):
        assert secret not in page


def test_a_secret_in_the_address_is_not_shown_either(owner, account, provider):
    token = Token(values={"webhook_code": "qwertz12345"})
    values = {"domain": "acme.bitrix24.com", "user_id": "1"}
    row = connected(account, "bitrix24", "webhook", token, values=values)
    shown = owner.client.get(page_of(row)).content.decode()
    assert "https://acme.bitrix24.com/rest/1/•••/" in shown
    page = explore(owner, row, path="profile.json")
    assert provider.requests[-1].target == "/rest/1/qwertz12345/profile.json"
    assert "GET https://acme.bitrix24.com/rest/1/•••/profile.json" in page
    assert "qwertz12345" not in shown + page


def test_a_token_that_was_renewed_for_the_call_is_not_shown_either(owner, rotating, account):
    store_client(account.partner)
    [row] = connected_at_rotating(rotating, account, ["grant"])
    old = Credential.objects.get(installation=row).current
    rotating.control(expire="grant")
    page = explore(owner, row, path="me")
    new = Credential.objects.get(installation=row).current
    assert new.pk != old.pk
    assert ">200 -<" in page
    for version in (old, new):
        assert version.token["access_token"] not in page


# ── what goes wrong ─────────────────────────────────────────────────────────────────────────────


def test_an_error_of_the_provider_is_its_answer_and_not_a_problem_of_ours(owner, harbor):
    page = explore(owner, harbor, path="items/999999")
    assert "404 Not Found" in page
    assert "There is no such item." in page
    (event,) = calls()
    assert event.details["status"] == 404


def test_a_provider_that_is_down_is_told_in_place_and_what_was_typed_stays(owner, stripe, provider):
    provider.respond = None
    page = explore(
        owner, stripe, "POST", "charges", body='{"a": 1}', headers="X-Mine: 1", sure="on", status=502
    )
    assert "Stripe does not answer right now" in page
    assert "Who can mend it?" in page
    for typed in ('value="charges"', html.escape('{"a": 1}'), "X-Mine: 1"):
        assert typed in page
    assert not re.search(r'name="sure"[^>]*checked', page)
    (event,) = calls()
    assert event.details["problem"] == "provider_unavailable"
    assert event.reference in page


def test_what_cannot_be_called_says_why_and_has_no_form(owner, installation, stripe, account):
    postgres = connected(account, "postgresql", "password", Token(values={"password": "x"}))
    gone = Installation.objects.create(
        partner=account.partner, account=account, connector="no-such", status=Status.CONNECTED
    )
    stripe.set_disabled(True)
    for row, said in [
        (installation, "This installation is not connected"),
        (postgres, "is not called over HTTP"),
        (gone, "no longer there"),
        (Installation.objects.get(pk=stripe.pk), "switched off"),
    ]:
        for shown in (owner.client.get(page_of(row)), owner.client.post(page_of(row), {"method": "GET"})):
            page = shown.content.decode()
            assert said in page
            assert 'name="path"' not in page
            assert ">Explore the API<" not in owner.client.get(f"/installations/{row.pk}/").content.decode()


def test_an_installation_without_a_credential_after_all_is_told_so(owner, stripe, provider):
    Credential.objects.all().delete()
    assert "This installation is not connected" in explore(owner, stripe, path="a", status=409)
    assert provider.requests == []
    (event,) = calls()
    assert event.details["problem"] == "not_connected"


def test_more_than_sixty_calls_a_minute_are_not_made_whoever_owns_the_installation(
    owner, colleague, stripe, provider, monkeypatch
):
    monkeypatch.setattr(explorer, "CALLS_PER_MINUTE", 2)
    statuses = [
        owner.client.post(page_of(stripe), {"method": "GET", "path": "a"}).status_code for _ in range(3)
    ]
    assert statuses == [200, 200, 429]
    assert len(provider.requests) == 2
    explore(colleague, stripe, path="a")


def test_a_form_from_elsewhere_calls_nothing(owner, stripe, provider):
    owner.client.handler.enforce_csrf_checks = True
    answer = owner.client.post(page_of(stripe), {"method": "GET", "path": "a"})
    assert answer.status_code == 403
    assert provider.requests == []


# ── the record, curl, and the way there ─────────────────────────────────────────────────────────


def test_the_last_ten_calls_of_this_installation_can_be_used_again(owner, stripe, harbor, provider):
    Event.objects.record(explored.KIND, owner.principal, "x", subject=harbor, method="GET", path="/zzz", ms=1)
    for number in range(12):
        explore(owner, stripe, path=f"a/{number}?x=1")
    page = owner.client.get(page_of(stripe)).content.decode()
    again = re.findall(r'href="\?(method=GET&amp;path=[^"]+)"[^>]*>Use again', page)
    assert again == [f"method=GET&amp;path=a%2F{number}" for number in range(11, 1, -1)]
    page = owner.client.get(f"{page_of(stripe)}?{html.unescape(again[0])}").content.decode()
    assert 'value="a/11"' in page


SHELL = {
    "plain": ("GET", "items?per_page=5", "", ""),
    "quotes": ("POST", "a'b/$HOME/(c)?q=`id`$(id)\\!", "X-A: it's $HOME", '{"a": "it\'s `id` $HOME"}'),
    "brackets": ("GET", "items?filter[name]={a}", "", ""),
    "a file": ("PUT", "items", "Content-Type: text/plain", "@/etc/passwd\nsecond line\n"),
    "head": ("HEAD", "items", "", ""),
}


@pytest.mark.parametrize("case", SHELL)
def test_what_is_copied_makes_the_same_call_in_a_shell(owner, stripe, provider, case):
    """With the address of a server that notes what it gets in place of the console."""
    method, path, headers, body = SHELL[case]
    page = explore(owner, stripe, method, path, headers=headers, body=body, sure="on")
    command = html.unescape(re.search(r'id="explorer-curl">(.*?)</code>', page, re.DOTALL)[1])
    assert KEY not in command
    mine = provider.requests[-1]
    with Quirks(answer("" if method == "HEAD" else "{}")) as console:
        variables = {"CONSOLE": console.origin, "API_KEY": "pc_live_x", "PATH": os.environ["PATH"]}
        done = subprocess.run(
            ["sh", "-c", command], env=variables, capture_output=True, text=True, timeout=30, check=False
        )
        assert done.returncode == 0, done.stderr
        (request,) = console.requests
    assert request.method == mine.method == method
    assert request.target == f"/api/v1/installations/{stripe.pk}/proxy/{path}"
    assert mine.target == f"/v1/{path}"
    assert request.body == mine.body
    assert request.headers["authorization"] == "Bearer pc_live_x"
    for name in ("content-type", "x-a"):
        assert request.headers.get(name) == mine.headers.get(name)


def test_the_call_that_proves_the_credential_is_the_first_to_try(owner, harbor):
    page = owner.client.get(page_of(harbor)).content.decode()
    assert "GET /system/whoami" in page
    tried = owner.client.get(
        page_of(harbor) + re.search(r'class="chip" href="([^"]+)"', html.unescape(page))[1]
    )
    assert 'value="system/whoami"' in tried.content.decode()
    assert "https://harbor.retail.heartland.us/api/" in page


def test_the_installation_leads_to_the_explorer_and_so_does_the_menu(owner, harbor):
    assert page_of(harbor) in owner.client.get(f"/installations/{harbor.pk}/").content.decode()
    assert f'href="{reverse("explorer")}"' in owner.client.get("/").content.decode()


def test_an_installation_is_picked_by_account_connector_or_name(owner, account, harbor, stripe):
    def found(text: str) -> set[str]:
        page = owner.client.get(reverse("explorer"), {"q": text}).content.decode()
        return {str(row.pk) for row in (harbor, stripe, postgres, waiting) if page_of(row) in page}

    postgres = connected(account, "postgresql", "password", Token(values={"password": "x"}))
    waiting = Installation.objects.create(partner=account.partner, account=account, connector="stripe")
    Installation.objects.filter(pk=stripe.pk).update(name="Payments desk")
    both = {str(harbor.pk), str(stripe.pk)}
    assert found("") == found("harbor st") == both
    assert found("heartland") == {str(harbor.pk)}
    assert found("payments") == found("STRIPE") == {str(stripe.pk)}
    assert found("nothing like it") == set()


def test_with_nothing_to_call_it_says_what_to_do_next(owner):
    page = owner.client.get(reverse("explorer")).content.decode()
    assert "Nothing can be called yet" in page
    assert f'href="{reverse("installations")}"' in page


def test_what_is_written_by_hand_is_held_to_the_same_as_what_comes_over_the_wire():
    found = asked.written("GET", "a?b=c", [("X-A", "1"), ("x-a", "2"), ("Te", "x")], None)
    assert (found.path, found.query, found.headers) == ("a", "b=c", {"X-A": "1, 2"})
    assert asked.written("GET", "a", [(asked.RETRIES, "3")], None).retries == 3
    for method, target, headers in [
        ("TRACE", "a", []),
        ("GET", "../a", []),
        ("GET", "a", [("X-A", "1\r\nX-B: 2")]),
        ("GET", "a", [("X A", "1")]),
        ("GET", "a", [(asked.RETRIES, "9")]),
    ]:
        with pytest.raises(asked.ProblemError, match="proxy_request_refused"):
            asked.written(method, target, headers, None)
