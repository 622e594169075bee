"""The console's own pages: signing in, accounts, the company, installing, and the pages for errors."""

import re
from html import unescape
from urllib.parse import quote

import pytest
from django.db.models.signals import pre_save
from django.test import Client
from django.urls import path

from connectors import registry
from console import throttle, urls
from console.middleware import network_of
from console.models import Account, ApiKey, Event, Partner, User
from installations.models import Installation
from tests.conftest import PASSWORD, person, sign_in

pytestmark = pytest.mark.django_db

OTHER_PASSWORD = "another staple battery horse"


def browser(**environ) -> Client:
    return Client(HTTP_HOST="console.test", **environ)


def text_of(answer) -> str:
    return unescape(answer.content.decode())


# A view that fails, for the page that says so.


def broken(request):
    raise RuntimeError("a mistake of ours")


urlpatterns = [*urls.urlpatterns, path("broken/", broken)]
handler400, handler403, handler404, handler500 = (
    urls.handler400,
    urls.handler403,
    urls.handler404,
    urls.handler500,
)


# ── signing in ──────────────────────────────────────────────────────────────────────────────────


class Clock:
    """Stands where throttle looks for the time."""

    def __init__(self):
        self.now = 1_800_000_000.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(throttle, "_now", clock.time)
    return clock


def try_to_sign_in(client: Client, email: str, password: str = PASSWORD, **more):
    return client.post("/sign-in/", {"username": email, "password": password, **more})


def is_signed_in(client: Client) -> bool:
    return client.get("/").status_code == 200


def test_a_member_signs_in_and_is_at_home(owner):
    client = browser()
    assert client.get("/").headers["Location"] == "/sign-in/?next=/"
    answer = try_to_sign_in(client, "  Owner@Northwind.example ")
    assert answer.headers["Location"] == "/"
    assert "Northwind Software" in text_of(client.get("/"))


def test_a_wrong_password_and_an_unknown_address_are_told_alike(owner):
    said = []
    for email in (owner.user.email, "nobody@northwind.example"):
        client = browser()
        page = text_of(try_to_sign_in(client, email, "wrong"))
        assert "This e-mail address and password do not belong together" in page
        assert "wrong" not in re.findall(r'value="([^"]*)"', page)
        assert not is_signed_in(client)
        token_gone = re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", page)
        said.append(token_gone.replace(email, ""))
    assert said[0] == said[1]


def test_a_user_who_is_switched_off_cannot_sign_in(owner):
    User.objects.filter(pk=owner.user.pk).update(is_active=False)
    client = browser()
    assert "do not belong together" in text_of(try_to_sign_in(client, owner.user.email))
    assert not is_signed_in(client)


def test_staff_without_a_partner_land_at_their_own_desk(staff):
    answer = try_to_sign_in(browser(), "staff@console.example")
    assert answer.headers["Location"] == "/staff/"


def test_ipv4_written_as_ipv6_is_no_network_that_all_share():
    assert network_of("::ffff:192.0.2.1") == network_of("192.0.2.1") == "192.0.2.1"
    assert network_of("::ffff:192.0.2.2") == "192.0.2.2"
    assert network_of("2001:db8:1:2::1") == network_of("2001:db8:1:2:ffff::1")


def test_ten_tries_a_minute_for_one_address_of_mail_from_one_place_whatever_the_browser(owner, clock):
    for number in range(10):
        client = browser(REMOTE_ADDR=f"2001:db8:1:2::{number}")
        page = text_of(
            try_to_sign_in(client, owner.user.email.upper() if number % 2 else owner.user.email, "x")
        )
        assert "do not belong together" in page
    client = browser(REMOTE_ADDR="2001:db8:1:2:ffff::1")
    page = text_of(try_to_sign_in(client, owner.user.email))
    assert "Too many tries" in page
    assert "Wait a minute" in page
    assert not is_signed_in(client)
    # Nobody else is kept out, and it is over with the minute.
    assert "do not belong together" in text_of(try_to_sign_in(client, "other@northwind.example", "x"))
    assert is_signed_in_after(browser(REMOTE_ADDR="192.0.2.7"), owner.user.email)
    clock.now += 60
    assert is_signed_in_after(client, owner.user.email)


def is_signed_in_after(client, email) -> bool:
    return try_to_sign_in(client, email).headers.get("Location") == "/"


def test_a_hundred_tries_a_minute_for_one_address_of_mail_from_wherever(owner, clock):
    for number in range(100):
        try_to_sign_in(browser(REMOTE_ADDR=f"192.0.2.{number}"), owner.user.email, "x")
    page = text_of(try_to_sign_in(browser(REMOTE_ADDR="198.51.100.1"), owner.user.email))
    assert "Too many tries" in page


def test_an_empty_form_spends_nobodys_tries(owner, clock):
    for _ in range(40):
        try_to_sign_in(browser(), owner.user.email, "")
    assert is_signed_in_after(browser(), owner.user.email)


def test_thirty_tries_a_minute_from_one_place_whatever_the_address_of_mail(owner, clock):
    client = browser(REMOTE_ADDR="192.0.2.1")
    for number in range(30):
        assert "do not belong" in text_of(try_to_sign_in(client, f"person-{number}@example.com", "x"))
    assert "Too many tries" in text_of(try_to_sign_in(client, owner.user.email))
    assert not is_signed_in(client)
    # What a browser says of itself makes no other place of it.
    forwarded = browser(REMOTE_ADDR="192.0.2.1", HTTP_X_FORWARDED_FOR="198.51.100.1")
    assert "Too many tries" in text_of(try_to_sign_in(forwarded, owner.user.email))
    elsewhere = browser(REMOTE_ADDR="192.0.2.2")
    assert try_to_sign_in(elsewhere, owner.user.email).headers["Location"] == "/"
    clock.now += 60
    assert try_to_sign_in(client, owner.user.email).headers["Location"] == "/"


def test_behind_a_trusted_proxy_the_place_is_what_the_proxy_saw(owner, clock, settings):
    settings.TRUSTED_PROXIES = 1
    for number in range(30):
        # The first part is the sender's own invention, the last one is the proxy's.
        client = browser(HTTP_X_FORWARDED_FOR=f"198.51.100.{number}, 192.0.2.1")
        try_to_sign_in(client, f"person-{number}@example.com", "x")
    client = browser(HTTP_X_FORWARDED_FOR="203.0.113.5, 192.0.2.1")
    assert "Too many tries" in text_of(try_to_sign_in(client, owner.user.email))
    client = browser(HTTP_X_FORWARDED_FOR="203.0.113.5, 192.0.2.2")
    assert try_to_sign_in(client, owner.user.email).headers["Location"] == "/"


@pytest.mark.parametrize("email", ["a b@example.com", "ä" * 200, "x\ty", "x" * 300, "x\0y", ""])
def test_whatever_is_typed_as_an_address_of_mail_gets_an_answer(db, email):
    assert try_to_sign_in(browser(), email, "x").status_code == 200


def test_signing_out_takes_a_button_not_a_link(owner):
    assert owner.client.get("/sign-out/").status_code == 405
    assert is_signed_in(owner.client)
    assert owner.client.post("/sign-out/").headers["Location"] == "/sign-in/"
    assert not is_signed_in(owner.client)


def change_password(client: Client, old: str = PASSWORD, new: str = OTHER_PASSWORD):
    return client.post("/password/", {"old_password": old, "new_password1": new, "new_password2": new})


def test_a_new_password_ends_every_other_session_and_keeps_this_one(owner):
    other = sign_in(owner.user)
    assert is_signed_in(other)
    answer = change_password(owner.client)
    assert answer.headers["Location"] == "/"
    assert "your other sessions were ended" in text_of(owner.client.get("/"))
    assert not is_signed_in(other)
    assert "do not belong together" in text_of(try_to_sign_in(browser(), owner.user.email))
    assert try_to_sign_in(browser(), owner.user.email, OTHER_PASSWORD).headers["Location"] == "/"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("wrong", OTHER_PASSWORD, "Your old password was entered incorrectly"),
        (PASSWORD, "short-words", "at least 12 characters"),
        (PASSWORD, "password12345", "too common"),
        (PASSWORD, "owner@northwind", "too similar"),
    ],
)
def test_a_password_that_will_not_do_changes_nothing(owner, old, new, said):
    other = sign_in(owner.user)
    assert said in text_of(change_password(owner.client, old, new))
    assert is_signed_in(other)
    assert User.objects.get(pk=owner.user.pk).check_password(PASSWORD)


@pytest.mark.parametrize("where", ["/accounts/", "/installations/?state=connected&q=a+b", "/company/"])
def test_after_signing_in_one_is_where_one_wanted_to_be(owner, where):
    client = browser()
    way = client.get(where).headers["Location"]
    page = text_of(client.get(way))
    following = re.search(r'name="next" value="([^"]*)"', page).group(1)
    assert try_to_sign_in(client, owner.user.email, next=following).headers["Location"] == where


FOREIGN = [
    "https://evil.example/",
    "http://evil.example/accounts/",
    "//evil.example/",
    "///evil.example/",
    "/\\evil.example/",
    "\\\\evil.example/",
    "https:evil.example",
    "https:///evil.example",
    "javascript:alert(1)",
    "data:text/html,x",
    "https://console.test@evil.example/",
    "https://console.test.evil.example/",
    "http://console.test:81/",
    " //evil.example/",
    "\t//evil.example/",
    "/\t/evil.example/",
    "/%0d%0aLocation:%20https://evil.example/\r\nX: y",
]


@pytest.mark.parametrize("where", FOREIGN)
def test_signing_in_leads_to_no_other_site(owner, where):
    for send in ("query", "body"):
        client = browser()
        url = "/sign-in/" if send == "body" else client.get("/sign-in/", {"next": where}).request["PATH_INFO"]
        answer = client.post(
            url,
            {
                "username": owner.user.email,
                "password": PASSWORD,
                **({"next": where} if send == "body" else {}),
            },
            query_params={"next": where} if send == "query" else None,
        )
        assert answer.status_code == 302
        location = answer.headers["Location"]
        assert location == "/" or (location.startswith("/%0d%0a") and "\n" not in location), location


# ── accounts ────────────────────────────────────────────────────────────────────────────────────


def test_an_account_is_added_found_changed_and_deleted(owner):
    answer = owner.client.post("/accounts/add/", {"name": "Pine & Sons", "external_id": "cust-7"})
    row = Account.objects.get()
    assert answer.headers["Location"] == f"/accounts/{row.pk}/"
    page = owner.client.get(f"/accounts/{row.pk}/")
    assert "Pine &amp; Sons was added." in page.content.decode()
    assert "cust-7" in text_of(page)
    owner.client.post(f"/accounts/{row.pk}/edit/", {"name": "Pine Stores", "external_id": "cust-8"})
    row.refresh_from_db()
    assert (row.name, row.external_id, row.partner) == ("Pine Stores", "cust-8", owner.partner)
    page = text_of(owner.client.get(f"/accounts/{row.pk}/delete/"))
    assert "Delete Pine Stores?" in page
    assert Account.objects.exists(), "looking at the question deletes nothing"
    answer = owner.client.post(f"/accounts/{row.pk}/delete/", follow=True)
    assert "Pine Stores was deleted." in text_of(answer)
    assert not Account.objects.exists()
    kinds = list(Event.objects.filter(subject_id=row.pk).order_by("at").values_list("kind", "actor"))
    assert kinds == [
        ("account.saved", owner.user.email),
        ("account.saved", owner.user.email),
        ("account.deleted", owner.user.email),
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("harbor", ["Harbor Street"]),
        ("STREET", ["Harbor Street", "Pine Street"]),
        ("  pine  ", ["Pine Street"]),
        ("cust-2", ["Pine Street"]),
        ("cust", ["Harbor Street", "Pine Street"]),
        ("%", []),
        ("_", []),
        ("nothing", []),
    ],
)
def test_accounts_are_found_by_parts_of_their_name_and_external_id(owner, stranger, text, found):
    for name, external_id in (("Harbor Street", "cust-1"), ("Pine Street", "cust-2"), ("Oak Lane", "")):
        Account.objects.create(partner=owner.partner, name=name, external_id=external_id)
    Account.objects.create(partner=stranger.partner, name="Harbor Street of Contoso", external_id="cust-1")
    page = text_of(owner.client.get("/accounts/", {"q": text}))
    names = re.findall(r'<td class="main"><a href="/accounts/[^"]+">([^<]+)</a>', page)
    assert names == found
    if not found:
        assert f"No account matches “{text.strip()}”" in page
        assert "Show all accounts" in page


def test_an_external_id_that_is_taken_is_said_beside_its_field(owner, stranger):
    Account.objects.create(partner=owner.partner, name="Harbor", external_id="cust-1")
    pine = Account.objects.create(partner=owner.partner, name="Pine", external_id="cust-2")
    for url in ("/accounts/add/", f"/accounts/{pine.pk}/edit/"):
        answer = owner.client.post(url, {"name": "Pine again", "external_id": "cust-1"})
        assert answer.status_code == 422
        field = text_of(answer).split("cust-1", 1)[1]
        assert "Another account has this external ID already." in field
    pine.refresh_from_db()
    assert (pine.name, pine.external_id) == ("Pine", "cust-2")
    # To itself a row is no other, another partner has ids of its own, and none is no id.
    answer = owner.client.post(f"/accounts/{pine.pk}/edit/", {"name": "Pine", "external_id": "cust-2"})
    assert answer.status_code == 302
    assert stranger.client.post("/accounts/add/", {"name": "A", "external_id": "cust-1"}).status_code == 302
    for _ in range(2):
        assert owner.client.post("/accounts/add/", {"name": "B", "external_id": ""}).status_code == 302


def test_an_external_id_taken_at_the_same_moment_is_said_alike(owner):
    def somebody_is_quicker(sender, instance, **kwargs):
        twin = Account(partner=instance.partner, name="Quicker", external_id=instance.external_id)
        Account.objects.bulk_create([twin])

    pre_save.connect(somebody_is_quicker, sender=Account)
    try:
        answer = owner.client.post("/accounts/add/", {"name": "Slower", "external_id": "cust-1"})
    finally:
        pre_save.disconnect(somebody_is_quicker, sender=Account)
    assert answer.status_code == 422
    assert "Another account has this external ID already." in text_of(answer)
    assert not Account.objects.filter(name="Slower").exists()
    assert not Event.objects.exists()


def test_a_form_that_is_not_accepted_changes_nothing_not_even_the_headings(owner, account):
    Account.objects.create(partner=owner.partner, name="Pine", external_id="taken")
    answer = owner.client.post(f"/accounts/{account.pk}/edit/", {"name": "Changed", "external_id": "taken"})
    assert answer.status_code == 422
    assert "Harbor Street Outfitters</a></li>" in text_of(answer)
    answer = owner.client.post("/company/", {"name": "Changed", "return_urls": "http://no.example/"})
    assert answer.status_code == 422
    assert '<span class="topbar-partner">Northwind Software</span>' in text_of(answer)
    account.refresh_from_db()
    assert account.name == "Harbor Street Outfitters"
    assert Partner.objects.get(pk=owner.partner.pk).name == "Northwind Software"


def test_an_account_with_installations_is_not_deleted(owner, account, installation):
    for answer in (
        owner.client.get(f"/accounts/{account.pk}/delete/"),
        owner.client.post(f"/accounts/{account.pk}/delete/"),
    ):
        assert answer.status_code == 200
        assert "has 1 installation. Delete it first" in text_of(answer)
        assert "Delete account" not in text_of(answer)
    assert Account.objects.filter(pk=account.pk).exists()
    installation.delete()
    assert owner.client.post(f"/accounts/{account.pk}/delete/").headers["Location"] == "/accounts/"


def test_names_are_shown_as_they_are_and_never_run(owner):
    owner.client.post("/accounts/add/", {"name": "<script>alert(1)</script>", "external_id": "\"'<b>"})
    row = Account.objects.get()
    for url in (
        "/accounts/",
        f"/accounts/{row.pk}/",
        f"/accounts/{row.pk}/edit/",
        f"/accounts/{row.pk}/delete/",
        "/",
    ):
        page = owner.client.get(url).content.decode()
        assert "<script>alert" not in page
        assert "<b>" not in page


@pytest.mark.parametrize(
    "text", ["\0", "a\0b", "'", '"', "\\", "%_", "é\u0301", "\U0001f980", "x" * 10_000, "\ud800"]
)
def test_anything_may_be_searched_for(owner, account, installation, text):
    sent = quote(text, errors="surrogatepass")
    for url in (
        "/accounts/?q=",
        "/installations/?q=",
        "/installations/?connector=",
        "/installations/?state=",
    ):
        assert owner.client.get(url + sent).status_code == 200, url
    for url in ("/connectors/library/?q=", "/installations/add/?q=", "/installations/add/?account="):
        assert owner.client.get(url + sent).status_code == 200, url
    url = f"/installations/add/?account={account.pk}&connector="
    assert owner.client.get(url + sent).status_code == 200


@pytest.mark.parametrize("number", ["2", "x", "-1", "0", "999999999999999999999999", "1.5", ""])
def test_any_page_number_leads_to_some_page(owner, number):
    Account.objects.bulk_create(
        Account(partner=owner.partner, name=f"Account {number:03d}") for number in range(60)
    )
    page = text_of(owner.client.get("/accounts/", {"page": number}))
    shown = re.findall(r">Account (\d+)<", page)
    assert shown == [f"{n:03d}" for n in (range(50, 60) if number in ("2", "9" * 24) else range(50))]
    assert ("51–60 of 60" if len(shown) == 10 else "1–50 of 60") in page


# ── the company ─────────────────────────────────────────────────────────────────────────────────


def test_the_company_profile_is_what_customers_see(owner, stranger):
    page = text_of(owner.client.get("/company/"))
    assert "https://app.northwind.example/connected" in page
    answer = owner.client.post(
        "/company/",
        {
            "name": "Northwind AG",
            # Not theirs to say: customers trust it.
            "domain": "accounts.google.com",
            "return_urls": "https://a.example/x\n\n https://b.example/y \nhttps://a.example/x",
        },
        follow=True,
    )
    assert "Saved." in text_of(answer)
    partner = Partner.objects.get(pk=owner.partner.pk)
    assert (partner.name, partner.domain) == ("Northwind AG", "northwind.example")
    assert partner.return_urls == ["https://a.example/x", "https://b.example/y"]
    assert Event.objects.get(kind="partner.changed").actor == owner.user.email
    assert Partner.objects.get(pk=stranger.partner.pk).name == "Contoso Systems"


@pytest.mark.parametrize(
    "domain", ["", "https://northwind.example", "northwind", "a b.example", "x.example/y"]
)
def test_a_domain_is_a_host_name_and_nothing_more(staff, northwind, domain):
    url = f"/staff/console/partner/{northwind.pk}/change/"
    answer = staff.post(url, {"name": "Northwind", "domain": domain, "return_urls": "[]", "is_active": "on"})
    assert answer.status_code == 200
    assert Partner.objects.get(pk=northwind.pk).domain == "northwind.example"


@pytest.mark.parametrize("name", ["Northwind\nBcc: somebody@example.org", "\u202eelgooG", "North\u200bwind"])
def test_a_companys_name_is_what_people_read(owner, name):
    answer = owner.client.post("/company/", {"name": name, "return_urls": ""})
    assert answer.status_code == 422
    assert Partner.objects.get(pk=owner.partner.pk).name == "Northwind Software"


@pytest.mark.parametrize("urls", ['["javascript:alert(1)"]', '["http://evil.example/"]', "5", "[1]", "null"])
def test_support_cannot_let_a_setup_lead_astray(staff, northwind, urls):
    url = f"/staff/console/partner/{northwind.pk}/change/"
    form = {"name": "Northwind", "domain": "northwind.example", "return_urls": urls, "is_active": "on"}
    assert staff.post(url, form).status_code == 200
    assert Partner.objects.get(pk=northwind.pk).return_urls == ["https://app.northwind.example/connected"]


# ── empty pages ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("url", "said", "button", "leads_to"),
    [
        ("/accounts/", "No accounts yet", "Add account", "/accounts/add/"),
        ("/accounts/?q=x", "No account matches", "Show all accounts", "/accounts/"),
        ("/installations/", "Nothing is installed yet", "Install a connector", "/installations/add/"),
        ("/installations/?q=x", "No installation matches", "Show all installations", "/installations/"),
        (
            "/installations/?state=connected",
            "No installation matches",
            "Show all installations",
            "/installations/",
        ),
        ("/installations/add/", "No accounts yet", "Add account", "/accounts/add/"),
        (
            "/connectors/library/?q=nosuch",
            "No connector matches",
            "Show all connectors",
            "/connectors/library/",
        ),
        (
            "/connectors/library/?configured=complete",
            "No connector matches",
            "Show all connectors",
            "/connectors/library/",
        ),
    ],
)
def test_an_empty_page_says_what_to_do_next(owner, url, said, button, leads_to):
    page = text_of(owner.client.get(url))
    empty = page.split('<div class="empty">')[1].split("</div>")[0]
    assert said in empty
    assert re.search(rf'href="{re.escape(leads_to)}">{button}</a>', empty), empty
    assert owner.client.get(leads_to).status_code == 200


def test_an_empty_library_says_where_connectors_come_from(owner, settings, tmp_path):
    settings.CONNECTOR_LIBRARIES = [tmp_path]
    registry.all.cache_clear()
    try:
        assert "The library is empty" in text_of(owner.client.get("/connectors/library/"))
    finally:
        registry.all.cache_clear()


def test_an_account_without_installations_says_what_to_do_next(owner, account):
    page = text_of(owner.client.get(f"/accounts/{account.pk}/"))
    assert "Nothing installed yet" in page
    assert f'href="/installations/add/?account={account.pk}"' in page


def test_the_first_steps_are_ticked_off_one_by_one(owner):
    def done() -> list[bool]:
        page = text_of(owner.client.get("/"))
        steps = page.split('<ol class="checklist">')[1].split("</ol>")[0]
        return [found == ' class="done"' for found in re.findall(r"<li( class=\"done\")?>", steps)]

    assert done() == [False, False, False, False]
    ApiKey.objects.create(partner=owner.partner, name="Nightly import", prefix="x" * 12, scopes=["read"])
    assert done() == [False, False, False, True]
    owner.client.post(
        "/connectors/library/heartland-retail/settings/", {"client_id": "a", "client_secret": "b"}
    )
    assert done() == [True, False, False, True]
    owner.client.post("/accounts/add/", {"name": "Harbor", "external_id": ""})
    assert done() == [True, True, False, True]
    Installation.objects.create(
        partner=owner.partner, account=Account.objects.get(), connector="heartland-retail"
    )
    page = text_of(owner.client.get("/"))
    assert "First steps" not in page
    assert "What needs attention" in page


# ── installing ──────────────────────────────────────────────────────────────────────────────────


def links_in(page: str) -> list[str]:
    return re.findall(r'<td class="main"><a[^>]* href="([^"]+)"', page)


def test_installing_leads_from_the_account_over_the_connector_to_the_name(owner, account):
    Account.objects.create(partner=owner.partner, name="Another")
    page = text_of(owner.client.get("/installations/add/", {"q": "harbor"}))
    [choice] = links_in(page)
    assert choice == f"?account={account.pk}"
    page = text_of(owner.client.get("/installations/add/" + choice))
    assert "Which application?" in page
    [choice] = [link for link in links_in(page) if "connector=heartland-retail" in link]
    page = text_of(owner.client.get("/installations/add/" + choice))
    assert "Install Heartland Retail" in page
    assert "in Harbor Street Outfitters" in page
    buttons = re.findall(r'name="then" value="(\w+)">([^<]+)<', page)
    assert buttons == [
        ("now", "Install and set up now"),
        ("link", "Install and send a setup link"),
        ("later", "Install without setup"),
    ]
    assert not Installation.objects.exists()


@pytest.mark.parametrize(
    ("then", "leads_to"), [("now", "setup/"), ("link", "links/"), ("later", ""), ("", "setup/")]
)
def test_each_button_installs_and_leads_on(owner, account, then, leads_to):
    answer = owner.client.post(
        f"/installations/add/?account={account.pk}&connector=heartland-retail",
        {"name": "Shop floor", "description": "Two tills", "then": then},
    )
    row = Installation.objects.get()
    assert answer.headers["Location"] == f"/installations/{row.pk}/{leads_to}"
    assert (row.partner, row.account, row.connector) == (owner.partner, account, "heartland-retail")
    assert (row.name, row.description, row.status) == ("Shop floor", "Two tills", "not_set_up")
    assert Event.objects.get(kind="installation.created").subject_id == row.pk
    assert owner.client.get(answer.headers["Location"], follow=True).status_code == 200


def test_coming_from_a_connector_one_is_asked_for_the_account_alone(owner, account):
    page = text_of(owner.client.get("/connectors/library/heartland-retail/"))
    assert 'href="/installations/add/?connector=heartland-retail"' in page
    page = text_of(owner.client.get("/installations/add/?connector=heartland-retail"))
    [choice] = links_in(page)
    assert "Shop floor" not in page
    assert "Install Heartland Retail" in text_of(owner.client.get("/installations/add/" + choice))


@pytest.mark.parametrize("query", ["account=nonsense", "account=", "connector=nonsense", ""])
def test_what_is_not_known_is_asked(owner, account, query):
    assert "For which of your customers?" in text_of(owner.client.get(f"/installations/add/?{query}"))
    assert owner.client.post(f"/installations/add/?{query}", {"name": "x"}).status_code == 200
    page = text_of(owner.client.get(f"/installations/add/?account={account.pk}&connector=nonsense"))
    assert "Which application?" in page
    assert not Installation.objects.exists()


# ── errors ──────────────────────────────────────────────────────────────────────────────────────

REFERENCE = re.compile(r"Reference <code>([A-Z2-9]{8})</code>")


def reference_on(answer) -> str:
    page = answer.content.decode()
    assert page.startswith("<!doctype html>")
    assert "Partner Console" in page
    assert "Who can mend it?" in page
    found = REFERENCE.search(page).group(1)
    assert found == answer["X-Request-Id"]
    return found


def test_a_form_without_its_token_gets_a_page_of_ours_and_changes_nothing(owner):
    strict = Client(HTTP_HOST="console.test", enforce_csrf_checks=True)
    strict.force_login(owner.user)
    answer = strict.post("/accounts/add/", {"name": "Forged", "external_id": ""})
    assert answer.status_code == 403
    assert "This form was open too long" in text_of(answer)
    assert 'href="/accounts/add/"' in text_of(answer)
    reference_on(answer)
    assert not Account.objects.exists()
    token = re.search(
        r'name="csrfmiddlewaretoken" value="(\w+)"', text_of(strict.get("/accounts/add/"))
    ).group(1)
    form = {"name": "Real", "external_id": "", "csrfmiddlewaretoken": token}
    assert strict.post("/accounts/add/", form).status_code == 302
    assert strict.post("/accounts/add/", form, headers={"Origin": "https://evil.example"}).status_code == 403


@pytest.mark.parametrize(
    "url", ["/nothing/", "/accounts/nonsense/", "/connectors/library/nothing/", "/static/x.css"]
)
def test_an_unknown_address_gets_a_page_of_ours(owner, url):
    for client in (owner.client, browser()):
        answer = client.get(url, follow=True)
        if answer.redirect_chain:
            assert answer.redirect_chain[0][0].startswith("/sign-in/")
            continue
        assert answer.status_code == 404
        assert "There is nothing at this address" in text_of(answer)
        reference_on(answer)


@pytest.mark.parametrize(
    ("method", "url", "allowed"),
    [
        ("post", "/", {"GET", "HEAD"}),
        ("delete", "/accounts/add/", {"GET", "HEAD", "POST"}),
        ("get", "/sign-out/", {"POST", "OPTIONS"}),
        ("put", "/healthz", {"GET", "HEAD"}),
        ("patch", "/s/abc/", {"GET", "HEAD"}),
    ],
)
def test_a_method_that_a_page_does_not_take_gets_a_page_of_ours(owner, method, url, allowed):
    answer = getattr(owner.client, method)(url)
    assert answer.status_code == 405
    assert set(answer["Allow"].split(", ")) == allowed
    assert "This address cannot be opened that way" in text_of(answer)
    reference_on(answer)


def test_a_host_that_is_not_ours_gets_a_page_of_ours(owner):
    answer = Client(HTTP_HOST="evil.example").get("/sign-in/")
    assert answer.status_code == 400
    assert "This request cannot be read" in text_of(answer)
    assert "evil" not in text_of(answer)
    reference_on(answer)


def test_a_form_of_a_thousand_and_one_fields_gets_a_page_of_ours(owner):
    answer = owner.client.post("/accounts/add/", {f"field-{number}": "x" for number in range(1001)})
    assert answer.status_code == 400
    assert "This request cannot be read" in text_of(answer)
    reference_on(answer)


def test_a_mistake_of_ours_gets_a_page_with_the_number_that_stands_in_the_log(owner, settings, caplog):
    settings.ROOT_URLCONF = __name__
    owner.client.raise_request_exception = False
    with caplog.at_level("INFO"):
        answer = owner.client.get("/broken/?code=secret")
    assert answer.status_code == 500
    page = text_of(answer)
    assert "Something went wrong on our side" in page
    assert "RuntimeError" not in page
    assert "a mistake of ours" not in page
    lines = [record for record in caplog.records if record.name == "console.request"]
    assert len(lines) == 1
    assert "/broken/ 500" in lines[0].getMessage()
    assert f"ref={reference_on(answer)}" in lines[0].context
    failures = [record for record in caplog.records if record.name == "django.request" and record.exc_info]
    assert [str(record.exc_info[1]) for record in failures] == ["a mistake of ours"]
    assert "secret" not in caplog.text


def test_every_answer_has_its_own_reference_number(owner):
    numbers = {owner.client.get("/healthz")["X-Request-Id"] for _ in range(20)}
    assert len(numbers) == 20
    assert all(re.fullmatch("[A-Z2-9]{8}", number) for number in numbers)


def test_the_server_says_whether_it_works(db):
    answer = browser().get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert not answer.cookies
    assert browser().head("/healthz").status_code == 200


def test_somebody_new_at_a_partner_sees_what_is_there(owner, account):
    new = person("new@northwind.example", owner.partner)
    assert account.name in text_of(new.client.get("/accounts/"))


def test_the_founding_documents_own_words_find_the_connector(owner):
    page = owner.client.get("/connectors/library/", {"q": "Heartland Retail Connector"}).content.decode()
    assert "Edit Heartland Retail" in page


def test_a_company_that_support_pauses_meanwhile_stays_paused(owner, monkeypatch):
    from console.forms import PartnerForm

    real = PartnerForm.is_valid

    def pause_meanwhile(form):
        Partner.objects.update(is_active=False)
        return real(form)

    monkeypatch.setattr(PartnerForm, "is_valid", pause_meanwhile)
    owner.client.post("/company/", {"name": "Northwind", "domain": "northwind.example", "return_urls": ""})
    owner.partner.refresh_from_db()
    assert (owner.partner.name, owner.partner.is_active) == ("Northwind", False)


def test_the_record_says_what_changed_and_not_what_was_sent_along(owner):
    url = "/connectors/library/heartland-retail/settings/"
    both = {"auth_methods": ["api_key", "authorization_code"]}
    owner.client.post(url, {"client_id": "one", **both})
    owner.client.post(url, {"client_id": "one", **both})
    events = Event.objects.filter(kind="connector_settings.changed")
    assert [event.details for event in events] == [{"stored": ["client_id"], "removed": [], "fields": []}]


def test_a_fault_that_reaches_the_session_too_still_ends_in_a_page_of_ours(owner, monkeypatch):
    """The page for errors asks nothing of what may be broken."""
    from django.contrib.sessions.backends.db import SessionStore
    from django.db import OperationalError

    def broken(self):
        raise OperationalError("the database is gone")

    owner.client.raise_request_exception = False
    monkeypatch.setattr(SessionStore, "load", broken)
    answer = owner.client.get("/accounts/")
    assert answer.status_code == 500
    assert "Something went wrong on our side" in answer.content.decode()
    assert answer["X-Request-Id"]
