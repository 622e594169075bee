"""`state`, the browser it is bound to, the redirect URI it belongs to, and PKCE.

The figures of thousands are samples by default; FULL=1 makes them all.
"""

import secrets
import string
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import timedelta
from hashlib import sha256
from itertools import cycle, islice, permutations
from urllib.parse import quote, urlencode, urlsplit

import pytest
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from connectors.models import ConnectorSettings
from console import clock
from console.models import Account
from console.tenancy import Principal
from installations import authorization, connecting
from installations.models import AuthorizationRequest, Installation, SetupLink, Status
from tests.conftest import open_link
from tests.drills import acts
from tests.product import full
from tests.test_callback import Attempt, ask, attempt_of, install, store_client, token_calls

pytestmark = pytest.mark.django_db

ALPHABET = string.ascii_letters + string.digits + "-_"
OF_EACH_KIND = full(100, 2_500)


@pytest.fixture
def ready(heartland, account) -> Account:
    """A customer of a partner who has registered an application."""
    store_client(account.partner, heartland)
    return account


@pytest.fixture
def attempts(ready) -> list[Attempt]:
    """A few requests for consent of different customers, all of them open."""
    return [attempt_of(install(ready)) for _ in range(5)]


def is_refused(answer: HttpResponse) -> bool:
    """Whether an answer was sent away without being told whose setup it is about."""
    refused = ("/oauth/problem/attempt_unknown/", "/oauth/problem/attempt_other_browser/")
    return answer.status_code == 303 and answer.headers["Location"].startswith(refused)


def nothing_happened(heartland) -> bool:
    consumed = AuthorizationRequest.objects.exclude(consumed_at=None)
    connected = Installation.objects.filter(status=Status.CONNECTED)
    return token_calls(heartland) == 0 and not consumed.exists() and not connected.exists()


# ── row 1: what is not one of our states ────────────────────────────────────────────────────────


def test_random_states_are_refused(attempts, heartland):
    for attempt in islice(cycle(attempts), OF_EACH_KIND):
        assert is_refused(attempt.answer(code="c", state=secrets.token_urlsafe(32)))
    assert nothing_happened(heartland)
    assert attempts[0].finish()


def test_live_states_with_one_bit_flipped_are_refused(attempts, heartland):
    tried = set()
    while len(tried) < OF_EACH_KIND:
        for attempt in attempts:
            raw = bytearray(urlsafe_b64decode(attempt.state + "="))
            bit = secrets.randbelow(256)
            raw[bit // 8] ^= 1 << bit % 8
            state = urlsafe_b64encode(raw).decode().rstrip("=")
            tried.add((attempt.state, bit))
            assert is_refused(attempt.answer(code="c", state=state))
        if len(tried) == len(attempts) * 256:
            attempts = [ask(attempt.browser, attempt.base) for attempt in attempts]
    assert nothing_happened(heartland)
    assert attempts[0].finish()


def test_every_character_of_a_state_counts(attempts, heartland):
    state = attempts[0].state
    changed = [
        state[:place] + ALPHABET[(ALPHABET.index(letter) + 1) % 64] + state[place + 1 :]
        for place, letter in enumerate(state)
    ]
    changed += [state[:-1], state + "A", state + "=", state.swapcase(), f" {state}", f"{state}\0"]
    for other in changed:
        assert is_refused(attempts[0].answer(code="c", state=other))
    assert nothing_happened(heartland)
    assert attempts[0].finish()


def test_states_that_are_too_old_are_refused(ready, heartland):
    browser = _customer(ready)
    for _ in range(OF_EACH_KIND):
        attempt = ask(*browser)
        row = attempt.row()
        assert abs(row.expires_at - row.created_at - timedelta(minutes=10)) < timedelta(seconds=1)
        AuthorizationRequest.objects.update(expires_at=timezone.now())
        answer = attempt.answer(code="c", state=attempt.state)
        assert answer.headers["Location"].startswith(f"{attempt.base}problem-")
        browser[0].cookies.pop(authorization.cookie_name(row.id))
    assert "longer than ten minutes" in browser[0].get(answer.headers["Location"]).content.decode()
    assert nothing_happened(heartland)


def _customer(account: Account) -> tuple[Client, str]:
    browser, link, _ = open_link(install(account))
    base = f"/setup/{link.pk}/"
    browser.post(f"{base}review/")
    browser.post(f"{base}method/", {"auth_method": "authorization_code"})
    return browser, base


def test_live_states_of_others_are_refused(attempts, contoso, heartland):
    """Of another session, another partner and another installation, in turn."""
    store_client(contoso, heartland)
    theirs = attempt_of(install(Account.objects.create(partner=contoso, name="Pine & Parcel")))
    own_client = f"/oauth/callback/{Installation.objects.first().pk}/"
    foreign = [
        (attempts[0].browser, attempts[1].callback, attempts[1].state),
        (Client(), attempts[1].callback, attempts[1].state),
        (attempts[0].browser, attempts[0].callback, theirs.state),
        (theirs.browser, attempts[0].callback, theirs.state),
        (attempts[0].browser, theirs.callback, attempts[0].state),
        (attempts[0].browser, own_client, attempts[0].state),
    ]
    for browser, callback, state in islice(cycle(foreign), OF_EACH_KIND):
        assert is_refused(browser.get(callback, {"code": "c", "state": state}))
    assert nothing_happened(heartland)
    assert all(attempt.finish() for attempt in (attempts[0], attempts[1], theirs))


def test_states_have_256_bits_from_the_systems_generator_and_none_comes_twice(ready, monkeypatch):
    drawn = {}
    token_urlsafe = secrets.token_urlsafe

    def counted(size):
        value = token_urlsafe(size)
        drawn[value] = size
        return value

    monkeypatch.setattr(secrets, "token_urlsafe", counted)
    link = SetupLink.objects.create(
        partner=ready.partner,
        installation=install(ready),
        token_digest="0" * 64,
        expires_at=timezone.now() + timedelta(days=1),
    )
    principal = authorization.link_principal(link)
    setup = connecting.begin(link.installation, principal)
    setup.auth_method = "authorization_code"
    states = set()
    count = full(300, 100_000)
    for _ in range(count):
        url = authorization.ask(setup, principal, lambda url: HttpResponse(headers={"Location": url}))
        states.add(Attempt(Client(), "", url.headers["Location"]).state)
    assert len(states) == count
    assert {drawn[state] for state in states} == {32}
    numbers = [int.from_bytes(urlsafe_b64decode(state + "=")) for state in states]
    # No bit stands still, as a clock's or a version number's would.
    assert all(0 < sum(number >> bit & 1 for number in numbers) < count for bit in range(256))


def test_no_state_cookie_or_verifier_can_be_read_from_the_database(attempts):
    attempt = attempts[0]
    row = attempt.row()
    cookie = attempt.browser.cookies[authorization.cookie_name(row.id)].value
    assert (row.state_digest, row.browser_digest) == tuple(
        sha256(text.encode()).hexdigest() for text in (attempt.state, cookie)
    )
    stored = bytes(AuthorizationRequest.objects.filter(pk=row.pk).values_list("verifier", flat=True)[0])
    assert row.verifier["code_verifier"].encode() not in stored


# ── row 3: begun in one browser, finished in another ────────────────────────────────────────────


def test_what_began_in_one_browser_does_not_end_in_another(ready, heartland):
    for _ in range(full(10, 200)):
        attempt = attempt_of(install(ready))
        link = SetupLink.objects.latest("created_at")
        code = attempt.code()
        heartland.post("/_calls/reset")
        for other in _other_browsers(link):
            answer = attempt.answer(other, code=code, state=attempt.state)
            assert answer.headers["Location"].startswith("/oauth/problem/attempt_other_browser/")
            page = other.get(answer.headers["Location"])
            assert page.status_code == 403
            assert "the request there can still be finished" in page.content.decode()
        assert token_calls(heartland) == 0
        link.installation.refresh_from_db()
        assert link.installation.status == Status.WAITING
        assert attempt.answer(code=code, state=attempt.state).headers["Location"] == f"{attempt.base}done/"


def _other_browsers(link: SetupLink):
    """A stranger's; one that has opened the same link; one that asked for consent there as well."""
    yield Client()
    base = f"/setup/{link.pk}/"
    for asks in (False, True):
        token = secrets.token_urlsafe(32)
        SetupLink.objects.filter(pk=link.pk).update(token_digest=sha256(token.encode()).hexdigest())
        browser = Client()
        assert browser.get(f"/s/{token}/").status_code == 302
        if asks:
            browser.post(f"{base}review/")
            ask(browser, base)
        yield browser


def test_a_console_users_request_ends_only_in_that_users_session(heartland, owner, colleague, installation):
    store_client(owner.partner, heartland)
    base = f"/installations/{installation.pk}/setup/"
    owner.client.post(f"{base}review/")
    owner.client.post(f"{base}method/", {"auth_method": "authorization_code"})
    attempt = ask(owner.client, base)
    name = authorization.cookie_name(attempt.row().id)
    # Even with the cookie: a colleague at the same desk is not the one who asked.
    colleague.client.cookies[name] = owner.client.cookies[name].value
    for browser in (colleague.client, Client()):
        assert is_refused(attempt.answer(browser, code="c", state=attempt.state))
    assert token_calls(heartland) == 0
    assert attempt.finish()


def test_the_cookie_is_kept_from_scripts_and_other_sites_and_is_one_for_each_request(ready, settings):
    attempt = attempt_of(install(ready))
    again = ask(attempt.browser, attempt.base)
    names = [authorization.cookie_name(made.row().id) for made in (attempt, again)]
    assert len(set(names)) == 2
    for name in names:
        cookie = attempt.browser.cookies[name]
        assert (cookie["httponly"], cookie["samesite"], cookie["max-age"]) == (True, "Lax", 600)
        assert (cookie["domain"], cookie["path"]) == ("", "/")
    settings.SECURE, settings.COOKIE_PREFIX = True, "__Host-"
    attempt = attempt_of(install(ready))
    assert attempt.browser.cookies[f"__Host-consent-{attempt.row().id.hex}"]["secure"] is True


def test_two_tabs_do_not_disturb_each_other(ready):
    browser, base = _customer(ready)
    first, second = ask(browser, base), ask(browser, base)
    assert first.state != second.state
    assert first.finish()
    # The link is finished; the second tab is told so.
    assert second.answer(code="c", state=second.state).headers["Location"].startswith(base)
    assert Installation.objects.get().status == Status.CONNECTED


# ── row 5: one redirect URI for each client registration ────────────────────────────────────────


@pytest.fixture
def contexts(ready, contoso, heartland) -> list[Attempt]:
    """Two partners' registrations and two installations' own, all asked in one and the same browser."""
    store_client(contoso, heartland)
    browser, made = Client(HTTP_HOST="console.test"), []
    for account in (ready, Account.objects.create(partner=contoso, name="Pine & Parcel")):
        made.append(_asked_in(browser, install(account), heartland))
    # Without the partner's application each installation brings its own.
    kept = ConnectorSettings.objects.get(partner=ready.partner)
    values = kept.values
    kept.delete()
    made += [_asked_in(browser, install(ready), heartland) for _ in range(2)]
    kept.pk, kept.values = kept.registration_id(ready.partner_id, kept.connector), values
    kept.save(force_insert=True)
    return made


def _asked_in(browser: Client, installation: Installation, heartland) -> Attempt:
    _, url = SetupLink.issue(installation, by="admin")
    base = browser.get(urlsplit(url).path).headers["Location"]
    browser.post(f"{base}review/")
    answer = browser.post(f"{base}method/", {"auth_method": "authorization_code"})
    if answer.headers["Location"] == f"{base}details/":
        client_id, client_secret = heartland.register(
            f"http://console.test/oauth/callback/{installation.pk}/"
        )
        browser.post(f"{base}details/", {"client_id": client_id, "client_secret": client_secret})
    return ask(browser, base)


def test_each_client_registration_has_its_own_redirect_uri_and_its_own_client(contexts):
    assert len({context.callback for context in contexts}) == len(contexts) == 4
    assert len({context.sent["client_id"] for context in contexts}) == 4
    assert all(context.sent["redirect_uri"].startswith("http://console.test/") for context in contexts)


def test_an_answer_at_another_registrations_address_is_refused(contexts, heartland):
    pairs = list(permutations(contexts, 2))
    codes = {context.state: context.code() for context in contexts}
    heartland.post("/_calls/reset")
    for here, other in islice(cycle(pairs), full(60, 1_000)):
        answer = here.browser.get(here.callback, {"state": other.state, "code": codes[other.state]})
        assert answer.headers["Location"].startswith("/oauth/problem/attempt_unknown/")
    assert nothing_happened(heartland)
    assert contexts[0].finish()
    assert contexts[1].finish()


def test_no_client_is_lent_to_a_partner_who_has_none(ready, contoso):
    """Another partner's application is not a fallback: the installation is asked for one."""
    browser, link, _ = open_link(install(Account.objects.create(partner=contoso, name="Pine & Parcel")))
    base = f"/setup/{link.pk}/"
    browser.post(f"{base}review/")
    answer = browser.post(f"{base}method/", {"auth_method": "authorization_code"})
    assert answer.headers["Location"] == f"{base}details/"
    assert browser.post(f"{base}consent/").headers["Location"] == f"{base}details/"
    assert not AuthorizationRequest.objects.exists()


def test_the_redirect_uri_does_not_follow_the_host_header(ready, settings):
    settings.ALLOWED_HOSTS = ["*"]
    browser, link, _ = open_link(install(ready))
    base = f"/setup/{link.pk}/"
    for step, fields in (("review", {}), ("method", {"auth_method": "authorization_code"})):
        browser.post(f"{base}{step}/", fields, headers={"Host": "evil.example"})
    answer = browser.post(
        f"{base}consent/", headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example"}
    )
    sent = Attempt(browser, base, answer.headers["Location"]).sent
    assert sent["redirect_uri"].startswith("http://console.test/oauth/callback/")


def test_a_registration_that_changes_between_question_and_answer_ends_the_request(attempts, heartland):
    ConnectorSettings.objects.all().delete()
    answer = attempts[0].answer(code="c", state=attempts[0].state)
    page = attempts[0].browser.get(answer.headers["Location"]).content.decode()
    assert "This setup is no longer open" in page
    assert token_calls(heartland) == 0


# ── row 6: PKCE, and parameters that are nobody's to choose ─────────────────────────────────────

OURS = {
    "state": "chosen-by-the-caller",
    "redirect_uri": "https://evil.example/callback",
    "code_challenge": "A" * 43,
    "response_type": "token",
    "client_id": "another-client",
}


@pytest.mark.parametrize("name", OURS)
def test_a_caller_cannot_choose(name, ready):
    browser, base = _customer(ready)
    honest = ask(browser, base).sent
    assert set(honest) - {"response_type"} == {
        *("client_id", "redirect_uri", "scope", "state", "code_challenge", "code_challenge_method")
    }
    chosen = {name: OURS[name], "code_challenge_method": "plain"}
    query = urlencode(chosen)
    _, url = SetupLink.issue(Installation.objects.get(), by="admin")
    browser.get(f"{urlsplit(url).path}?{query}")
    browser.post(f"{base}review/?{query}", chosen)
    browser.post(f"{base}method/?{query}", {"auth_method": "authorization_code", **chosen})
    browser.get(f"{base}consent/?{query}")
    for address, body in ((f"?{query}", {}), ("", chosen), (f"?{query}", chosen)):
        answer = browser.post(f"{base}consent/{address}", body)
        location = answer.headers["Location"]
        assert OURS[name] not in location
        assert quote(OURS[name], safe="") not in location
        sent = Attempt(browser, base, location).sent
        assert set(sent) == set(honest)
        assert sent["code_challenge_method"] == "S256"
        fixed = set(honest) - {"state", "code_challenge"}
        assert {key: sent[key] for key in fixed} == {key: honest[key] for key in fixed}


def test_what_a_partner_stores_does_not_become_a_parameter_of_its_own(ready):
    """Neither a client id nor a scope with & and = in it."""
    partner = ready.partner
    row = ConnectorSettings.objects.for_connector(partner.pk, "heartland-retail")
    injected = "a&redirect_uri=https://evil.example&state=x#y"
    row.change(Principal(partner.pk, "admin"), {"client_id": injected}, scopes="b&code_challenge=c d=e")
    sent = ask(*_customer(ready)).sent
    assert sent["client_id"] == injected
    assert sent["scope"] == "b&code_challenge=c d=e"
    assert sent["redirect_uri"].startswith("http://console.test/")


def test_each_request_has_a_verifier_of_its_own_and_sends_only_its_sha_256(ready):
    browser, base = _customer(ready)
    verifiers = set()
    count = full(100, 1_000)
    for _ in range(count):
        attempt = ask(browser, base)
        row = attempt.row()
        verifier = row.verifier["code_verifier"]
        assert 43 <= len(verifier) <= 128
        assert set(verifier) <= set(ALPHABET)
        hashed = urlsafe_b64encode(sha256(verifier.encode()).digest()).decode().rstrip("=")
        assert attempt.sent["code_challenge_method"] == "S256"
        assert attempt.sent["code_challenge"] == hashed
        assert verifier not in attempt.location
        verifiers.add(verifier)
        browser.cookies.pop(authorization.cookie_name(row.id))
    assert len(verifiers) == count


def _verifiers() -> int:
    return AuthorizationRequest.objects.filter(verifier__isnull=False).count()


def test_a_verifier_is_gone_after_the_answer_whatever_it_was(attempts):
    assert _verifiers() == 5
    assert attempts[0].finish()
    attempts[1].answer(error="access_denied", state=attempts[1].state)
    attempts[2].answer(code="not-a-code", state=attempts[2].state)
    attempts[3].answer(state=attempts[3].state)
    assert _verifiers() == 1
    outcomes = [attempt.row().outcome for attempt in attempts]
    refused = ["access_denied", "invalid_grant", "provider_answer_unreadable"]
    assert outcomes == ["connected", *refused, ""]


@pytest.mark.parametrize("seconds", [-600, 600])
def test_row_41_a_machine_whose_clock_is_wrong_takes_an_answer_in_time_and_none_too_late(attempts, seconds):
    """Asked for at one machine, answered at another."""
    with acts.clock_off_by(seconds):
        assert attempts[0].finish()
        AuthorizationRequest.objects.filter(pk=attempts[1].row().pk).update(expires_at=clock.now())
        attempts[1].finish()
    assert attempts[1].row().outcome == ""
    assert attempts[1].row().consumed_at is None
    with acts.clock_off_by(-seconds):
        asked = ask(attempts[2].browser, attempts[2].base)
    assert asked.finish()


def test_a_verifier_is_gone_when_its_answer_comes_too_late(attempts):
    AuthorizationRequest.objects.filter(pk=attempts[0].row().pk).update(expires_at=timezone.now())
    attempts[0].answer(code="c", state=attempts[0].state)
    assert attempts[0].row().verifier is None
    assert _verifiers() == 4


def test_verifiers_of_abandoned_requests_are_gone_with_the_next_request(attempts, ready):
    AuthorizationRequest.objects.update(expires_at=timezone.now())
    assert _verifiers() == 5
    attempt_of(install(ready))
    assert _verifiers() == 1


# ── the way that was chosen ─────────────────────────────────────────────────────────────────────


def test_where_one_way_is_offered_nobody_chooses_it(ready, heartland):
    row = ConnectorSettings.objects.for_connector(ready.partner_id, "heartland-retail")
    for way in ("authorization_code", "api_key"):
        row.change(Principal(ready.partner_id, "admin"), {}, auth_methods=[way])
        installation = install(ready)
        browser, link, _ = open_link(installation)
        base = f"/setup/{link.pk}/"
        browser.post(f"{base}review/")
        if way == "api_key":
            browser.post(f"{base}details/", {"access_token": heartland.token()})
        else:
            assert ask(browser, base).finish()
        installation.refresh_from_db()
        assert (installation.status, installation.auth_method) == (Status.CONNECTED, way)


def test_a_way_that_is_no_longer_offered_is_not_walked_to_its_end(ready, heartland):
    heartland.switch(host_lookup_fails=True)
    installation = install(ready)
    browser, link, _ = open_link(installation)
    base = f"/setup/{link.pk}/"
    browser.post(f"{base}review/")
    browser.post(f"{base}method/", {"auth_method": "api_key"})
    answer = browser.post(f"{base}details/", {"access_token": heartland.token()})
    assert answer.headers["Location"] == f"{base}address/"
    row = ConnectorSettings.objects.for_connector(ready.partner_id, "heartland-retail")
    row.change(Principal(ready.partner_id, "admin"), {}, auth_methods=["authorization_code"])
    answer = browser.post(f"{base}address/", {"subdomain": "harbor"})
    assert answer.headers["Location"] == f"{base}consent/"
    installation.refresh_from_db()
    assert installation.status == Status.NOT_SET_UP
    assert installation.open_setup().token is None


def test_what_another_tab_chose_meanwhile_does_not_change_how_the_token_was_obtained(ready):
    installation = install(ready)
    attempt = attempt_of(installation)
    attempt.browser.post(f"{attempt.base}method/", {"auth_method": "api_key"})
    assert attempt.finish()
    installation.refresh_from_db()
    assert installation.auth_method == "authorization_code"
