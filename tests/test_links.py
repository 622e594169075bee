"""Setup links: scanners do not burn them, guesses do not open them, and their end is an end.

The figures of thousands are samples by default; FULL=1 makes them all.
"""

import json
import logging
import re
import secrets
import string
from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from urllib.parse import quote

import pytest
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from connectors import registry
from console import throttle
from console.models import Partner
from installations import links, steps
from installations.models import AuthorizationRequest, Installation, Setup, SetupLink, Status
from tests.product import full
from tests.test_callback import Attempt, ask, dump, install, store_client, token_calls

pytestmark = pytest.mark.django_db

ALPHABET = string.ascii_letters + string.digits + "-_"


def issue(installation: Installation, **fields) -> tuple[SetupLink, str]:
    """A new link and the path of its address."""
    link, url = SetupLink.issue(installation, by="owner@northwind.example", **fields)
    return link, url.removeprefix("http://console.test")


def token_of(path: str) -> str:
    return path.split("/")[2]


def body(answer: HttpResponse) -> bytes:
    """The page without the reference number, which differs by design."""
    return answer.content.replace(answer.headers["X-Request-Id"].encode(), b"REFERENCE")


# ── row 12: who comes before the person ─────────────────────────────────────────────────────────

SCANNERS = {
    "head": lambda browser, path: browser.head(path),
    "get": lambda browser, path: browser.get(path),
    "prefetch": lambda browser, path: browser.get(path, headers={"Sec-Purpose": "prefetch"}),
    "prerender": lambda browser, path: browser.get(path, headers={"Sec-Purpose": "prefetch;prerender"}),
    "preview": lambda browser, path: browser.get(path, headers={"User-Agent": "link preview", "Range": "0"}),
}


def visits_of_a_scanner(path: str) -> Iterator[Client]:
    """Ten browsers that open the link and whatever it leads to, and press nothing."""
    for open_page in SCANNERS.values():
        for keeps_cookies in (True, False):
            browser = Client(HTTP_HOST="console.test")
            answer = open_page(browser, path)
            while answer.status_code == 302:
                if not keeps_cookies:
                    browser.cookies.clear()
                answer = open_page(browser, answer.headers["Location"])
            assert answer.status_code == (200 if keeps_cookies else 403)
            yield browser


def presses_of_a_robot(path: str) -> None:
    """A scanner that also presses the button of the first page."""
    browser = Client(HTTP_HOST="console.test")
    base = browser.get(path).headers["Location"]
    assert browser.post(f"{base}review/").status_code == 302


def person_connects(path: str, heartland) -> bool:
    """Someone with an API token in hand goes from the link to the closing page."""
    browser = Client(HTTP_HOST="console.test")
    base = browser.get(path).headers["Location"]
    # Whatever a robot pressed before: a person sees first what will be connected, and for whom.
    assert browser.get(base).headers["Location"] == f"{base}review/"
    browser.post(f"{base}review/")
    browser.post(f"{base}method/", {"auth_method": "api_key"})
    answer = browser.post(f"{base}details/", {"access_token": heartland.token()})
    return answer.headers.get("Location") == f"{base}done/"


def test_fifty_visits_of_scanners_change_no_row_and_the_person_still_connects(account, heartland):
    for _ in range(full(2, 50)):
        _, path = issue(install(account))
        before = dump()
        visits = [browser for _ in range(5) for browser in visits_of_a_scanner(path)]
        assert len(visits) == 50
        assert dump() == before
        assert person_connects(path, heartland)


def test_a_robot_that_presses_the_button_does_not_burn_the_link(account, heartland):
    for _ in range(full(5, 50)):
        link, path = issue(install(account))
        for _ in range(5):
            presses_of_a_robot(path)
        link.refresh_from_db()
        assert (link.state, Setup.objects.filter(finished_at=None).count()) == ("started", 1)
        assert person_connects(path, heartland)


def test_a_robot_that_asks_for_consent_does_not_burn_the_link(account, heartland):
    store_client(account.partner, heartland)
    _, path = issue(install(account))
    for _ in range(5):
        robot = Client(HTTP_HOST="console.test")
        base = robot.get(path).headers["Location"]
        robot.post(f"{base}review/")
        robot.post(f"{base}method/", {"auth_method": "authorization_code"})
        ask(robot, base)
    person = Client(HTTP_HOST="console.test")
    base = person.get(path).headers["Location"]
    assert person.post(f"{base}consent/").headers["Location"] == f"{base}review/"
    person.post(f"{base}review/")
    assert ask(person, base).finish()
    assert AuthorizationRequest.objects.count() == 6


@pytest.mark.parametrize("method", ["get", "head"])
def test_no_page_of_the_way_changes_a_row_by_being_looked_at(method, account, heartland):
    """Every step's page, at every stage of the walk."""
    store_client(account.partner, heartland)
    link, path = issue(install(account))
    browser = Client(HTTP_HOST="console.test")
    base = browser.get(path).headers["Location"]
    stages = [
        lambda: None,
        lambda: browser.post(f"{base}review/"),
        lambda: browser.post(f"{base}method/", {"auth_method": "authorization_code"}),
        lambda: ask(browser, base).answer(error="access_denied"),
        lambda: ask(browser, base).finish(),
    ]
    for stage in stages:
        stage()
        before = dump()
        for step in ("", *(f"{slug}/" for slug in steps.PAGES), "nothing/", "problem-ABCDEFGH/"):
            assert getattr(browser, method)(base + step).status_code in (200, 302, 404)
        assert getattr(browser, method)(path).status_code == 302
        assert dump() == before
    assert link.installation.open_setup() is None


# ── row 13: entropy, what is stored, guesses ────────────────────────────────────────────────────


def test_a_token_has_256_random_bits_and_only_its_digest_is_stored(installation, monkeypatch):
    drawn = []
    token_urlsafe = secrets.token_urlsafe
    monkeypatch.setattr(secrets, "token_urlsafe", lambda size: drawn.append(size) or token_urlsafe(size))
    made = [issue(installation) for _ in range(full(100, 1_000))]
    tokens = {token_of(path) for _, path in made}
    assert len(tokens) == len(made)
    assert set(drawn) == {32}
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", token) for token in tokens)
    digests = set(SetupLink.objects.values_list("token_digest", flat=True))
    assert digests == {sha256(token.encode()).hexdigest() for token in tokens}


def mutations(token: str, other: str) -> Iterator[str]:
    """Each character changed, and what else a guesser tries who holds one good link or two."""
    yield from (token[:-1], token[1:], f"{token}A", f"A{token}", f"{token}=", token[::-1], token.swapcase())
    yield from (token.upper(), f"{token} ", f" {token}", f"{token}\0", f"{token}.", f"{token},", f"<{token}>")
    yield from (sha256(token.encode()).hexdigest(), token.encode().hex(), token.replace(token[0], "\u0430"))
    yield from (token[:place] + other[place:] for place in range(1, 43))
    for offset in range(1, 64):
        for place, letter in enumerate(token):
            changed = ALPHABET[(ALPHABET.index(letter) + offset) % 64]
            yield token[:place] + changed + token[place + 1 :]


def test_mutated_links_are_unknown(account):
    tried = 0
    wanted = full(150, 5_000)
    while tried < wanted:
        (_, path), (_, other) = issue(install(account)), issue(install(account))
        for token in mutations(token_of(path), token_of(other)):
            if token in (token_of(path), token_of(other)):
                continue
            tried += 1
            # A guesser with a thousand addresses, so that the limit does not answer for us.
            answer = Client(REMOTE_ADDR=f"10.0.{tried // 250}.{tried % 250}").get(f"/s/{quote(token)}/")
            assert answer.status_code == 404, token
            assert not answer.cookies
            if tried >= wanted:
                break
    assert Client().get(path).status_code == 302


def test_unknown_and_malformed_tokens_are_answered_byte_for_byte_alike():
    unknown = Client().get(f"/s/{'A' * 43}/")
    assert (unknown.status_code, unknown.headers["Referrer-Policy"]) == (404, "no-referrer")
    for token in ("A", "0" * 64, "%00", "%F0%9F%98%80", "a b", "..", "<b>", "'", "x" * 200, "x" * 2000):
        answer = Client(REMOTE_ADDR=f"10.0.0.{len(token) % 250}").get(f"/s/{token}/")
        assert answer.status_code == 404
        assert body(answer) == body(unknown)
        assert answer.headers["Referrer-Policy"] == "no-referrer"


def test_a_guesser_is_stopped_after_twenty_failures_a_minute(installation, monkeypatch):
    _, path = issue(installation)
    guesser = Client(REMOTE_ADDR="203.0.113.7")
    answers = [
        # Neither another path nor an invented proxy makes another guesser.
        guesser.get(f"/s/guess-{number}/", headers={"X-Forwarded-For": f"198.51.100.{number}"}).status_code
        for number in range(25)
    ]
    assert answers == [404] * 20 + [429] * 5
    # Who has a good link is not kept out by a guesser with the same address.
    assert guesser.get(path).status_code == 302
    assert Client(REMOTE_ADDR="203.0.113.8").get("/s/guess/").status_code == 404
    monkeypatch.setattr(throttle, "_now", lambda: 1_800_000_090.0)
    assert guesser.get("/s/guess/").status_code == 404


def test_opening_a_good_link_often_is_no_guessing(installation):
    _, path = issue(installation)
    assert {Client().get(path).status_code for _ in range(50)} == {302}


def test_behind_a_proxy_the_limit_counts_the_address_that_the_proxy_saw(installation, settings):
    settings.TRUSTED_PROXIES = 1
    for number in range(21):
        seen = {"X-Forwarded-For": f"198.51.100.{number}, 203.0.113.7"}
        answer = Client().get("/s/guess/", headers=seen)
    assert answer.status_code == 429
    other = Client().get("/s/guess/", headers={"X-Forwarded-For": "203.0.113.7, 203.0.113.8"})
    assert other.status_code == 404


def test_nothing_in_the_database_opens_a_link(account, heartland):
    store_client(account.partner, heartland)
    link, path = issue(install(account), email="manager@harbor.example")
    browser = Client(HTTP_HOST="console.test")
    base = browser.get(path).headers["Location"]
    browser.post(f"{base}review/")
    browser.post(f"{base}method/", {"auth_method": "authorization_code"})
    attempt = ask(browser, base)
    stored = json.dumps(dump())
    assert token_of(path) not in stored
    assert attempt.state not in stored
    words = set(re.findall(r"[A-Za-z0-9_=:-]{20,}", stored))
    assert link.token_digest in words
    for number, word in enumerate(words):
        thief = Client(REMOTE_ADDR=f"10.1.{number // 250}.{number % 250}")
        assert thief.get(f"/s/{quote(word)}/").status_code == 404
        thief.cookies[links.cookie_name(link.pk)] = word
        assert thief.get(f"{base}review/").status_code == 403
        assert "attempt_unknown" in thief.get(attempt.callback, {"state": word}).headers["Location"]


def test_a_setup_page_opens_only_for_the_cookie_of_its_own_link(account):
    mine, path = issue(install(account))
    other, _ = issue(install(account))
    browser = Client(HTTP_HOST="console.test")
    browser.get(path)
    cookie = browser.cookies[links.cookie_name(mine.pk)]
    assert (cookie["httponly"], cookie["samesite"], cookie["domain"]) == (True, "Lax", "")
    assert browser.get(f"/setup/{mine.pk}/review/").status_code == 200
    browser.cookies[links.cookie_name(other.pk)] = cookie.value
    pages = [f"/setup/{other.pk}/", *(f"/setup/{other.pk}/{slug}/" for slug in steps.PAGES)]
    for page in pages:
        assert browser.get(page).status_code == 403
        assert browser.post(page).status_code in (403, 405)
    # A forged cookie, and a setup that there is not: the same page, so ids cannot be sounded out.
    for value in ("", other.pk.hex, f"{cookie.value}x", cookie.value.partition(":")[0]):
        browser.cookies[links.cookie_name(other.pk)] = value
        assert browser.get(f"/setup/{other.pk}/").status_code == 403
    nowhere = str(other.pk).replace(str(other.pk)[0], "0")
    assert browser.get(f"/setup/{nowhere}/").status_code == 403


# ── how a link ends ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("seconds", "status"), [(1, 302), (-1, 410)])
def test_a_link_works_until_the_second_it_expires(seconds, status, installation):
    link, path = issue(installation)
    assert abs(link.expires_at - link.created_at - timedelta(days=7)) < timedelta(seconds=1)
    SetupLink.objects.update(expires_at=timezone.now() + timedelta(seconds=seconds))
    answer = Client().get(path)
    assert answer.status_code == status
    if status == 410:
        page = answer.content.decode()
        assert "This link has expired" in page
        assert answer.headers["Referrer-Policy"] == "no-referrer"


def _end(how: str, link: SetupLink, owner) -> None:
    """Each way in which a partner, support or time ends a link that is being walked."""
    installation = link.installation
    if how == "expired":
        SetupLink.objects.filter(pk=link.pk).update(expires_at=timezone.now())
    elif how == "withdrawn":
        url = f"/installations/{installation.pk}/links/{link.pk}/revoke/"
        assert owner.client.post(url).status_code == 302
    elif how == "disconnected":
        owner.client.post(f"/installations/{installation.pk}/disconnect/")
    elif how == "installation switched off":
        installation.set_disabled(True)
    else:
        Partner.objects.filter(pk=link.partner_id).update(is_active=False)


ENDS = {
    "expired": (410, "This link has expired"),
    "withdrawn": (410, "This link was withdrawn"),
    "disconnected": (410, "This link was withdrawn"),
    "installation switched off": (409, "This installation is switched off"),
    "partner switched off": (410, "This link was withdrawn"),
}


@pytest.mark.parametrize("how", ENDS)
def test_an_open_walk_ends_at_once(how, account, heartland, owner):
    store_client(account.partner, heartland)
    link, path = issue(install(account))
    browser = Client(HTTP_HOST="console.test")
    base = browser.get(path).headers["Location"]
    browser.post(f"{base}review/")
    browser.post(f"{base}method/", {"auth_method": "authorization_code"})
    attempt: Attempt = ask(browser, base)
    code = attempt.code()
    _end(how, link, owner)
    status, title = ENDS[how]
    before = dump()
    tries = [browser.get(path), browser.get(base)]
    for slug in steps.PAGES:
        tries += [browser.get(f"{base}{slug}/"), browser.post(f"{base}{slug}/", {"access_token": "x"})]
    for answer in tries:
        assert answer.status_code == status
        assert f"<h1>{title}</h1>" in answer.content.decode()
    assert dump() == before
    back = attempt.answer(code=code, state=attempt.state)
    assert back.status_code == 303
    assert browser.get(back.headers["Location"]).status_code >= 400
    assert token_calls(heartland) == 0
    link.installation.refresh_from_db()
    assert link.installation.status != Status.CONNECTED


def test_only_somebody_of_the_partner_can_withdraw_a_link(installation, owner, colleague, stranger):
    link, path = issue(installation)
    url = f"/installations/{installation.pk}/links/{link.pk}/revoke/"
    assert stranger.client.post(url).status_code == 404
    assert Client().post(url).status_code == 302
    assert Client().get(path).status_code == 302
    assert colleague.client.get(url).status_code == 405
    assert colleague.client.post(url).status_code == 302
    assert Client().get(path).status_code == 410


def test_a_completed_link_says_what_is_connected_and_asks_for_nothing_more(account, heartland):
    _, path = issue(install(account))
    assert person_connects(path, heartland)
    browser = Client(HTTP_HOST="console.test")
    base = browser.get(path).headers["Location"]
    before = dump()
    assert browser.get(base).headers["Location"] == f"{base}done/"
    page = browser.get(f"{base}done/").content.decode()
    assert "Heartland Retail is connected" in page
    assert "Harbor Street Outfitters" in page
    assert "<form" not in page
    for slug in ("review", "method", "details", "consent", "address"):
        for answer in (browser.get(f"{base}{slug}/"), browser.post(f"{base}{slug}/", {"access_token": "x"})):
            assert answer.headers["Location"] == f"{base}done/"
    assert dump() == before


def test_a_completed_link_does_not_say_connected_once_it_is_disconnected(account, heartland, owner):
    link, path = issue(install(account))
    assert person_connects(path, heartland)
    owner.client.post(f"/installations/{link.installation.pk}/disconnect/")
    answer = Client().get(path)
    assert answer.status_code == 410
    assert "is connected" not in answer.content.decode()


# ── what the log keeps of a link ────────────────────────────────────────────────────────────────


def test_the_log_of_a_failure_does_not_name_the_links_token(installation, monkeypatch, caplog):
    """Django names the path of a request that failed; ours names the route."""
    _, path = issue(installation)

    def fail(*args):
        raise RuntimeError("the database is gone")

    monkeypatch.setattr(links, "open_link", fail)
    caplog.set_level(logging.DEBUG)
    answer = Client(raise_request_exception=False).get(path)
    assert answer.status_code == 500
    assert token_of(path) not in answer.content.decode() + caplog.text
    assert "RuntimeError: the database is gone" in caplog.text
    assert "Internal Server Error: /^s/(?P<token>" in caplog.text


def test_the_log_of_a_refused_form_does_not_name_the_links_token(installation, caplog):
    _, path = issue(installation)
    caplog.set_level(logging.DEBUG)
    assert Client(enforce_csrf_checks=True).post(path).status_code == 403
    assert Client().put(path).status_code == 405
    assert Client().get(f"{path}x").status_code == 404
    assert Client().get(path.rstrip("/")).status_code == 301
    assert token_of(path) not in caplog.text
    assert "Forbidden (" in caplog.text


def test_what_the_partners_people_began_is_not_the_customers_to_go_on_with(account, owner, heartland):
    """Their token, and the review that they pressed, stay theirs."""
    row = install(account)
    own = f"/installations/{row.pk}/setup/"
    owner.client.post(f"{own}review/")
    owner.client.post(f"{own}method/", {"auth_method": "api_key"})
    heartland.switch(host_lookup_fails=True)
    owner.client.post(f"{own}details/", {"access_token": heartland.token()})
    assert owner.client.get(own).headers["Location"] == f"{own}address/"
    _, path = issue(row)
    customer = Client(HTTP_HOST="console.test")
    base = customer.get(path).headers["Location"]
    assert customer.get(base).headers["Location"] == f"{base}review/"
    answer = customer.post(f"{base}address/", {"subdomain": "harbor"})
    assert answer.headers["Location"] == f"{base}review/"
    customer.post(f"{base}review/")
    setup = row.open_setup()
    assert (setup.token, setup.address_needed, setup.values) == (None, False, None)
    assert owner.client.get(own).headers["Location"] == f"{own}review/"


def test_a_completed_link_says_so_whatever_the_partner_has_taken_away_since(account):
    row = install(account, "open-food-facts")
    (method,) = registry.get(row.connector).manifest.auth_methods
    Installation.objects.filter(pk=row.pk).update(
        status="connected",
        auth_method=method.key,
        connected_at=timezone.now(),
        external_account_name="Harbor",
    )
    link, path = issue(row)
    SetupLink.objects.filter(pk=link.pk).update(completed_at=timezone.now())
    page = Client(HTTP_HOST="console.test").get(path, follow=True)
    assert (page.status_code, page.redirect_chain[-1][0][-6:]) == (200, "/done/")
    assert "Open Food Facts is connected" in page.content.decode()


def test_a_completed_link_tells_what_it_led_to_until_it_expires(account, heartland):
    link, path = issue(install(account))
    assert person_connects(path, heartland)
    assert Client(HTTP_HOST="console.test").get(path).status_code == 302
    SetupLink.objects.filter(pk=link.pk).update(expires_at=timezone.now())
    assert Client(HTTP_HOST="console.test").get(path).status_code == 410
