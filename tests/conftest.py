"""Three partners' people, whose roles never change, and the servers that the tests talk to.

owner and colleague work for Northwind; stranger works for Contoso, and every test that asks "who may
see this?" asks it of all three. staff works for nobody.
"""

import re
import shutil
from dataclasses import dataclass

import pytest
from django.core.cache import cache
from django.test import Client

from console import jobs, throttle
from console.models import Account, Membership, Partner, User
from console.tenancy import Principal
from installations.models import Installation, SetupLink
from tests.stand_ins.control import StandIn
from tests.stand_ins.process import running

PASSWORD = "correct horse battery staple"
CLIENT_ID, CLIENT_SECRET = "test-client", "test-client-secret/+:%ü"


def pytest_configure():
    from django.conf import settings

    database = settings.DATABASES["default"]
    if database["ENGINE"].endswith("sqlite3"):
        # A file, as in production: in memory a second thread finds tables locked.
        database.setdefault("TEST", {})["NAME"] = str(settings.QUEUE_FILE.with_name("test.sqlite3"))
    # Signing in is tested elsewhere; a slow hash in each test would only cost time.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }


def pytest_addoption(parser):
    parser.addoption(
        "--what-a-database-changes",
        action="store_true",
        help="leave out the tests that use no database, and those of how pages look and whom routes admit",
    )


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--what-a-database-changes"):
        return
    kept, left_out = [], []
    for item in items:
        is_alike = item.get_closest_marker("appearance") or item.get_closest_marker("routes")
        is_wanted = _uses_database(item) and not is_alike
        (kept if is_wanted else left_out).append(item)
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept


def _uses_database(item) -> bool:
    """Whether this test asks for a database, or may start a process that does: the doubtful ones stay."""
    starts_processes = {"subprocess", "deployed", "_database"} & vars(item.module).keys()
    asks = {"db", "transactional_db", "product"} & set(item.fixturenames)
    return bool(asks or starts_processes or item.get_closest_marker("django_db"))


@pytest.fixture(autouse=True)
def _nothing_left_behind(settings, monkeypatch):
    """Of an earlier test of this process: tries that were counted, answers that were kept."""
    cache.clear()
    # A test that counts tries begins no new minute in between.
    monkeypatch.setattr(throttle, "_now", lambda: 1_800_000_030.0)
    shutil.rmtree(settings.SPOOL_DIR, ignore_errors=True)


@dataclass
class Person:
    user: User
    partner: Partner
    client: Client

    @property
    def principal(self) -> Principal:
        return Principal(partner_id=self.partner.pk, actor=self.user.email, user_id=self.user.pk)


def sign_in(user: User) -> Client:
    client = Client(HTTP_HOST="console.test")
    client.force_login(user)
    return client


def person(email: str, partner: Partner) -> Person:
    user = User.objects.create_user(email, PASSWORD)
    Membership.objects.create(user=user, partner=partner)
    return Person(user, partner, sign_in(user))


@pytest.fixture
def northwind(db) -> Partner:
    return Partner.objects.create(
        name="Northwind Software",
        domain="northwind.example",
        return_urls=["https://app.northwind.example/connected"],
    )


@pytest.fixture
def contoso(db) -> Partner:
    return Partner.objects.create(name="Contoso Systems", domain="contoso.example")


@pytest.fixture
def owner(northwind) -> Person:
    return person("owner@northwind.example", northwind)


@pytest.fixture
def colleague(northwind) -> Person:
    return person("colleague@northwind.example", northwind)


@pytest.fixture
def stranger(contoso) -> Person:
    return person("stranger@contoso.example", contoso)


@pytest.fixture
def staff(db) -> Client:
    return sign_in(User.objects.create_superuser("staff@console.example", PASSWORD))


@pytest.fixture
def account(northwind) -> Account:
    return Account.objects.create(partner=northwind, name="Harbor Street Outfitters", external_id="cust-1")


@pytest.fixture
def installation(account) -> Installation:
    return Installation.objects.create(partner=account.partner, account=account, connector="heartland-retail")


SWITCHES = ["host_lookup_fails", "api_down", "token_endpoint_slow", "wrong_client", "whoami_fails"]


@pytest.fixture(scope="session")
def heartland_process(tmp_path_factory):
    state = tmp_path_factory.mktemp("heartland") / "state.json"
    with running("tests.stand_ins.heartland", "--state", str(state)) as server:
        yield server


@pytest.fixture
def heartland(heartland_process, settings) -> StandIn:
    """The stand-in for Heartland Retail, everything switched to "works" and counted from zero."""
    origin = heartland_process.origin
    settings.STAND_IN_ORIGINS = {
        "https://retail.heartland.us": origin,
        "https://*.retail.heartland.us": origin,
    }
    server = StandIn(origin)
    server.switch(**dict.fromkeys(SWITCHES, False))
    server.post("/_calls/reset")
    return server


def open_link(installation: Installation, **fields) -> tuple[Client, SetupLink, str]:
    """A customer's browser that has opened a new setup link: the browser, the link and its address."""
    link, url = SetupLink.issue(installation, by="owner@northwind.example", **fields)
    browser = Client(HTTP_HOST="console.test")
    browser.get(url.removeprefix("http://console.test"))
    return browser, link, url


def consent_at_heartland(location: str, *, store: str = "harbor", decision: str = "allow") -> str:
    """Do at the stand-in's consent page what a person does; the address that it sends the browser to."""
    import requests

    page = requests.get(location, allow_redirects=False, timeout=10)
    assert page.status_code == 200, page.text
    request_id = re.search(r'name="request_id" value="([^"]+)"', page.text).group(1)
    answer = requests.post(
        location.split("?")[0],
        data={"request_id": request_id, "store": store, "decision": decision},
        allow_redirects=False,
        timeout=10,
    )
    assert answer.status_code in (302, 303), answer.text
    return answer.headers["Location"]


from tests.product import product  # noqa: E402, F401 - a fixture
from tests.rotating import rotating, rotating_process  # noqa: E402, F401 - fixtures
from tests.webhooks import receiver  # noqa: E402, F401 - a fixture


@pytest.fixture
def field(rotating):  # noqa: F811
    from tests.drills.field import Field

    made = Field(rotating)
    yield made
    made.end()


def work() -> None:
    """Do what is due, within the test's own transaction."""
    while held := jobs.claim():
        jobs.run(held)
