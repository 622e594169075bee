"""What every answer says to the browser about itself, error pages and redirects among them."""

import json
import os
import re
import subprocess
import sys

import pytest
from django.conf import settings as django_settings
from django.test import Client
from django.urls import path, reverse

from connectors.models import ConnectorSettings
from console import urls
from console.models import User
from tests import test_tenancy
from tests.conftest import PASSWORD, sign_in
from tests.test_tenancy import METHODS, NAMES, SLUG, address, ask, entry, undone

pytestmark = pytest.mark.django_db

world = test_tenancy.world

PERMISSIONS = {"camera", "display-capture", "geolocation", "microphone", "payment", "usb"}
# Nothing of these pages' addresses may leave: a token, a state or a code has been in them.
QUIET = {"setup-link", "setup", "setup-problem", "setup-step", "oauth-callback", "oauth-problem"}


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


def policy_of(answer) -> dict[str, list[str]]:
    parts = [part.split() for part in answer["Content-Security-Policy"].split(";")]
    return {part[0]: part[1:] for part in parts if part}


def check(answer, *, form_action: str = "'self'", quiet: bool = False) -> None:
    """Everything that holds for every page. Raises AssertionError."""
    policy = policy_of(answer)
    assert "unsafe-" not in answer["Content-Security-Policy"]
    assert "*" not in answer["Content-Security-Policy"]
    assert policy == {
        "default-src": ["'self'"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
        "form-action": form_action.split(),
    }
    assert "Content-Security-Policy-Report-Only" not in answer
    check_but_policy(answer, quiet=quiet)
    assert "no-store" in answer["Cache-Control"]
    assert "public" not in answer["Cache-Control"]


def check_but_policy(answer, *, quiet: bool) -> None:
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["X-Frame-Options"] == "DENY"
    allowed = {"no-referrer", "same-origin"} | (set() if quiet else {"strict-origin-when-cross-origin"})
    assert answer["Referrer-Policy"] in allowed
    assert answer["Cross-Origin-Opener-Policy"] == "same-origin"
    assert answer["Cross-Origin-Resource-Policy"] == "same-origin"
    denied = dict(part.strip().split("=") for part in answer["Permissions-Policy"].split(","))
    assert denied == dict.fromkeys(PERMISSIONS, "()")
    assert answer["X-Robots-Tag"] == "noindex"
    assert re.fullmatch("[A-Z2-9]{8}", answer["X-Request-Id"])
    assert not {"Server", "X-Powered-By"} & set(answer.headers)
    assert not [name for name in answer.headers if name.startswith("Access-Control-")]
    if answer.content and "html" in answer["Content-Type"]:
        check_html(answer.content.decode())


def check_html(text: str) -> None:
    """Nothing stands in a page that its policy would stop."""
    assert answer_scripts(text) == []
    assert "<style" not in text
    assert not re.search(r"<[^>]+\sstyle\s*=", text)
    assert not re.search(r"<[^>]+\son[a-z]+\s*=", text)
    assert "javascript:" not in text
    sources = re.findall(
        r'<(?:script|link|img|iframe|source|form)\b[^>]*\s(?:src|href|action)="([^"]*)"', text
    )
    assert not [source for source in sources if re.match(r"(https?:)?//|data:", source)]


def answer_scripts(text: str) -> list[str]:
    return [found for found in re.findall(r"<script[^>]*>(.*?)</script>", text, re.DOTALL) if found.strip()]


# ── every route ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", NAMES)
def test_every_route_says_all_of_it_by_every_method_to_everybody(world, name):
    url = address(name, entry(name).own(world.northwind))
    clients = {
        "colleague": world.colleague,
        "customer": world.northwind.customer,
        **world.outsiders(),
    }
    for who, client in clients.items():
        for method in [*METHODS, "OPTIONS"]:
            with undone():
                answer = ask(client, method, url)
            case = f"{method} {name} as {who}"
            if name == "connector-logo" and answer.status_code == 200:
                assert answer["Content-Security-Policy"] == "default-src 'none'; sandbox"
                assert set(answer["Cache-Control"].split(", ")) == {"max-age=86400", "public"}
                check_but_policy(answer, quiet=False)
            else:
                # It says what does not work, with a status of its own.
                assert answer.status_code < 500 or name == "readyz", case
                check(answer, quiet=name in QUIET and answer.status_code != 405)


def test_only_the_page_that_leads_to_the_provider_lets_a_form_lead_there(world):
    side = world.northwind
    ConnectorSettings.objects.get(partner=side.partner).change(
        side.member.principal, {"client_secret": "stored"}
    )
    base = f"/setup/{side.link.pk}/"
    for step, form in (("review", {}), ("method", {"auth_method": "authorization_code"})):
        check(ask(side.customer, "POST", f"{base}{step}/", form), quiet=True)
        check(ask(side.customer, "GET", f"{base}{step}/"), quiet=True)
    page = ask(side.customer, "GET", f"{base}consent/")
    assert page.status_code == 200
    check(page, form_action="'self' https:", quiet=True)
    away = ask(side.customer, "POST", f"{base}consent/")
    assert away.status_code == 303
    check(away, quiet=True)


# ── errors ──────────────────────────────────────────────────────────────────────────────────────


def test_every_kind_of_error_says_all_of_it_too(world, settings):
    settings.ROOT_URLCONF = __name__
    member = sign_in(world.northwind.member.user)
    member.raise_request_exception = False
    strict = Client(HTTP_HOST="console.test", enforce_csrf_checks=True)
    strict.force_login(world.northwind.member.user)
    nobody = sign_in(User.objects.create_user("nobody@console.example", PASSWORD))
    helper = sign_in(User.objects.create_user("helper@console.example", PASSWORD, is_staff=True))
    account = {"name": "X" * 200, "external_id": ""}
    cases = [
        (400, Client(HTTP_HOST="evil.example").get("/sign-in/")),
        (400, Client(HTTP_HOST="evil.example").get("/nothing/")),
        (400, member.post("/accounts/add/", {f"field-{number}": "x" for number in range(1001)})),
        (400, member.get("/oauth/problem/attempt_unknown/NNNNNNNN/")),
        (403, strict.post("/accounts/add/", account)),
        (403, nobody.get("/")),
        (403, helper.get("/staff/console/partner/")),
        (403, member.get(f"/setup/{world.northwind.link.pk}/")),
        (404, member.get("/nothing/")),
        (404, Client(HTTP_HOST="console.test").get("/s/unknown/")),
        (404, member.get(f"/accounts/{world.contoso.account.pk}/")),
        (405, member.put("/")),
        (405, member.get("/sign-out/")),
        (422, member.post("/accounts/add/", account)),
        (500, member.get("/broken/")),
        (302, Client(HTTP_HOST="console.test").get("/")),
        (302, member.get("/staff/")),
        (301, member.get("/accounts")),
        (200, Client(HTTP_HOST="console.test").get("/healthz")),
    ]
    for status, answer in cases:
        assert answer.status_code == status, (status, answer)
        check(answer)


def test_a_value_that_cannot_be_opened_is_an_error_page_like_any_other(owner, stranger):
    url = f"/connectors/library/{SLUG}/settings/"
    for who in (owner, stranger):
        who.client.post(url, {"client_id": "a", "client_secret": "b"})
    row = ConnectorSettings.objects.get(partner=owner.partner)
    # One partner's sealed bytes under another's row.
    row.__dict__["values"] = ConnectorSettings.objects.get(partner=stranger.partner).__dict__["values"]
    row.save()
    answer = owner.client.get(url)
    assert answer.status_code == 500
    assert "A stored value cannot be read" in answer.content.decode()
    check(answer)


def test_the_staffs_pages_say_all_of_it_too(staff, world):
    for name in ("index", "console_partner_changelist", "console_partner_add", "console_user_add"):
        answer = staff.get(reverse(f"admin:{name}"))
        assert answer.status_code == 200
        check(answer)
    row = world.northwind.installation
    for what in ("change", "history", "delete"):
        answer = staff.get(reverse(f"admin:installations_installation_{what}", args=[row.pk]))
        assert answer.status_code == 200
        check(answer)


# ── cookies ─────────────────────────────────────────────────────────────────────────────────────


def test_no_script_and_no_other_site_gets_at_a_cookie(world):
    owner = Client(HTTP_HOST="console.test")
    owner.get("/sign-in/")
    owner.post("/sign-in/", {"username": "owner@northwind.example", "password": PASSWORD})
    owner.post("/accounts/add/", {"name": "With a message", "external_id": ""})
    side = world.northwind
    ConnectorSettings.objects.get(partner=side.partner).change(
        side.member.principal, {"client_secret": "stored"}
    )
    base = f"/setup/{side.link.pk}/"
    ask(side.customer, "POST", f"{base}review/")
    ask(side.customer, "POST", f"{base}method/", {"auth_method": "authorization_code"})
    assert ask(side.customer, "POST", f"{base}consent/").status_code == 303
    cookies = {**owner.cookies, **side.customer.cookies}
    kinds = {re.sub(r"-[0-9a-f]{32}$", "", name) for name in cookies}
    assert kinds == {"session", "csrf", "setup", "consent"}
    for name, cookie in cookies.items():
        assert cookie["httponly"], name
        assert cookie["samesite"] == "Lax", name
        assert cookie["path"] == "/", name
        assert not cookie["domain"], name
        assert int(cookie["max-age"]) > 0, name


# ── in production ───────────────────────────────────────────────────────────────────────────────

PRODUCTION = {
    "SECRET_KEY": "only-for-tests-" + "0123456789abcdefghijklmnopqrstuvwxyz" * 2,
    "SECRET_KEY_FALLBACKS": "",
    "BASE_URL": "https://console.northwind.software",
    "ALLOWED_HOSTS": "console.northwind.software",
    "DEVELOPMENT": "0",
    "DEBUG": "0",
    "BEHIND_PROXY": "0",
    "TRUSTED_PROXIES": "0",
    "STAND_IN_ORIGINS": "",
    "CONNECTOR_LIBRARIES": "",
    "EMAIL_URL": "memorymail://",
    "LOG_LEVEL": "ERROR",
    "DJANGO_SETTINGS_MODULE": "console.settings",
}

# A walk through the product with its production settings; what it was answered goes out as JSON.
WALK = """
import json, re
import django
from django.conf import settings
settings.STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
django.setup()
from django.core.management import call_command
from django.test import Client
call_command("migrate", verbosity=0)
from connectors.models import ConnectorSettings
from console.models import Account, Membership, Partner, User
from installations.models import Installation, SetupLink

partner = Partner.objects.create(name="Northwind", domain="northwind.example")
user = User.objects.create_user("owner@northwind.example", "correct horse battery staple")
Membership.objects.create(user=user, partner=partner)
account = Account.objects.create(partner=partner, name="Harbor")
row = Installation.objects.create(partner=partner, account=account, connector="heartland-retail")
link, url = SetupLink.issue(row, by="owner@northwind.example")
host = {"HTTP_HOST": "console.northwind.software"}
member, customer, evil = Client(**host), Client(**host), Client(HTTP_HOST="evil.example")
answers = []

def keep(what, answer):
    answers.append({"what": what, "status": answer.status_code, "headers": dict(answer.items())})
    return answer

keep("sign-in", member.get("/sign-in/", secure=True))
form = {"username": "owner@northwind.example", "password": "correct horse battery staple"}
keep("signed in", member.post("/sign-in/", form, secure=True))
keep("home", member.get("/", secure=True))
keep("not found", member.get("/nothing/", secure=True))
keep("wrong method", member.put("/", secure=True))
keep("other host", evil.get("/sign-in/", secure=True))
keep("health", Client(**host).get("/healthz", secure=True))
keep("plain http", Client(**host).get("/accounts/?q=x"))
keep("plain http, other host", evil.get("/accounts/"))
keep("health, plain http", Client(**host).get("/healthz"))
settings_url = "/connectors/library/heartland-retail/settings/"
member.post(settings_url, {"client_id": "a", "client_secret": "b"}, secure=True)
keep("setup link", customer.get(url.removeprefix("https://console.northwind.software"), secure=True))
base = f"/setup/{link.pk}/"
customer.post(base + "review/", secure=True)
customer.post(base + "method/", {"auth_method": "authorization_code"}, secure=True)
keep("consent", customer.post(base + "consent/", secure=True))
cookies = {name: dict(morsel) for name, morsel in {**member.cookies, **customer.cookies}.items()}
print(json.dumps({"answers": answers, "cookies": cookies, "url": url}))
"""


def run_in_production(tmp_path, *command: str, **changes: str) -> str:
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    environment |= PRODUCTION | {
        "ENCRYPTION_KEYS": os.environ["ENCRYPTION_KEYS"],
        "DATABASE_URL": f"sqlite:///{tmp_path / 'production.sqlite3'}",
        **changes,
    }
    done = subprocess.run(
        [sys.executable, *command],
        cwd=django_settings.BASE_DIR,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def production(tmp_path_factory) -> dict:
    return json.loads(run_in_production(tmp_path_factory.mktemp("production"), "-c", WALK).splitlines()[-1])


def test_in_production_every_cookie_is_bound_to_this_very_host(production):
    cookies = production["cookies"]
    kinds = {re.sub(r"-[0-9a-f]{32}$", "", name) for name in cookies}
    assert kinds == {"__Host-session", "__Host-csrf", "__Host-setup", "__Host-consent"}
    for name, cookie in cookies.items():
        # What a browser demands of the prefix: Secure, the whole path, no domain.
        assert cookie["secure"] is True, name
        assert (cookie["path"], cookie["domain"]) == ("/", ""), name
        assert cookie["httponly"] is True, name
        assert cookie["samesite"] == "Lax", name


def test_in_production_a_browser_is_told_to_come_back_by_https_alone(production):
    statuses = {answer["what"]: answer["status"] for answer in production["answers"]}
    assert statuses == {
        "sign-in": 200,
        "signed in": 302,
        "home": 200,
        "not found": 404,
        "wrong method": 405,
        "other host": 400,
        "health": 200,
        "plain http": 301,
        "plain http, other host": 301,
        "health, plain http": 200,
        "setup link": 302,
        "consent": 303,
    }
    for answer in production["answers"]:
        headers = answer["headers"]
        if "plain http" in answer["what"]:
            assert "Strict-Transport-Security" not in headers, "a browser must not believe it over http"
            continue
        assert headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains; preload"
        assert "unsafe-" not in headers["Content-Security-Policy"]
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "no-store" in headers["Cache-Control"]


def test_in_production_plain_http_leads_to_the_configured_address_whatever_the_host(production):
    locations = {answer["what"]: answer["headers"].get("Location") for answer in production["answers"]}
    assert locations["plain http"] == "https://console.northwind.software/accounts/?q=x"
    assert locations["plain http, other host"] == "https://console.northwind.software/accounts/"
    assert production["url"].startswith("https://console.northwind.software/s/")


def test_djangos_own_check_of_a_deployment_has_nothing_to_say(tmp_path):
    proxy = {"BEHIND_PROXY": "1", "TRUSTED_PROXIES": "1"}
    run_in_production(tmp_path, "manage.py", "check", "--deploy", "--fail-level", "INFO", **proxy)


# ── by which name it is called ──────────────────────────────────────────────────────────────────


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_a_probe_is_answered_whatever_it_calls_the_machine(path):
    assert Client(HTTP_HOST="10.0.0.7:8000").get(path).status_code in (200, 503)
    assert Client(HTTP_HOST="10.0.0.7:8000").get("/sign-in/").status_code == 400


@pytest.mark.parametrize(
    ("base", "asked"),
    [
        ("http://127.0.0.1:8000", "[::1]:8000"),
        ("http://[::1]:8000", "localhost:8000"),
        ("http://localhost", "127.0.0.1"),
    ],
)
def test_each_name_of_a_developers_machine_leads_to_the_one_address(base, asked, settings):
    settings.BASE_URL = base
    assert Client(HTTP_HOST=asked).get("/sign-in/")["Location"] == f"{base}/sign-in/"


@pytest.mark.parametrize(
    "asked",
    ["localhost:9999", "localhost:no", "localhost.evil.example:8000", "[::1", "", "evil.example"],
)
def test_no_other_name_and_no_other_port_is_led_anywhere(asked, settings):
    settings.BASE_URL, settings.ALLOWED_HOSTS = "http://127.0.0.1:8000", ["127.0.0.1"]
    assert Client(HTTP_HOST=asked).get("/sign-in/").status_code == 400
    assert Client(HTTP_HOST="localhost:8000").post("/sign-in/").status_code == 400


def test_on_a_developers_machine_localhost_leads_to_the_one_address(settings):
    settings.BASE_URL = "http://127.0.0.1:8000"
    led = Client(HTTP_HOST="localhost:8000").get("/sign-in/?next=/accounts/")
    assert led["Location"] == "http://127.0.0.1:8000/sign-in/?next=/accounts/"
    settings.DEVELOPMENT = False
    settings.ALLOWED_HOSTS = ["127.0.0.1"]
    assert Client(HTTP_HOST="localhost:8000").get("/sign-in/").status_code == 400
