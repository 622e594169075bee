"""Refusing to start rather than running wrongly: real processes, each with an environment of its own."""

import base64
import os
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.test import Client

from console import keys
from tests.conftest import open_link
from tests.stand_ins.process import ROOT


def encoded(start: int, size: int = 32) -> str:
    return base64.urlsafe_b64encode(bytes(range(start, start + size))).decode()


FIRST, SECOND = encoded(1), encoded(101)
MAIL = "smtp+tls://console:password@mail.example.com:587"
SECRET_KEY = "a-secret-key-of-its-own-" + "0123456789abcdefghijklmnopqrstuvwxyz"
# Every name that .env could fill in is here, so that no machine's own file plays a part.
ENVIRONMENT = {
    "SECRET_KEY": SECRET_KEY,
    "SECRET_KEY_FALLBACKS": "",
    "ENCRYPTION_KEYS": f"k1:{FIRST}",
    "BASE_URL": "https://console.northwind.software",
    "ALLOWED_HOSTS": "console.northwind.software",
    "DEVELOPMENT": "0",
    "DEBUG": "0",
    "STAND_IN_ORIGINS": "",
    "CONNECTOR_LIBRARIES": "",
    "LOG_LEVEL": "INFO",
}


def run(*command: str, **changes: str) -> tuple[int, str]:
    """The exit status of `python command…` and all that it printed."""
    kept = {
        name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "DATABASE_URL")
    }
    done = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={**kept, **ENVIRONMENT, **changes},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stdout + done.stderr


def run_all(*cases: tuple[tuple[str, ...], dict[str, str]]) -> list[tuple[int, str]]:
    """Several at a time: each takes about a second, most of it waiting."""
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda case: run(*case[0], **case[1]), cases))


# ── the key ring ────────────────────────────────────────────────────────────────────────────────

RAW = bytes(range(40, 72)).decode()  # printable, so that it can stand in SECRET_KEY
SAME, EIGHT = (base64.b64encode(text * (32 // len(text))).decode() for text in (b"k", b"abcdefgh"))
BAD_RINGS = {
    "missing": ("", {}, "is missing"),
    "blank": ("  ", {}, "is missing"),
    "the example": (keys.EXAMPLE, {}, "is still the example"),
    "the example beside a key": (f"k2:{FIRST},{keys.EXAMPLE}", {}, "is still the example"),
    "no base64": ("k1:not base64!" + "x" * 30, {}, "has a key k1 that is not base64"),
    "a stray character": (f"k1:!{FIRST}", {}, "has a key k1 that is not base64"),
    "broken off": (f"k1:{FIRST[:-3]}", {}, "has a key k1 that is not base64"),
    "no key": ("k1", {}, "has a key k1 of 0 bytes; it must be 32"),
    "16 bytes": (f"k1:{encoded(1, 16)}", {}, "has a key k1 of 16 bytes; it must be 32"),
    "33 bytes": (f"k1:{encoded(1, 33)}", {}, "has a key k1 of 33 bytes; it must be 32"),
    "no id": (FIRST, {}, "has an ID that is not"),
    "a bad id": (f"Key-1:{FIRST}", {}, "has an ID that is not"),
    "a comma too many": (f"k1:{FIRST},", {}, "has an ID that is not"),
    "no randomness": (f"k1:{SAME}", {}, "has a key k1 that is not random"),
    "little randomness": (f"k1:{EIGHT}", {}, "has a key k1 that is not random"),
    "an id twice": (f"k1:{FIRST},k1:{SECOND}", {}, "has the key k1 twice"),
    "a key twice": (f"k1:{FIRST},k2:{FIRST}", {}, "has the key k2 twice"),
    "SECRET_KEY": (f"k1:{FIRST}", {"SECRET_KEY": FIRST}, "is the same as SECRET_KEY"),
    "SECRET_KEY, as bytes": (
        f"k1:{base64.b64encode(RAW.encode()).decode()}",
        {"SECRET_KEY": RAW},
        "is the same as SECRET_KEY",
    ),
    "SECRET_KEY, the second": (f"k2:{SECOND},k1:{FIRST}", {"SECRET_KEY": FIRST}, "is the same as SECRET_KEY"),
    "SECRET_KEY, with its id": (f"k1:{FIRST}", {"SECRET_KEY": f"k1:{FIRST}"}, "is the same as SECRET_KEY"),
    "SECRET_KEY, and more": (f"k1:{FIRST}", {"SECRET_KEY": f"{FIRST}{SECOND}"}, "is the same as SECRET_KEY"),
    "SECRET_KEY, unpadded": (f"k1:{FIRST}", {"SECRET_KEY": FIRST.rstrip("=")}, "is the same as SECRET_KEY"),
}  # fmt: skip


def test_no_command_runs_with_a_bad_key_ring():
    """And each says what is wrong and how to mend it, without a key and without a stack."""
    answers = run_all(
        *(
            (("manage.py", "check"), {"ENCRYPTION_KEYS": ring, **changes})
            for ring, changes, _ in BAD_RINGS.values()
        )
    )
    for (name, (_, _, why)), (status, said) in zip(BAD_RINGS.items(), answers, strict=True):
        assert status == 1, name
        assert f"ENCRYPTION_KEYS {why}" in said, name
        assert "ID:KEY" in said, name
        assert "Make a key:  python -c" in said, name
        assert "Traceback" not in said, name
        assert "no issues" not in said, name
        assert not any(key[:10] in said for key in (FIRST, SECOND, RAW)), name


def test_good_key_rings_are_taken():
    rings = [f"k1:{FIRST}", f"k2:{SECOND},k1:{FIRST}", f" k2:{SECOND} , k1:{FIRST} "]
    for status, said in run_all(*((("manage.py", "check"), {"ENCRYPTION_KEYS": ring}) for ring in rings)):
        assert status == 0, said
        assert "no issues" in said


def test_what_the_refusal_says_makes_a_key_that_is_taken():
    with pytest.raises(SystemExit) as refused:
        keys.parse_ring("", secret_key=SECRET_KEY)
    command = str(refused.value).partition('python -c "')[2].rpartition('"')[0]
    status, made = run("-c", command)
    assert status == 0
    assert list(keys.parse_ring(made.strip(), secret_key=SECRET_KEY)) == ["k1"]


def test_a_fresh_environment_is_good_and_never_twice_the_same():
    def fresh() -> dict[str, str]:
        return dict(line.split("=", 1) for line in keys.fresh_env().splitlines())

    first, second = fresh(), fresh()
    assert list(keys.parse_ring(first["ENCRYPTION_KEYS"], secret_key=first["SECRET_KEY"])) == ["k1"]
    assert first["SECRET_KEY"] != second["SECRET_KEY"]
    assert first["ENCRYPTION_KEYS"] != second["ENCRYPTION_KEYS"]


def test_without_a_secret_key_every_command_says_in_plain_words_what_to_do():
    status, said = run("manage.py", "check", SECRET_KEY="")
    assert status == 1
    assert "SECRET_KEY is missing" in said
    assert "make .env" in said
    assert "Traceback" not in said


# ── production settings ─────────────────────────────────────────────────────────────────────────


def test_stand_ins_are_refused_in_production():
    stand_ins = "https://retail.heartland.us=http://127.0.0.1:8001"
    (status, said), (allowed, _) = run_all(
        (("manage.py", "check"), {"STAND_IN_ORIGINS": stand_ins}),
        (("manage.py", "check"), {"STAND_IN_ORIGINS": stand_ins, "DEVELOPMENT": "1"}),
    )
    assert status == 1
    assert "STAND_IN_ORIGINS needs DEVELOPMENT=1" in said
    assert "Traceback" not in said
    assert allowed == 0


def test_the_deployment_check_finds_nothing_in_production_and_something_elsewhere():
    check = ("manage.py", "check", "--deploy", "--fail-level", "WARNING")
    shared = {"CACHE_URL": "rediscache://127.0.0.1:6379/1", "QUEUE_URL": "redis://127.0.0.1:6379/0"}
    shared |= {"EMAIL_URL": MAIL, "BEHIND_PROXY": "1", "TRUSTED_PROXIES": "1"}
    production, development, weak = run_all(
        (check, shared), (check, {"DEVELOPMENT": "1"}), (check, {"SECRET_KEY": "short"})
    )
    assert production[0] == 0, production[1]
    assert "no issues (0 silenced)" in production[1]
    assert development[0] == 1
    assert "SESSION_COOKIE_SECURE" in development[1]
    assert weak[0] == 1
    assert "SECRET_KEY" in weak[1]


def test_the_demonstration_is_not_made_in_production():
    status, said = run("manage.py", "demo", DATABASE_URL="sqlite://:memory:")
    assert status == 1
    assert "DEVELOPMENT=1" in said
    assert "createsuperuser" in said


# ── the server and its database ─────────────────────────────────────────────────────────────────

# What gunicorn takes for "do not start another".
REFUSED = 3
START = ("-c", "import console.wsgi; print('started')")
STORE = """
from console.models import Partner
from connectors.models import ConnectorSettings
partner = Partner.objects.create(name="Northwind Software", domain="northwind.example")
values = {"client_secret": "kept"}
ConnectorSettings.objects.create(partner=partner, connector="heartland-retail", values=values)
"""
READ = """
from connectors.models import ConnectorSettings
print("read", ConnectorSettings.objects.get().values)
"""


def shell(code: str) -> tuple[str, ...]:
    return ("manage.py", "shell", "--verbosity", "0", "-c", code)


@pytest.fixture(scope="module")
def database(tmp_path_factory) -> str:
    """The address of a database made with the first key, holding one sealed value."""
    url = f"sqlite:///{tmp_path_factory.mktemp('boot') / 'console.sqlite3'}"
    for command in (("manage.py", "migrate", "--verbosity", "0"), shell(STORE)):
        status, said = run(*command, DATABASE_URL=url)
        assert status == 0, said
    return url


def copy_of(database: str) -> str:
    source = Path(database.removeprefix("sqlite:///"))
    copy = source.with_name(f"{uuid.uuid4()}.sqlite3")
    copy.write_bytes(source.read_bytes())
    return f"sqlite:///{copy}"


def test_a_key_put_in_front_is_known_from_its_first_start_on(database):
    """Another key under its name would seal what nobody opens later; so would leaving it out."""
    url = copy_of(database)
    for ring, expected in (
        (f"k2:{SECOND},k1:{FIRST}", 0),
        (f"k2:{encoded(3, 32)},k1:{FIRST}", REFUSED),
        (f"k1:{FIRST}", REFUSED),
        (f"k1:{FIRST},k2:{SECOND}", 0),
    ):
        status, said = run(*START, ENCRYPTION_KEYS=ring, DATABASE_URL=url)
        assert status == expected, said


def test_the_server_as_it_is_deployed_ends_and_is_not_started_again_and_again(database):
    serve = ("-m", "gunicorn", "console.wsgi", "--bind", "127.0.0.1:0", "--worker-class", "gthread")
    wrong = {"ENCRYPTION_KEYS": f"k1:{SECOND}", "DATABASE_URL": copy_of(database)}
    for changes in (wrong, {"ENCRYPTION_KEYS": ""}):
        status, said = run(*serve, **changes)
        assert status != 0
        assert "ENCRYPTION_KEYS" in said
        assert said.count("Booting worker") <= 1


def test_the_server_starts_only_with_the_keys_of_its_database(database):
    rings = {
        f"k1:{FIRST}": "",
        f"k2:{SECOND},k1:{FIRST}": "",
        f"k1:{SECOND}": "damaged, or moved from another place",
        f"k2:{SECOND}": "sealed with the key 'k1', which is not in ENCRYPTION_KEYS",
        f"k2:{FIRST}": "sealed with the key 'k1', which is not in ENCRYPTION_KEYS",
    }
    answers = run_all(
        *((START, {"ENCRYPTION_KEYS": ring, "DATABASE_URL": copy_of(database)}) for ring in rings)
    )
    for why, (status, said) in zip(rings.values(), answers, strict=True):
        assert (status, "started" in said) == ((REFUSED, False) if why else (0, True)), said
        if why:
            assert f"ENCRYPTION_KEYS does not fit this database: {why}." in said
            assert "Put the key back that was used before." in said
        assert "Traceback" not in said
        assert FIRST[:10] not in said


def test_a_new_secret_key_changes_nothing_that_is_stored(database):
    other = {"SECRET_KEY": "quite-another-" + SECRET_KEY, "DATABASE_URL": database}
    answers = run_all(
        (shell(READ), {"DATABASE_URL": database}),
        (shell(READ), {**other, "SECRET_KEY_FALLBACKS": SECRET_KEY}),
        (shell(READ), other),
        (START, {**other, "SECRET_KEY_FALLBACKS": SECRET_KEY}),
        (START, other),
    )
    assert [status for status, _ in answers] == [0] * 5
    assert all("read {'client_secret': 'kept'}" in said for _, said in answers[:3])
    assert all("started" in said for _, said in answers[3:])


def test_a_second_key_is_put_in_front_and_what_is_stored_still_opens(database):
    ring = f"k2:{SECOND},k1:{FIRST}"
    status, said = run(*shell(READ), ENCRYPTION_KEYS=ring, DATABASE_URL=database)
    assert (status, "read {'client_secret': 'kept'}" in said) == (0, True)


def test_the_server_does_not_start_without_its_tables(tmp_path):
    empty = f"sqlite:///{tmp_path / 'empty.sqlite3'}"
    nowhere = f"sqlite:///{tmp_path / 'no' / 'such' / 'folder.sqlite3'}"
    for status, said in run_all((START, {"DATABASE_URL": empty}), (START, {"DATABASE_URL": nowhere})):
        assert status == REFUSED
        assert "The database cannot be read" in said
        assert "manage.py migrate" in said
        assert "Traceback" not in said


def test_the_server_does_not_start_without_a_canary(database):
    url = copy_of(database)
    forget = "from console.models import KeyCanary; KeyCanary.objects.all().delete()"
    assert run(*shell(forget), DATABASE_URL=url)[0] == 0
    status, said = run(*START, DATABASE_URL=url)
    assert status == REFUSED
    assert "no key canary" in said
    assert "Traceback" not in said


def test_the_server_does_not_start_with_a_broken_library(database, tmp_path):
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme" / "manifest.toml").write_text("name = ")
    library = str(tmp_path)
    status, said = run(*START, DATABASE_URL=database, CONNECTOR_LIBRARIES=library)
    assert status == REFUSED
    assert str(tmp_path / "acme" / "manifest.toml") in said
    assert "Traceback" not in said


# ── people, when SECRET_KEY changes ─────────────────────────────────────────────────────────────


def test_a_fallback_opens_what_was_signed_before():
    database = {"DATABASE_URL": "sqlite://:memory:"}
    sign = "from django.core import signing; print(signing.dumps('kept'))"
    signed = run(*shell(sign), **database)[1].strip()
    check = f"from django.core import signing; print('still', signing.loads('{signed}'))"
    other = {"SECRET_KEY": "quite-another-" + SECRET_KEY, **database}
    (status, said), (forgotten, _) = run_all(
        (shell(check), {**other, "SECRET_KEY_FALLBACKS": SECRET_KEY}), (shell(check), other)
    )
    assert (status, said.strip()) == (0, "still kept")
    assert forgotten == 1


def test_with_a_fallback_nobody_is_signed_out_and_no_link_is_lost(owner, installation, settings):
    browser, link, _ = open_link(installation)
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "quite-another-" + SECRET_KEY
    assert owner.client.get("/").status_code == 200
    assert browser.get(f"/setup/{link.pk}/review/").status_code == 200
    assert Client(HTTP_HOST="console.test").get("/").status_code == 302


def test_without_a_fallback_everybody_signs_in_again(owner, installation, settings):
    browser, link, _ = open_link(installation)
    settings.SECRET_KEY = "quite-another-" + SECRET_KEY
    assert owner.client.get("/").status_code == 302
    assert browser.get(f"/setup/{link.pk}/review/").status_code == 403


def test_what_django_cannot_even_begin_ends_in_a_page_of_ours(caplog):
    """A charset that is none is refused before any middleware; the address stands in no log."""
    from django.core.handlers.wsgi import WSGIHandler
    from django.test import RequestFactory

    from console.shield import Shield

    environ = RequestFactory().get("/s/a-token/?code=a-code").environ
    environ["CONTENT_TYPE"] = "text/plain; charset=rot13"
    started = []
    body = b"".join(Shield(WSGIHandler())(environ, lambda *args: started.append(args)))
    assert started[0][0].startswith("500")
    assert dict(started[0][1])["X-Frame-Options"] == "DENY"
    assert b"This request cannot be answered" in body
    assert "a-code" not in caplog.text + body.decode()
    assert "a-token" not in caplog.text + body.decode()


def test_behind_a_proxy_that_is_not_trusted_the_deployment_check_says_so():
    check = ("manage.py", "check", "--deploy", "--fail-level", "ERROR")
    status, said = run(*check, BEHIND_PROXY="1")
    assert (status, "TRUSTED_PROXIES" in said) == (1, True)
    assert run(*check, BEHIND_PROXY="1", TRUSTED_PROXIES="1")[0] == 0


@pytest.mark.parametrize("name", ["console.example.com", "console.example", "localhost", "console.test"])
def test_an_address_that_is_only_an_example_is_noticed_by_the_deployment_check(name):
    status, said = run("manage.py", "check", "--deploy", "--fail-level", "ERROR", BASE_URL=f"https://{name}")
    assert (status, "console.E002" in said) == (1, True)


def test_without_a_proxy_the_deployment_check_tells_what_becomes_of_requests():
    status, said = run("manage.py", "check", "--deploy", "--fail-level", "WARNING")
    assert (status, "console.W004" in said) == (1, True)


def test_without_a_mail_server_the_deployment_check_says_so():
    status, said = run("manage.py", "check", "--deploy", "--fail-level", "WARNING")
    assert (status, "console.W003" in said) == (1, True)


def test_on_postgresql_the_deployment_check_asks_for_what_several_processes_share():
    check = ("manage.py", "check", "--deploy", "--fail-level", "WARNING")
    # Nobody is asked: the address alone counts.
    postgres = {"DATABASE_URL": "postgres://nobody@127.0.0.1:1/nothing"}
    cache, queue = {"CACHE_URL": "rediscache://127.0.0.1:1/1"}, {"QUEUE_URL": "redis://127.0.0.1:1/0"}
    file = {"DATABASE_URL": "sqlite:///nothing"}
    rest = {"EMAIL_URL": MAIL, "BEHIND_PROXY": "1", "TRUSTED_PROXIES": "1"}
    postgres, file = postgres | rest, file | rest
    found = [
        (status, "console.W001" in said, "console.W002" in said)
        for status, said in run_all(
            (check, postgres),
            (check, {**postgres, **cache}),
            (check, {**postgres, **cache, **queue}),
            (check, file),
        )
    ]
    assert found == [(1, True, True), (1, False, True), (0, False, False), (0, False, False)]
