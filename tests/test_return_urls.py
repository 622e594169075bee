"""Where a person is led afterwards: to an exact address of the partner's list, or nowhere.

RFC 9700, section 4.11.
"""

import re
from html import unescape
from urllib.parse import urlencode, urljoin, urlsplit

import pytest
from django.core.cache import cache
from django.test import Client

from installations.models import Installation, SetupLink, Status
from tests.conftest import PASSWORD, open_link

pytestmark = pytest.mark.django_db

LISTED = "https://app.northwind.example/connected"

# No address that we and every browser would read alike.
MISLEADING = [
    "//evil.example",
    "///evil.example",
    "////evil.example/%2f..",
    "/\\evil.example",
    "\\\\evil.example",
    "\\/evil.example",
    "/\t/evil.example",
    "%2f%2fevil.example",
    "/%5cevil.example",
    "/connected",
    "https:evil.example",
    "https:/evil.example",
    "https:///evil.example",
    "https:\\\\evil.example",
    "https:/\\evil.example",
    "https://evil.example\\@app.northwind.example/connected",
    "https://app.northwind.example@evil.example/connected",
    "https://app.northwind.example:443@evil.example/connected",
    "https://app.northwind.example%40evil.example/connected",
    "https://app.northwind.example%2eevil.example/connected",
    "https://evil.example%2f.app.northwind.example/connected",
    "https://evil.example%23.app.northwind.example/connected",
    "https://evil.example#app.northwind.example/connected",
    "https://evil.example;app.northwind.example/connected",
    "https://app.northwind.example|evil.example/connected",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "\x01javascript:alert(1)",
    "java\tscript:alert(1)",
    "javascript://app.northwind.example/%0aalert(1)",
    "data:text/html,<script>alert(1)</script>",
    "file:///etc/passwd",
    "blob:https://app.northwind.example/connected",
    "http://app.northwind.example/connected",
    "ftp://app.northwind.example/connected",
    "https://app.northwind.example/connected\r\nSet-Cookie:a=b",
    "https://app.northwind.example/connected\x00",
    "https://app.northwind.example\u3002evil.example/connected",
    "https://evil.example\uff0fapp.northwind.example/connected",
    "https://\u0430pp.northwind.example/connected",
    "https://app.northwind.example/connected\u202e",
    "https://app.northwind.example/connected/../../evil",
    "https://app.northwind.example//evil.example",
    "https://app.northwind.example:80a/connected",
    "https://app.northwind.example:99999/connected",
    "https://[::1]/connected",
    "https://[::ffff:127.0.0.1]/connected",
    "https://127.0.0.1/connected",
    "https://0x7f.1/connected",
    'https://app.northwind.example/"onclick="alert(1)',
]
# Addresses in good order, but not the one on the list.
OTHERS = [
    "https://evil.example/connected",
    "https://app.northwind.example.evil.example/connected",
    "https://evil-app.northwind.example/connected",
    "https://app.northwind.example:8443/connected",
    "https://app.northwind.example/connected/",
    "https://app.northwind.example/Connected",
    "https://app.northwind.example/connected?next=https:evil.example",
    "https://app.northwind.example/%2e%2e/evil",
    "https://app.northwind.example/connected%0d%0aSet-Cookie:a=b",
    "HTTPS://APP.NORTHWIND.EXAMPLE/connected",
]
HOSTILE = MISLEADING + OTHERS


def stays_here(location: str) -> bool:
    """Whether a browser that follows this stays at the console: read as browsers read it."""
    read = re.sub(r"[\t\r\n]", "", location.strip("\x00\x01 ")).replace("\\", "/")
    there = urlsplit(urljoin("http://console.test/sign-in/", read))
    return (there.scheme, there.netloc) == ("http", "console.test")


def ways_out(page: str) -> list[str]:
    """Every address of a page that leads away from the console."""
    found = re.findall(r"""(?:href|src|action|formaction|content)=(?:"([^"]*)"|'([^']*)')""", page)
    addresses = [unescape(one or two) for one, two in found]
    return [url for url in addresses if not stays_here(url) and not url.startswith("width=device-width")]


def test_there_are_sixty_strings_and_none_is_the_listed_address():
    assert len(set(HOSTILE)) == len(HOSTILE) == 60
    assert LISTED not in HOSTILE
    assert not any(stays_here(url) for url in ("//evil.example", "/\\evil.example", "\\\\evil.example"))


# ── the partner's list ──────────────────────────────────────────────────────────────────────────


def company(owner, *return_urls: str):
    fields = {"name": "Northwind Software", "domain": "northwind.example"}
    return owner.client.post("/company/", {**fields, "return_urls": "\n".join(return_urls)})


@pytest.mark.parametrize("url", MISLEADING, ids=ascii)
def test_the_company_profile_refuses(url, owner):
    for urls in ([url], [LISTED, url], [url, LISTED]):
        answer = company(owner, *urls)
        assert answer.status_code == 422
        owner.partner.refresh_from_db()
        assert owner.partner.return_urls == [LISTED]
        page = answer.content.decode()
        assert "<script>alert" not in page
        assert '"onclick="' not in page
        assert ways_out(page) == []


@pytest.mark.parametrize("url", OTHERS, ids=ascii)
def test_the_company_profile_keeps_an_address_in_good_order_as_it_is(url, owner):
    assert company(owner, url).status_code == 302
    owner.partner.refresh_from_db()
    assert owner.partner.return_urls == [url]


# ── the setup link ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("url", HOSTILE, ids=ascii)
def test_a_setup_link_cannot_lead_to(url, owner, installation):
    answer = owner.client.post(f"/installations/{installation.pk}/links/", {"return_url": url})
    assert answer.status_code == 422
    assert not SetupLink.objects.exists()
    assert ways_out(answer.content.decode()) == []


def test_a_setup_link_of_a_partner_without_a_list_leads_nowhere(owner, installation):
    company(owner)
    for url in (LISTED, *HOSTILE):
        owner.client.post(f"/installations/{installation.pk}/links/", {"return_url": url})
    assert set(SetupLink.objects.values_list("return_url", flat=True)) == {""}


@pytest.fixture
def finished(installation) -> tuple[Client, SetupLink]:
    """A customer's browser on the closing page of a link that leads back to the listed address."""
    browser, link, _ = open_link(installation, return_url=LISTED)
    Installation.objects.update(status=Status.CONNECTED, connected_at=link.created_at)
    SetupLink.objects.update(completed_at=link.created_at)
    return browser, link


def test_the_closing_page_leads_to_the_listed_address(finished):
    browser, link = finished
    assert ways_out(browser.get(f"/setup/{link.pk}/done/").content.decode()) == [LISTED]


def test_an_address_that_was_taken_off_the_list_leads_nowhere(finished, owner):
    browser, link = finished
    for urls in ([], [f"{LISTED}/"], ["https://other.northwind.example/"]):
        assert company(owner, *urls).status_code == 302
        assert ways_out(browser.get(f"/setup/{link.pk}/done/").content.decode()) == []
    company(owner, "https://other.northwind.example/", LISTED)
    assert ways_out(browser.get(f"/setup/{link.pk}/done/").content.decode()) == [LISTED]


def test_an_address_that_got_into_a_link_but_not_onto_the_list_leads_nowhere(finished):
    browser, link = finished
    for url in HOSTILE:
        SetupLink.objects.update(return_url=url.replace("\x00", "\x01"))
        page = browser.get(f"/setup/{link.pk}/done/").content.decode()
        assert "is connected</h1>" in page
        assert ways_out(page) == []


def test_a_list_of_another_partner_does_not_count(finished, contoso):
    browser, link = finished
    contoso.return_urls = ["https://app.contoso.example/"]
    contoso.save()
    SetupLink.objects.update(return_url="https://app.contoso.example/")
    assert ways_out(browser.get(f"/setup/{link.pk}/done/").content.decode()) == []


# ── addresses in a query ────────────────────────────────────────────────────────────────────────

NAMES = ("next", "return_url", "return_to", "redirect", "redirect_uri", "url", "continue")


@pytest.mark.parametrize("url", [LISTED, *HOSTILE], ids=ascii)
def test_a_query_leads_a_customer_nowhere(url, installation):
    query = dict.fromkeys(NAMES, url)
    link, address = SetupLink.issue(installation, by="admin")
    browser, base = Client(), f"/setup/{link.pk}/"
    answers = [
        browser.get(urlsplit(address).path, query),
        browser.get(base, query),
        browser.get(f"{base}review/", query),
        browser.post(f"{base}review/", query, query_params=query),
        browser.get(f"{base}done/", query),
        browser.get(f"/oauth/callback/{installation.pk}/", query),
        Client().get(base, query),
    ]
    locations = [answer.headers.get("Location") for answer in answers]
    assert locations[:5] == [base, f"{base}review/", None, f"{base}method/", f"{base}method/"]
    assert locations[5].startswith("/oauth/problem/attempt_unknown/")
    for answer in answers:
        assert ways_out(answer.content.decode()) == []


@pytest.mark.parametrize("url", [LISTED, *HOSTILE], ids=ascii)
def test_signing_in_and_out_leads_to_a_page_of_the_console(url, owner):
    cache.clear()
    page = Client().get("/sign-in/", {"next": url})
    assert ways_out(page.content.decode()) == []
    signed_in = {"username": owner.user.email, "password": PASSWORD}
    query = urlencode({"next": url})
    browser = Client(HTTP_HOST="console.test")
    answers = [
        browser.post("/sign-in/", {**signed_in, "next": url}),
        browser.post(f"/sign-in/?{query}", signed_in),
        Client(HTTP_HOST="console.test").get("/staff/login/", {"next": url}),
        browser.get(f"/staff/?{query}"),
        browser.post("/sign-out/", {"next": url}),
        browser.post(f"/sign-out/?{query}"),
    ]
    for answer in answers:
        if "\0" in url and answer.status_code == 400:
            continue
        assert answer.status_code == 302
        assert stays_here(answer.headers["Location"]), answer.headers["Location"]


def test_signing_in_leads_on_to_the_page_that_was_asked_for(owner):
    browser = Client(HTTP_HOST="console.test")
    asked = browser.get("/accounts/?q=harbor")
    assert asked.headers["Location"] == "/sign-in/?next=/accounts/%3Fq%3Dharbor"
    signed_in = {"username": owner.user.email, "password": PASSWORD}
    assert browser.post(asked.headers["Location"], signed_in).headers["Location"] == "/accounts/?q=harbor"


@pytest.mark.parametrize(
    "path", ["//evil.example", "//evil.example/accounts", "/\\evil.example", "//accounts"]
)
def test_an_address_with_two_slashes_in_front_redirects_nowhere(path, owner):
    for browser in (Client(), owner.client):
        answer = browser.get("/", PATH_INFO=path)
        assert answer.status_code == 404
        assert ways_out(answer.content.decode()) == []
