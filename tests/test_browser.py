"""The walks of the product's people, in a real browser against the real server.

Every page that a walk meets is looked at: axe finds nothing in light and in dark, nothing scrolls
sideways at 320 px, no script error, no breach of the content security policy, nothing from elsewhere.
"""

import os
import re
import shutil
from contextlib import suppress
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeout
from standardwebhooks import Webhook

from tests.product import Product

pytestmark = pytest.mark.browser

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
# Milliseconds. A machine that does other things as well is slow, not wrong.
PATIENCE = 45_000
expect.set_options(timeout=PATIENCE)
GUIDE = "connectors/library/heartland-retail"


@pytest.fixture(scope="module")
def chromium():
    if CHROMIUM is None:
        why = "Chromium is not installed, so no browser test ran. On Debian: apt install chromium"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(why)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"],
        )
        yield browser
        browser.close()


@pytest.fixture(
    params=[
        pytest.param(DESKTOP, id="desktop"),
        pytest.param(PHONE, id="phone", marks=pytest.mark.appearance),
    ]
)
def viewport(request):
    return request.param


class Visitor:
    """A person with a browser of their own, whose every page is looked at."""

    def __init__(self, browser: Browser, product: Product, viewport: dict = DESKTOP, **options):
        self.product, self.viewport = product, viewport
        self.runs_scripts = options.get("java_script_enabled", True)
        self.context: BrowserContext = browser.new_context(viewport=viewport, **options)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.faults: list[str] = []
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", self._said)
        self.page.on("request", self._requested)

    def _said(self, message):
        # A page of ours with status 4xx is said in the console too, and is no fault.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.faults.append(message.text)

    def _requested(self, request):
        known = (urlsplit(self.product.origin).netloc, urlsplit(self.product.heartland.origin).netloc)
        if urlsplit(request.url).netloc not in known:
            self.faults.append(f"loads {request.url}")

    def goes_to(self, path: str) -> "Visitor":
        self.page.goto(self.product.origin + path if path.startswith("/") else path)
        return self

    def clicks(self, name: str, role: str = "button") -> "Visitor":
        self.page.get_by_role(role, name=name, exact=True).first.click()
        return self

    def follows(self, name: str) -> "Visitor":
        """A link or a button, whichever the stand-in's page has."""
        button, link = (self.page.get_by_role(role, name=name, exact=True) for role in ("button", "link"))
        button.or_(link).click()
        return self

    def chooses(self, *names: str) -> "Visitor":
        """Follow the menu, which a phone shows when asked."""
        menu = self.page.get_by_role("navigation", name="Main").get_by_role("link", name=names[-1])
        toggle = self.page.locator(".nav-toggle > summary")
        # The page that a click before this one leads to may arrive, its menu shut, between two looks.
        for _ in range(10):
            if toggle.is_visible() and not menu.is_visible():
                toggle.click()
            with suppress(PlaywrightTimeout):
                menu.click(timeout=PATIENCE / 10)
                return self
        raise AssertionError(f"{self.page.url} shows no {names[-1]!r} in its menu")

    def enters(self, **values: str) -> "Visitor":
        for label, value in values.items():
            self.page.get_by_label(label.replace("_", " "), exact=True).fill(value)
        return self

    def sees(self, text: str) -> "Visitor":
        expect(self.page.get_by_text(text).first).to_be_visible()
        return self

    def looks(self) -> "Visitor":
        """Everything that holds of every page."""
        page = self.page
        # Waited for: a click comes back before the page that it leads to is there.
        expect(page).to_have_title(re.compile(r"\S"))
        page.wait_for_load_state()
        if not self.runs_scripts:
            return self  # axe is a script, and would be waited for without end
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            found = Axe().run(page)
            assert found.violations_count == 0, f"{page.url} in {scheme}\n{found.generate_report()}"
        page.set_viewport_size({"width": 320, "height": 800})
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 320, f"{page.url} is {width} px wide at 320 px"
        page.set_viewport_size(self.viewport)
        assert not self.faults, f"{page.url}: {self.faults}"
        return self

    def signs_in(self, person: tuple[str, str]) -> "Visitor":
        self.goes_to("/sign-in/")
        self.page.fill("[name=username]", person[0])
        self.page.fill("[name=password]", person[1])
        return self.clicks("Sign in")


@pytest.fixture
def visit(chromium, product):
    """Make visitors, and see at the end that none of them met a fault."""
    visitors = []

    def visitor(viewport=DESKTOP, **options) -> Visitor:
        visitors.append(Visitor(chromium, product, viewport, **options))
        return visitors[-1]

    yield visitor
    for each in visitors:
        each.context.close()
    assert [fault for each in visitors for fault in each.faults] == []


@pytest.fixture(autouse=True)
def _everything_works(product):
    switches = ("host_lookup_fails", "api_down", "token_endpoint_slow", "wrong_client", "whoami_fails")
    product.heartland.switch(**dict.fromkeys(switches, False))


@pytest.fixture
def forgotten(product):
    """The partner has stored nothing yet."""
    product.shell("from connectors.models import ConnectorSettings as S; S.objects.all().delete()")


def stores_the_client(admin: Visitor) -> None:
    """The founding document's "Partner Setup", sentence by sentence."""
    admin.chooses("Connectors", "Application Connector Library")
    admin.page.get_by_role("searchbox").fill("heartland")
    admin.clicks("Search").looks()
    admin.clicks("Edit Heartland Retail", "link").looks()
    admin.clicks("Settings", "link").looks()
    redirect_uri = admin.page.locator("#redirect-uri").inner_text()
    client_id, client_secret = admin.product.heartland.register(redirect_uri)
    rows = admin.page.locator("table.properties")
    assert [cell.strip() for cell in rows.locator("th").all_inner_texts()] == ["Property", "Description"]
    assert [label.strip() for label in rows.locator("label").all_inner_texts()] == [
        "Client ID",
        "Client Secret",
    ]
    admin.enters(Client_ID=client_id, Client_Secret=client_secret)
    admin.clicks("Save Changes").sees("The settings of Heartland Retail were saved.").looks()
    admin.sees("Stored since")
    assert client_secret not in admin.page.content()


def installs(admin: Visitor, how: str) -> None:
    admin.chooses("Accounts").clicks("Harbor Street Outfitters", "link")
    admin.clicks("Install a connector", "link").looks()
    admin.clicks("Heartland Retail", "link").looks()
    admin.clicks(how)


def makes_a_link(admin: Visitor) -> str:
    installs(admin, "Install and send a setup link")
    admin.looks().clicks("Make link").looks()
    return admin.page.locator("#setup-link").inner_text()


def makes_a_token(customer: Visitor, store: str = "harbor") -> str:
    """The founding document's "Generating an API Token", in the stand-in's pages."""
    customer.goes_to(f"{customer.product.heartland.origin}/?store={store}")
    customer.page.locator("summary", has_text=re.compile("Maya|Jonah")).click()
    customer.clicks("my account", "link").clicks("API", "link")
    customer.follows("Generate new token").enters(Description="Northwind").clicks("Generate Token")
    token = customer.page.locator("#token").input_value()
    customer.follows("Done")
    return token


def chooses_the_way(customer: Visitor, way: str) -> None:
    customer.sees("Connect Heartland Retail to Northwind Software").looks().clicks("Continue")
    customer.page.get_by_role("radio", name=way).check()
    customer.looks().clicks("Continue")


def test_a_partner_admin_follows_the_founding_document(visit, product, viewport, forgotten):
    admin = visit(viewport).signs_in(product.admin).looks()
    stores_the_client(admin)
    admin.chooses("Application Connector Library").sees("Fully configured").looks()


def test_a_customer_connects_with_an_api_token(visit, product, viewport):
    admin = visit(viewport).signs_in(product.admin)
    link = makes_a_link(admin)
    customer = visit(viewport)
    token = makes_a_token(customer)
    customer.goes_to(link)
    chooses_the_way(customer, "API Token")
    assert customer.page.locator("main input:not([type=hidden])").count() == 1
    customer.looks()
    customer.enters(API_Token="not a token").clicks("Connect").sees("A token has no spaces").looks()
    customer.enters(API_Token="wrong").clicks("Connect").sees("does not accept this API Token").looks()
    customer.enters(API_Token=token).clicks("Connect").sees("Heartland Retail is connected").looks()
    customer.sees("Harbor Street Outfitters")
    # Coming back by the same link tells where it stands, and starts nothing anew.
    customer.goes_to(link).sees("Heartland Retail is connected")


def test_a_customer_connects_with_oauth_after_declining_once(visit, product, viewport, forgotten):
    admin = visit(viewport).signs_in(product.admin)
    stores_the_client(admin)
    link = makes_a_link(admin)
    customer = visit(viewport).goes_to(link)
    chooses_the_way(customer, "OAuth")
    customer.looks().clicks("Continue to Heartland Retail")
    customer.clicks("Deny").sees("You did not allow access").looks()
    assert "code=" not in customer.page.url
    assert "state=" not in customer.page.url
    # Leaves, comes back by the link, and is where it left off.
    customer.goes_to(link).sees("Allow access in Heartland Retail").clicks("Continue to Heartland Retail")
    customer.clicks("Allow").sees("Heartland Retail is connected").looks()
    assert urlsplit(customer.page.url).query == ""


def test_what_is_blank_is_asked_and_the_subdomain_only_if_the_look_up_fails(
    visit, product, viewport, forgotten
):
    admin = visit(viewport).signs_in(product.admin)
    installs(admin, "Install and set up now")
    product.heartland.switch(host_lookup_fails=True)
    chooses_the_way(admin, "OAuth")
    redirect_uri = admin.looks().page.locator("#redirect-uri").inner_text()
    client_id, client_secret = product.heartland.register(redirect_uri)
    admin.enters(Client_ID=client_id, Client_Secret=client_secret).clicks("Continue")
    admin.clicks("Continue to Heartland Retail").clicks("Allow")
    admin.sees("Where is your Heartland Retail account?").looks()
    admin.enters(Subdomain="no such store!").clicks("Connect").sees(
        "Letters, digits and hyphens only"
    ).looks()
    admin.enters(Subdomain="harbor").clicks("Connect").sees("Heartland Retail is connected").looks()


def test_a_partner_admin_keeps_an_installation(visit, product, viewport):
    admin = visit(viewport).signs_in(product.admin)
    installs(admin, "Install without setup")
    admin.sees("Not set up").looks().clicks("Set up", "link")
    chooses_the_way(admin, "API Token")
    admin.enters(API_Token=product.heartland.token()).clicks("Connect").sees("is connected")
    admin.clicks("Go to the installation", "link").sees("Connected by").looks()
    admin.clicks("Test").sees("It works: Heartland Retail answered for Harbor Street Outfitters.").looks()
    product.heartland.switch(api_down=True)
    admin.clicks("Test").sees("does not answer right now").looks()
    product.heartland.switch(api_down=False)
    admin.clicks("Re-authorise", "link").looks().clicks("Continue")
    admin.enters(API_Token=product.heartland.token("pine")).clicks("Connect")
    admin.sees("That is another account").looks().clicks("Switch account and ask again")
    admin.enters(API_Token=product.heartland.token("pine")).clicks("Connect").sees("Pine & Parcel")
    admin.clicks("Go to the installation", "link").clicks("Disconnect", "link").looks().clicks("Disconnect")
    admin.sees("Its credential was destroyed here").looks()
    admin.clicks("Delete", "link").looks().clicks("Delete installation").sees("The installation was deleted")


def test_a_wrong_client_secret_ends_in_a_page_that_says_who_can_mend_it(visit, product, forgotten):
    admin = visit().signs_in(product.admin)
    stores_the_client(admin)
    product.heartland.switch(wrong_client=True)
    customer = visit().goes_to(makes_a_link(admin))
    chooses_the_way(customer, "OAuth")
    customer.clicks("Continue to Heartland Retail").clicks("Allow")
    customer.sees("does not accept the application's credentials").sees("Northwind Software can.").looks()
    customer.page.get_by_text("What the other side said").click()
    customer.sees("invalid_client")
    assert re.search(r"Reference [A-Z2-9]{8}", customer.page.locator(".reference").inner_text())
    # The partner knows before the customer calls.
    admin.goes_to("/alerts/").sees("does not accept the application's credentials").looks()


def test_the_main_job_needs_no_javascript(visit, product, forgotten):
    plain = {"java_script_enabled": False}
    admin = visit(**plain).signs_in(product.admin)
    admin.chooses("Application Connector Library").clicks("Edit Heartland Retail", "link").clicks(
        "Settings", "link"
    )
    client_id, client_secret = product.heartland.register(admin.page.locator("#redirect-uri").inner_text())
    admin.enters(Client_ID=client_id, Client_Secret=client_secret).clicks("Save Changes").sees("were saved")
    # A stored secret can be replaced: its field opens without a script.
    for value in ("another secret", client_secret):
        admin.page.get_by_text("Replace", exact=True).click()
        admin.enters(Client_Secret=value).clicks("Save Changes").sees("were saved")
    installs(admin, "Install and send a setup link")
    admin.clicks("Make link")
    customer = visit(**plain).goes_to(admin.page.locator("#setup-link").inner_text())
    customer.clicks("Continue")
    customer.page.get_by_role("radio", name="OAuth").check()
    customer.clicks("Continue").clicks("Continue to Heartland Retail").clicks("Allow").sees("is connected")


def test_the_keyboard_alone_finds_and_opens_a_connector(visit, product):
    admin = visit().goes_to("/sign-in/")
    keyboard = admin.page.keyboard
    keyboard.type(product.admin[0])
    keyboard.press("Tab")
    keyboard.type(product.admin[1])
    keyboard.press("Enter")
    admin.page.wait_for_url(f"{product.origin}/")
    admin.goes_to("/connectors/library/")
    keyboard.press("Tab")
    assert admin.page.evaluate("document.activeElement.className") == "skip"
    keyboard.press("/")
    keyboard.type("springboard")
    keyboard.press("Enter")
    admin.page.wait_for_url("**q=springboard**")
    admin.page.get_by_role("link", name="Edit Heartland Retail").focus()
    keyboard.press("Enter")
    admin.page.wait_for_url(f"**/{GUIDE}/")


def test_a_partner_admin_adds_an_endpoint_and_sees_a_test_arrive(visit, product, viewport, receiver):
    admin = visit(viewport).signs_in(product.admin)
    admin.chooses("Webhooks").sees("Nobody is told yet").looks()
    admin.clicks("Add endpoint", "link").looks()
    admin.enters(URL=receiver.url(), Description="Billing service")
    admin.clicks("Add endpoint").sees("Copy the secret now").looks()
    secret = admin.page.locator("#webhook-secret").inner_text()
    admin.clicks("I have stored it", "link").sees("Nothing was sent yet").looks()
    admin.clicks("Send a test").sees("It is being sent").looks()
    product.manage("worker", "--once")
    (sent,) = receiver.taken
    Webhook(secret).verify(sent.body, sent.headers)
    admin.sees("Delivered").looks()
    admin.clicks("Send again").sees("It is being sent")
    product.manage("worker", "--once")
    assert len(receiver.taken) == 2
    admin.clicks("Endpoint", "link").sees("webhook.test").looks()
    admin.clicks("Rotate the secret", "link").looks()
    admin.clicks("Make a new secret").sees("the secret before also signs").looks()
    admin.clicks("I have stored it", "link").clicks("Switch off").sees("Switched off").looks()
    admin.clicks("Delete", "link").looks()
    admin.clicks("Delete endpoint").sees("Nobody is told yet")


PARTNER_PAGES = [
    "/",
    "/connectors/library/",
    "/connectors/library/?q=nothing-like-it",
    f"/{GUIDE}/",
    f"/{GUIDE}/settings/",
    f"/{GUIDE}/settings/client_secret/remove/",
    f"/{GUIDE}/guide/",
    "/accounts/",
    "/accounts/?q=nothing-like-it",
    "/accounts/add/",
    "/installations/",
    "/installations/?q=nothing-like-it",
    "/installations/add/",
    "/explorer/",
    "/explorer/?q=nothing-like-it",
    "/company/",
    "/password/",
    "/no-such-page/",
    "/s/no-such-link/",
    "/oauth/problem/attempt_other_browser/ABCDEFGH/",
]


@pytest.mark.appearance
def test_every_page_of_the_console_is_accessible_and_light(visit, product, forgotten):
    admin = visit().signs_in(product.admin)
    stores_the_client(admin)
    for path in PARTNER_PAGES:
        sizes: list[int] = []
        admin.page.on("response", lambda response, sizes=sizes: sizes.append(_weight(response)))
        admin.goes_to(path).looks()
        assert sum(sizes) < 100_000, f"{path} needs {sum(sizes)} bytes of CSS and JavaScript"


def _weight(response) -> int:
    kind = response.headers.get("content-type", "")
    return len(response.body()) if response.ok and ("css" in kind or "javascript" in kind) else 0


STAFF_PAGES = ["", "console/user/", "console/partner/", "installations/installation/", "console/event/"]


@pytest.mark.appearance
def test_staff_pages_are_in_the_same_palette_and_accessible(visit, product):
    staff = visit().signs_in(product.staff)
    for scheme in ("light", "dark"):
        # Before the page is there: the admin's links fade from one scheme's colour to the other's.
        staff.page.emulate_media(color_scheme=scheme)
        for path in STAFF_PAGES:
            staff.goes_to(f"/staff/{path}")
            found = Axe().run(staff.page)
            assert found.violations_count == 0, f"{path} in {scheme}\n{found.generate_report()}"


def test_a_link_leaves_the_address_and_the_browser_at_once(visit, product):
    admin = visit().signs_in(product.admin)
    link = makes_a_link(admin)
    token = link.rstrip("/").rsplit("/", 1)[1]
    customer = visit()
    referers: list[str] = []
    customer.page.on("request", lambda request: referers.append(request.headers.get("referer", "")))
    customer.goes_to(link)
    chooses_the_way(customer, "API Token")
    kept = customer.page.evaluate(
        "JSON.stringify([localStorage, sessionStorage, document.referrer, location.href])"
    )
    cookies = str(customer.context.cookies())
    assert token not in kept + cookies + " ".join(referers)
    customer.page.go_back()
    customer.page.go_back()
    customer.page.go_back()
    assert token not in customer.page.url


def test_connectors_are_found_while_their_name_is_typed(visit, product, viewport):
    admin = visit(viewport).signs_in(product.admin)
    admin.goes_to("/connectors/library/")
    admin.page.get_by_role("searchbox").press_sequentially("postgers")
    expect(admin.page.locator("#results .main")).to_have_count(1)
    admin.sees("PostgreSQL").looks()
    assert "q=postgers" in admin.page.url
    admin.page.get_by_role("searchbox").fill("google")
    admin.page.get_by_label("Category").select_option("Marketing")
    expect(admin.page.locator("#results .main")).to_have_count(3)
    # What was typed is not lost with the next click.
    admin.page.get_by_role("link", name="Not configured", exact=True).click()
    expect(admin.page.locator("#results .main")).to_have_count(3)
    expect(admin.page.get_by_role("searchbox")).to_have_value("google")
    admin.page.get_by_role("searchbox").fill("nothing-like-it-at-all")
    admin.sees("No connector matches").looks()


def test_only_what_applies_is_asked(visit, product, viewport):
    admin = visit(viewport).signs_in(product.admin)
    admin.chooses("Accounts").clicks("Harbor Street Outfitters", "link")
    # It stands on the second page of the list.
    admin.clicks("Install a connector", "link").clicks("Next", "link").looks()
    admin.clicks("PostgreSQL", "link")
    admin.clicks("Install and set up now").clicks("Continue").looks()
    ssh_host = admin.page.get_by_label("SSH Host", exact=True)
    expect(ssh_host).to_be_hidden()
    admin.page.get_by_label("Use an SSH tunnel").check()
    expect(ssh_host).to_be_visible()
    expect(admin.page.get_by_label("Host", exact=True)).to_be_hidden()
    admin.looks()
    admin.enters(Database="shop", Username="reader", Password="secret").clicks("Connect")
    # What is missing is said of what applies, and of nothing else.
    expect(ssh_host).to_have_attribute("aria-invalid", "true")
    assert admin.page.get_by_label("Host", exact=True).get_attribute("aria-invalid") is None
    admin.looks()


def test_a_partner_makes_a_connector_of_its_own_and_publishes_it(visit, product, viewport):
    key = f"acme-{viewport['width']}"
    partner = visit(viewport).signs_in(product.admin).goes_to("/connectors/library/")
    partner.clicks("Add a connector", "link").looks()
    partner.page.get_by_role("link", name="Write the manifest").click()
    partner.sees("No mistakes").looks().enters(Key=key)
    manifest = partner.page.get_by_label("manifest.toml")
    good = manifest.input_value()
    manifest.fill(good.replace("summary", "sumary", 1))
    partner.sees("did you mean summary?").looks()
    manifest.fill(good)
    partner.sees("No mistakes").clicks("Make the draft").sees("is there as a draft").looks()
    partner.clicks("Releases", "link").sees("Nobody has tried this draft out").looks()
    partner.clicks("Publish").sees("Version 1.0 is live").looks()
    partner.clicks("Delete…", "link").sees("cannot be brought back").looks()
    partner.clicks("Delete").sees("was deleted")


def test_without_scripts_a_form_makes_a_connector_and_says_what_is_missing(visit, product):
    partner = visit(java_script_enabled=False).signs_in(product.admin).goes_to("/connectors/add/form/")
    partner.enters(
        Name="Acme Plain",
        Summary="Sells anvils.",
        Documentation="https://dev.acme.example/api",
        API_address="https://api.acme.example/v1",
        Call_that_tests_a_credential="https://api.acme.example/v1/me",
    )
    partner.page.get_by_label("Category").select_option("commerce")
    partner.clicks("Make the draft").sees("This field is required.")
    partner.enters(Name_of_the_header_or_parameter="X-Api-Key").clicks("Make the draft")
    partner.sees("Acme Plain is there as a draft").sees("No mistakes")
