"""The answer about consent: what is believed of it, what is refused, and what it leaves behind.

Each refused answer is one line in the log, costs no call to the token endpoint, and leads by a 303 to
an address without code and state.
"""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from threading import Barrier
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from connectors import registry
from connectors.models import ConnectorSettings
from console import crypto
from console.models import Event, Partner
from console.problems import PROBLEMS
from console.tenancy import Principal
from installations.models import AuthorizationRequest, Installation, SetupLink, Status
from tests.conftest import consent_at_heartland, open_link
from tests.product import full
from tests.stand_ins.control import StandIn

TOKEN_ENDPOINT = "/api/oauth/token"
SCRIPT = "<script>alert(1)</script>"


# ── a request for consent, for the tests here and beside ────────────────────────────────────────


@dataclass
class Attempt:
    """A request for consent that a browser has made: where it was sent, and how to answer."""

    browser: Client
    base: str
    location: str

    @property
    def sent(self) -> dict[str, str]:
        pairs = parse_qsl(urlsplit(self.location).query, strict_parsing=True)
        assert len(dict(pairs)) == len(pairs), "a parameter was sent twice"
        return dict(pairs)

    @property
    def state(self) -> str:
        return self.sent["state"]

    @property
    def callback(self) -> str:
        return urlsplit(self.sent["redirect_uri"]).path

    def row(self) -> AuthorizationRequest:
        return AuthorizationRequest.objects.get(state_digest=crypto.digest(self.state))

    def code(self) -> str:
        """Allow access at the provider; the code that it gives for this request."""
        return dict(parse_qsl(urlsplit(consent_at_heartland(self.location)).query))["code"]

    def answer(self, browser: Client | None = None, **parameters) -> HttpResponse:
        return (browser or self.browser).get(self.callback, parameters)

    def finish(self) -> bool:
        """Go the whole way; whether it ended on the closing page."""
        answer = self.answer(code=self.code(), state=self.state)
        return (answer.status_code, answer.headers["Location"]) == (303, f"{self.base}done/")


def store_client(partner: Partner, heartland: StandIn, connector: str = "heartland-retail") -> None:
    """What a partner's admin does once: register an application and keep its values."""
    row = ConnectorSettings.objects.for_connector(partner.pk, connector)
    client_id, client_secret = heartland.register(row.redirect_uri)
    values = {"client_id": client_id, "client_secret": client_secret}
    row.change(Principal(partner_id=partner.pk, actor="admin"), values)


def ask(browser: Client, base: str) -> Attempt:
    answer = browser.post(f"{base}consent/")
    assert answer.status_code == 303, answer.content.decode()
    return Attempt(browser, base, answer.headers["Location"])


def attempt_of(installation: Installation) -> Attempt:
    """A customer with a new link, as far as the provider's door."""
    browser, link, _ = open_link(installation)
    base = f"/setup/{link.pk}/"
    browser.post(f"{base}review/")
    browser.post(f"{base}method/", {"auth_method": "authorization_code"})
    return ask(browser, base)


def install(account, connector: str = "heartland-retail") -> Installation:
    return Installation.objects.create(partner=account.partner, account=account, connector=connector)


def token_calls(heartland: StandIn) -> int:
    return heartland.calls().get(TOKEN_ENDPOINT, 0)


def dump() -> dict[str, list]:
    """Every row of every table."""
    rows = {}
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            rows[table] = sorted(map(repr, cursor.fetchall()))
    return rows


def refusals(caplog) -> list[str]:
    """The code of each refusal that stands in the log."""
    lines = [record.getMessage() for record in caplog.records if record.name == "installations.authorization"]
    return [re.fullmatch(r"answer refused: (\w+) registration=\S+ ref=\w{8}", line)[1] for line in lines]


@pytest.fixture
def attempt(heartland, installation) -> Attempt:
    store_client(installation.partner, heartland)
    return attempt_of(installation)


# ── the table of attacks ────────────────────────────────────────────────────────────────────────


class Table:
    """One attempt that could be finished, and somebody who sends something else."""

    def __init__(self, attempt: Attempt, heartland: StandIn, installation: Installation, contoso: Partner):
        self.attempt = attempt
        self.heartland = heartland
        self.installation = installation
        self.contoso = contoso
        self.good_code = attempt.code()

    def send(self, *, browser=None, method="get", path=None, headers=None, **changes) -> HttpResponse:
        """The true answer with some parameters changed; None leaves one out, a list repeats it."""
        parameters = {"code": self.good_code, "state": self.attempt.state, "extra": SCRIPT, **changes}
        parameters = {name: value for name, value in parameters.items() if value is not None}
        call = getattr(browser or self.attempt.browser, method)
        return call(path or self.attempt.callback, query_params=parameters, headers=headers or {})

    def late(self) -> HttpResponse:
        AuthorizationRequest.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
        return self.send()

    def replayed(self) -> HttpResponse:
        assert self.send().headers["Location"] == f"{self.attempt.base}done/"
        self.heartland.post("/_calls/reset")
        return self.send()

    def of_another_partner(self) -> HttpResponse:
        theirs = Installation.objects.create(
            partner=self.contoso,
            account=self.contoso.account_set.create(name="Pine & Parcel"),
            connector="heartland-retail",
        )
        store_client(self.contoso, self.heartland)
        browser, link, _ = open_link(theirs)
        # Worse than life: one browser holds the cookies of both.
        self.attempt.browser.cookies.update(browser.cookies)
        base = f"/setup/{link.pk}/"
        self.attempt.browser.post(f"{base}review/")
        self.attempt.browser.post(f"{base}method/", {"auth_method": "authorization_code"})
        other = ask(self.attempt.browser, base)
        return self.send(state=other.state, code=other.code())

    def of_another_installation(self) -> HttpResponse:
        """Of one that brings an application of its own, so with another redirect URI."""
        other = install(self.installation.account)
        return self.send(path=f"/oauth/callback/{other.pk}/")

    def stolen_code(self) -> HttpResponse:
        return self.send(code=attempt_of(install(self.installation.account)).code())

    def used_code(self) -> HttpResponse:
        assert self.send().headers["Location"] == f"{self.attempt.base}done/"
        self.heartland.post("/_calls/reset")
        self.attempt = attempt_of(install(self.installation.account))
        return self.send()

    def link_withdrawn(self) -> HttpResponse:
        SetupLink.objects.get().revoke()
        return self.send()

    def partner_switched_off(self) -> HttpResponse:
        Partner.objects.filter(pk=self.installation.partner_id).update(is_active=False)
        return self.send()

    def installation_switched_off(self) -> HttpResponse:
        self.installation.set_disabled(True)
        return self.send()


@dataclass
class Case:
    name: str
    send: Callable[[Table], HttpResponse]
    # The code in the log; "" where the address refuses the method.
    refused: str
    # The page that the person ends on, where it is another problem's.
    page: str = ""
    tokens: int = 0
    # Whether the true answer still leads to a connection afterwards.
    unburnt: bool = False


def flipped(text: str) -> str:
    return text[:-1] + ("A" if text[-1] != "A" else "B")


CASES = [
    Case("state missing", lambda t: t.send(state=None), "attempt_unknown", unburnt=True),
    Case("state empty", lambda t: t.send(state=""), "attempt_unknown", unburnt=True),
    Case("state twice", lambda t: t.send(state=[t.attempt.state] * 2), "attempt_unknown", unburnt=True),
    Case("state of 1 MB", lambda t: t.send(state="s" * 1_000_000), "attempt_unknown", unburnt=True),
    Case("state at random", lambda t: t.send(state="r" * 43), "attempt_unknown", unburnt=True),
    Case("state mutated", lambda t: t.send(state=flipped(t.attempt.state)), "attempt_unknown", unburnt=True),
    Case("state too late", Table.late, "attempt_expired"),
    Case("state replayed", Table.replayed, "attempt_used", page="done"),
    Case("another browser", lambda t: t.send(browser=Client()), "attempt_other_browser", unburnt=True),
    Case("another partner", Table.of_another_partner, "attempt_unknown", unburnt=True),
    Case("another installation", Table.of_another_installation, "attempt_unknown", unburnt=True),
    Case("link withdrawn", Table.link_withdrawn, "attempt_revoked", page="link_revoked"),
    Case("partner switched off", Table.partner_switched_off, "attempt_revoked", page="link_revoked"),
    Case(
        "installation switched off",
        Table.installation_switched_off,
        "attempt_revoked",
        page="installation_disabled",
    ),
    Case("HEAD", lambda t: t.send(method="head"), "", unburnt=True),
    Case("POST", lambda t: t.send(method="post"), "", unburnt=True),
    Case("OPTIONS", lambda t: t.send(method="options"), "", unburnt=True),
    Case("code missing", lambda t: t.send(code=None), "provider_answer_unreadable"),
    Case("code empty", lambda t: t.send(code=""), "provider_answer_unreadable"),
    Case("code twice", lambda t: t.send(code=[t.good_code] * 2), "provider_answer_unreadable"),
    Case("code of 64 kB", lambda t: t.send(code="c" * 65_536), "provider_answer_unreadable"),
    Case("code of another request", Table.stolen_code, "invalid_grant", tokens=1),
    Case("code used before", Table.used_code, "invalid_grant", tokens=1),
    Case("access_denied", lambda t: t.send(code=None, error="access_denied"), "access_denied"),
    Case("server_error", lambda t: t.send(code=None, error="server_error"), "provider_unavailable"),
    Case(
        "temporarily_unavailable",
        lambda t: t.send(code=None, error="temporarily_unavailable"),
        "provider_unavailable",
    ),
    Case("invalid_scope", lambda t: t.send(code=None, error="invalid_scope"), "configuration_refused"),
    Case(
        "unauthorized_client",
        lambda t: t.send(code=None, error="unauthorized_client"),
        "configuration_refused",
    ),
    Case("unknown error", lambda t: t.send(code=None, error=SCRIPT), "configuration_refused"),
    Case(
        "script in the description",
        lambda t: t.send(code=None, error="access_denied", error_description=SCRIPT),
        "access_denied",
    ),
    Case("error beside a code", lambda t: t.send(error="access_denied"), "access_denied"),
    Case(
        "error with a wrong state",
        lambda t: t.send(code=None, error="access_denied", state="r" * 43),
        "attempt_unknown",
        unburnt=True,
    ),
    Case(
        "in a frame",
        lambda t: t.send(headers={"Sec-Fetch-Dest": "iframe", "Sec-Fetch-Mode": "navigate"}),
        "attempt_other_browser",
        unburnt=True,
    ),
    Case(
        "by a script",
        lambda t: t.send(headers={"Sec-Fetch-Dest": "empty", "Sec-Fetch-Mode": "cors"}),
        "attempt_other_browser",
        unburnt=True,
    ),
]


@pytest.mark.django_db
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_answer_that_is_not_the_true_one_is_refused(
    case, attempt, heartland, installation, contoso, caplog
):
    table = Table(attempt, heartland, installation, contoso)
    answer = case.send(table)
    assert token_calls(heartland) == case.tokens
    assert refusals(caplog) == ([case.refused] if case.refused else [])
    if case.refused:
        _check_where_it_leads(case, table, answer)
    else:
        assert answer.status_code == 405
    if case.name not in ("state replayed", "code used before"):
        installation.refresh_from_db()
        assert installation.status != Status.CONNECTED
    if case.unburnt:
        assert AuthorizationRequest.objects.filter(consumed_at=None).exists()
        assert attempt.finish()


def _check_where_it_leads(case: Case, table: Table, answer: HttpResponse) -> None:
    assert answer.status_code == 303
    location = answer.headers["Location"]
    browser = table.attempt.browser
    # On the record wherever it is known whose it is, whether or not this browser is told.
    recorded = Event.objects.filter(kind="consent.refused", details__code=case.refused).count()
    assert recorded == (0 if case.refused == "attempt_unknown" else 1)
    assert "?" not in location
    page = browser.get(location)
    text = page.content.decode()
    if case.page == "done":
        assert (page.status_code, location) == (200, f"{table.attempt.base}done/")
    else:
        problem = PROBLEMS[case.page or case.refused]
        assert page.status_code == problem.status
        assert text.count(f"<h1>{problem.title.format(connector='Heartland Retail')}</h1>") == 1
    assert SCRIPT not in text
    for secret in (table.good_code, table.attempt.state):
        assert secret not in location + text


def test_the_table_has_thirty_four_cases():
    assert len(CASES) == len({case.name for case in CASES}) == 34


@pytest.mark.django_db
def test_what_the_provider_says_is_shown_and_escaped(attempt):
    words = f"{SCRIPT}\x00\r\nSet-Cookie: a=b\u202e"
    answer = attempt.answer(state=attempt.state, error="access_denied", error_description=words)
    assert set(answer.cookies) == set()
    page = attempt.browser.get(answer.headers["Location"])
    text = page.content.decode()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert not re.search(r"<script>|\x00|\u202e", text)
    assert "script-src" not in page.headers["Content-Security-Policy"]
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]


@pytest.mark.django_db
def test_an_error_with_a_wrong_state_changes_no_row(attempt):
    before = dump()
    for parameters in ({"error": "access_denied"}, {"error": "access_denied", "code": "c", "iss": "x"}):
        for state in ("", "r" * 43, flipped(attempt.state)):
            attempt.answer(state=state, **parameters)
    assert dump() == before


@pytest.mark.django_db
def test_a_declined_request_is_over_and_the_link_still_works(attempt, heartland):
    attempt.answer(state=attempt.state, error="access_denied")
    assert (attempt.row().outcome, attempt.row().verifier) == ("access_denied", None)
    assert not attempt.finish()
    assert token_calls(heartland) == 0
    assert ask(attempt.browser, attempt.base).finish()


@pytest.mark.django_db
def test_a_link_withdrawn_while_the_code_is_exchanged_does_not_connect(attempt, installation, monkeypatch):
    _meanwhile(monkeypatch, lambda: SetupLink.objects.get().revoke())
    assert not attempt.finish()
    installation.refresh_from_db()
    assert installation.status == Status.NOT_SET_UP
    assert installation.current_token() is None


@pytest.mark.django_db
def test_a_partner_switched_off_while_the_code_is_exchanged_does_not_connect(
    attempt, installation, monkeypatch
):
    _meanwhile(monkeypatch, lambda: Partner.objects.update(is_active=False))
    assert not attempt.finish()
    assert installation.current_token() is None


@pytest.mark.django_db
@pytest.mark.parametrize("address_found", [True, False])
@pytest.mark.parametrize("end", ["disconnect", "delete"])
def test_an_installation_that_ends_while_the_code_is_exchanged_leads_to_a_page(
    attempt, installation, heartland, monkeypatch, end, address_found
):
    heartland.switch(host_lookup_fails=not address_found)
    _meanwhile(monkeypatch, getattr(installation, end))
    answer = attempt.answer(code=attempt.code(), state=attempt.state)
    assert answer.status_code == 303
    assert attempt.browser.get(answer.headers["Location"]).status_code in (404, 410)
    assert not Installation.objects.filter(status=Status.CONNECTED).exists()


def _meanwhile(monkeypatch, happens: Callable[[], object]) -> None:
    """Let something happen between the provider's answer and our own last step."""
    from installations import verification

    verify = verification.verify

    def verify_then(*args):
        try:
            return verify(*args)
        finally:
            happens()

    monkeypatch.setattr(verification, "verify", verify_then)


# ── the issuer in the answer ────────────────────────────────────────────────────────────────────

ISSUER = "https://retail.heartland.us"
ISSUERS = {
    "exact": {"iss": ISSUER},
    "trailing slash": {"iss": f"{ISSUER}/"},
    "upper case": {"iss": "https://Retail.Heartland.US"},
    "default port": {"iss": f"{ISSUER}:443"},
    "http": {"iss": "http://retail.heartland.us"},
    "IDN look-alike": {"iss": "https://retail.heartl\u0430nd.us"},
    "twice": {"iss": [ISSUER, ISSUER]},
    "missing": {},
    "empty": {"iss": ""},
    "array": {"iss[]": ISSUER},
    "another in an error": {"iss": "https://evil.example", "error": "access_denied"},
    "missing in an error": {"error": "access_denied"},
}


@pytest.fixture
def with_test_library(settings):
    """The tests' own connectors beside the product's."""
    settings.CONNECTOR_LIBRARIES = [*settings.CONNECTOR_LIBRARIES, Path(__file__).parent / "library"]
    registry.all.cache_clear()
    yield
    registry.all.cache_clear()


@pytest.mark.django_db
@pytest.mark.parametrize("name", ISSUERS)
def test_only_the_exact_issuer_is_believed(name, with_test_library, account, heartland):
    installation = install(account, "issuer-test")
    store_client(account.partner, heartland, "issuer-test")
    attempt = attempt_of(installation)
    answer = attempt.answer(code=attempt.code(), state=attempt.state, **ISSUERS[name])
    installation.refresh_from_db()
    exact = name == "exact"
    assert token_calls(heartland) == int(exact)
    assert (installation.status == Status.CONNECTED) == exact
    if not exact:
        page = attempt.browser.get(answer.headers["Location"]).content.decode()
        assert "gave an answer that we cannot read" in page
        assert "You did not allow access" not in page


@pytest.mark.django_db
def test_no_issuer_is_asked_of_a_provider_that_names_none(attempt):
    assert registry.get("heartland-retail").manifest.method("authorization_code").issuer == ""
    assert attempt.finish()


# ── over real HTTP ──────────────────────────────────────────────────────────────────────────────


class Visitor(requests.Session):
    """A customer's browser that follows no redirect by itself and keeps every answer."""

    def __init__(self, product):
        super().__init__()
        self.product = product
        self.answers: list[requests.Response] = []

    def open(self, path: str) -> requests.Response:
        url = path if path.startswith("http") else self.product.origin + path
        answer = self.get(url, allow_redirects=False, timeout=60)
        self.answers.append(answer)
        return answer

    def press(self, path: str, **fields: str) -> requests.Response:
        """Load a page and send its form, as a browser does under the page's own referrer policy."""
        page = self.open(path)
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text).group(1)
        origin = "null" if page.headers["Referrer-Policy"] == "no-referrer" else self.product.origin
        answer = self.post(
            page.url,
            {"csrfmiddlewaretoken": token, **fields},
            headers={"Origin": origin},
            allow_redirects=False,
            timeout=60,
        )
        self.answers.append(answer)
        return answer

    def to_the_provider(self, link: str) -> str:
        """From the link to consent at the provider; the address that it sends the browser back to."""
        base = self.open(link).headers["Location"]
        self.press(f"{base}review/")
        self.press(f"{base}method/", auth_method="authorization_code")
        return consent_at_heartland(self.press(f"{base}consent/").headers["Location"])


def links_of(product, count: int) -> list[str]:
    """A new partner with an application at the stand-in, and setup links for its customers."""
    made = product.shell(
        'partner = Partner.objects.create(name="Fabrikam", domain="fabrikam.example")\n'
        'row = ConnectorSettings.objects.for_connector(partner.pk, "heartland-retail")\n'
        "print(partner.pk, row.redirect_uri)"
    )
    partner, redirect_uri = made.split()
    client_id, client_secret = product.heartland.register(redirect_uri)
    values = {"client_id": client_id, "client_secret": client_secret}
    links = product.shell(
        "from console.tenancy import Principal\n"
        f"partner = Partner.objects.get(pk={partner!r})\n"
        'row = ConnectorSettings.objects.for_connector(partner.pk, "heartland-retail")\n'
        f'row.change(Principal(partner.pk, "admin"), {values!r})\n'
        'account = Account.objects.create(partner=partner, name="Harbor Street Outfitters")\n'
        f"for _ in range({count}):\n"
        "    row = Installation.objects.create("
        'partner=partner, account=account, connector="heartland-retail")\n'
        '    print(SetupLink.issue(row, by="admin")[1])\n'
    )
    return links.split()


def test_of_fifty_identical_answers_at_once_one_exchanges_the_code(product):
    backs, said = [], len(product.log())
    for link in links_of(product, full(3, 100)):
        visitor = Visitor(product)
        backs.append((visitor, visitor.to_the_provider(link)))
        before = token_calls(product.heartland)
        answers = _at_once(50, *backs[-1])
        assert token_calls(product.heartland) - before == 1
        assert {status for status, _, _ in answers} == {303}
        assert sum(location.endswith("/done/") for _, location, _ in answers) >= 1
        friendly = "is connected</h1>", "<h1>This answer has been dealt with</h1>"
        assert [page for _, _, page in answers if not any(text in page for text in friendly)] == []
    rounds = len(backs)
    product.shell(
        "from datetime import timedelta\n"
        "from django.utils import timezone\n"
        "AuthorizationRequest.objects.update(expires_at=timezone.now() - timedelta(hours=1))"
    )
    before = token_calls(product.heartland)
    for visitor, back in backs:
        assert visitor.open(back).headers["Location"].endswith("/done/")
    assert token_calls(product.heartland) == before
    made = product.shell(
        'rows = Installation.objects.filter(partner__name="Fabrikam", status="connected")\n'
        "print(rows.count(), CredentialVersion.objects.filter(installation__in=rows).count())\n"
        'print(Event.objects.filter(kind="installation.connected", subject_id__in=rows).count())\n'
        'print(AuthorizationRequest.objects.filter(installation__in=rows, outcome="connected").count())'
    )
    assert set(made.split()) == {str(rounds)}
    assert not re.search(r"ERROR|Traceback|locked", product.log()[said:])


def _at_once(count: int, visitor: Visitor, back: str) -> list[tuple[int, str, str]]:
    """The same answer from many sockets; of each its status, where it leads, and the page there."""
    together = Barrier(count)

    def send(_):
        together.wait(30)
        answer = requests.get(back, cookies=visitor.cookies, allow_redirects=False, timeout=60)
        location = answer.headers["Location"]
        page = requests.get(
            visitor.product.origin + location, cookies=visitor.cookies, allow_redirects=False, timeout=60
        )
        return answer.status_code, location, page.text

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(send, range(count)))


def test_no_token_code_or_state_is_left_in_an_address_a_page_or_the_log(product):
    visitor = Visitor(product)
    (link,) = links_of(product, 1)
    back = visitor.to_the_provider(link)
    answer = visitor.open(back)
    base = answer.headers["Location"].removesuffix("done/")
    visitor.open(f"{base}done/")
    visitor.open(back)
    sent = dict(parse_qsl(urlsplit(back).query))
    canaries = [urlsplit(link).path.split("/")[2], sent["code"], sent["state"]]
    assert all(len(canary) >= 40 for canary in canaries)
    at_provider = [a for a in visitor.answers if a.headers.get("Location", "").startswith("http")]
    # The one place where the state belongs: the way to the provider.
    assert len(at_provider) == 1
    for kept in visitor.answers:
        location = "" if kept in at_provider else kept.headers.get("Location", "")
        seen = [location, kept.text, str(dict(kept.cookies))]
        assert not any(canary in text for canary in canaries for text in seen), kept.url
    log = product.log()
    assert "/oauth/callback/" in log
    for canary in canaries:
        assert canary not in log
        assert canary[:12] not in log


def test_link_setup_and_callback_pages_are_kept_by_nobody_and_load_nothing_from_elsewhere(product):
    visitor = Visitor(product)
    (link,) = links_of(product, 1)
    back = visitor.to_the_provider(link)
    for address in (link, "/s/unknown/", back, f"{back}x", back.partition("?")[0]):
        answer = visitor.open(address)
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        if location := answer.headers.get("Location"):
            visitor.open(location)
    for answer in visitor.answers:
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Referrer-Policy"] in ("no-referrer", "same-origin")
        assert answer.headers["X-Robots-Tag"] == "noindex"
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
        loaded = re.findall(r'(?:src|srcset|action|<link[^>]* href)="([^"]*)"', answer.text)
        assert all(urlsplit(url).netloc in ("", urlsplit(product.origin).netloc) for url in loaded), loaded
        assert not re.search(r"<(iframe|object|embed|base|meta http-equiv)", answer.text)
        if "<form" in answer.text:
            # Under no-referrer a browser sends `Origin: null` with the form, which is refused.
            assert answer.headers["Referrer-Policy"] == "same-origin"
    stylesheets = {
        url for answer in visitor.answers for url in re.findall(r'href="(/static/[^"]+\.css)"', answer.text)
    }
    assert stylesheets
    for url in stylesheets:
        assert not re.search(r"url\(['\"]?(\w+:)?//|@import", visitor.open(url).text)
