"""Row 27 of the scorecard: a day of the product as it is deployed, and no secret in what it leaves behind.

Secrets are entered, issued, renewed, refused and lost; then each sink is searched for each of them, plain and
in base64, URL, JSON, HTML and hexadecimal. Only what is sealed may hold them.
"""

import re
import socket
import subprocess
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests

from tests.deployed import Deployed, connect, deployed, wait_until
from tests.stand_ins.process import running
from tests.test_browser import chromium  # noqa: F401 - a fixture
from tests.test_secrets_write_only import canary, found_in

pytestmark = pytest.mark.browser

TOKEN = "a-token-for-the-scraper"
SETTINGS = "/connectors/library/heartland-retail/settings/"


@dataclass
class Day:
    made: Deployed
    collector: str
    secrets: dict[str, str] = field(default_factory=dict)
    # What the browsers kept, and every page that they showed.
    kept: list[str] = field(default_factory=list)
    pages: dict[str, list[str]] = field(default_factory=lambda: {"partner": [], "customer": [], "staff": []})
    # What each sink holds: some take a process of their own to read, and all are searched three times.
    read: dict[str, bytes] = field(default_factory=dict)

    def content(self, sink: str) -> bytes:
        if sink not in self.read:
            self.read[sink] = SINKS[sink][0](self)
        return self.read[sink]

    def new(self, name: str) -> str:
        self.secrets[name] = canary("-")
        return self.secrets[name]


class Person:
    """A browser that notes whatever it is shown."""

    def __init__(self, browser, day: Day, who: str):
        self.day, self.who = day, who
        self.context = browser.new_context()
        self.page = self.context.new_page()

    def goes_to(self, path: str):
        self.page.goto(self.day.made.origin + path)
        self._note()
        return self

    def sends(self, **values: str):
        form = self.page.locator("main form, form#login-form, body.plain form").last
        for name, value in values.items():
            box = form.locator(f"[name={name}]").first
            if box.get_attribute("type") == "radio":
                form.locator(f"[name={name}][value={value}]").check()
            else:
                box.fill(value)
        form.locator("button[type=submit]").first.click()
        self.page.wait_for_load_state()
        self._note()
        return self

    def signs_in(self, person: tuple[str, str]):
        self.day.secrets[f"password of {self.who}"] = person[1]
        return self.goes_to("/sign-in/").sends(username=person[0], password=person[1])

    def _note(self):
        self.day.pages[self.who].append(self.page.content())
        stored = "JSON.stringify([{...localStorage}, {...sessionStorage}, history.state])"
        self.day.kept.append(self.page.evaluate(stored))
        # Its session's id is a secret too, and is in the browser's own jar alone.
        for cookie in self.context.cookies():
            if cookie["name"] == "session":
                self.day.secrets[f"session of {self.who}: {cookie['value'][:4]}"] = cookie["value"]


LINK = """
from installations.models import SetupLink
account = Account.objects.first()
row = Installation.objects.create(partner=account.partner, account=account, connector="heartland-retail")
link, url = SetupLink.issue(row, by="owner@northwind.example", email="customer@harbor.example")
print(link.pk, url)
"""
FAIL = """
from installations.models import Circuit
Circuit.objects.all().delete()
Credential.objects.update(retry_at=None)
from console.tenancy import Principal
from installations import health, tokens
for row in Installation.objects.filter(connector="rotating-test"):
    try:
        health.check(row)
    except Exception as error:
        print(type(error).__name__)
"""

# What is being gathered for the partner is mailed now.
TELL = """
from console import clock, queue
Job.objects.filter(kind="digest").update(due_at=clock.now())
queue.wake()
"""
KEEP = """
import os, uuid
from console import clock
from installations import spool
row = Credential.objects.first()
body = os.environ["CANARY"].encode()
spool.keep(spool.Answer(row.pk, row.partner_id, row.current_id, uuid.uuid4(), 200, body, clock.now()))
"""

# Every statement with its parameters, which Django logs for developers alone.
CONF = """
def post_worker_init(worker):
    import logging
    logging.getLogger("django.db.backends").setLevel(logging.DEBUG)
"""


@pytest.fixture(scope="module")
def day(chromium, tmp_path_factory):  # noqa: F811
    folder = tmp_path_factory.mktemp("day")
    with running("tests.stand_ins.collector") as collector:
        changes = {
            "LOG_LEVEL": "DEBUG",
            "DEBUG": "1",
            "METRICS_TOKEN": TOKEN,
            "CACHE_URL": f"filecache://{folder / 'cache'}",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.origin,
            "OTEL_BSP_SCHEDULE_DELAY": "200",
        }
        conf = folder / "gunicorn_conf.py"
        conf.write_text(CONF)
        logs = ("--access-logfile", str(folder / "access.log"), "--error-logfile", str(folder / "error.log"))
        logs += ("--access-logformat", "%(t)s %(m)s %(s)s %(L)s", "--config", str(conf))
        with deployed(folder, *logs, **changes) as made:
            found = Day(made, collector.origin)
            live(found, chromium)
            yield found


def live(day: Day, browser) -> None:
    made = day.made
    partner, customer = Person(browser, day, "partner"), Person(browser, day, "customer")
    partner.signs_in(made.admin)
    partner.goes_to(SETTINGS).sends(client_id="a-public-client-id", client_secret=day.new("client secret"))
    link_id, url = made.shell(LINK).split()
    day.secrets["setup link"] = url.rstrip("/").rpartition("/")[2]
    customer.goes_to(url.removeprefix(made.origin))
    base = f"/setup/{link_id}/"
    customer.goes_to(f"{base}review/").sends()
    customer.goes_to(f"{base}method/").sends(auth_method="api_key")
    # One that is refused, and one that works.
    customer.goes_to(f"{base}details/").sends(access_token=day.new("refused API token"))
    day.secrets["API token"] = made.heartland.token()
    customer.goes_to(f"{base}details/").sends(access_token=day.secrets["API token"])
    requests.get(
        f"{made.origin}/oauth/callback/{link_id}/?state={day.new('state')}&code={day.new('code')}", timeout=10
    )
    requests.get(f"{made.origin}/s/{day.new('guessed link')}/", timeout=10)
    # Cut off, or not the text of a request at all: gunicorn answers these by itself.
    says_what_it_cannot_read(made, f"GET /s/{day.new('link that was cut off')}/")
    says_what_it_cannot_read(made, f"GET / HTTP/1.1\r\nAuthorization {day.new('header without a colon')}")
    # Renewals: some work, some meet a wrong secret, an outage, and a grant that was withdrawn.
    connect(made, ["alder", "birch", "cedar", "doum"])
    store_client(day, day.new("another client secret"))
    made.rotating.control(secrets=[day.secrets["another client secret"]])
    note_tokens(day)
    worker = made.start_worker()
    wait_until(lambda: made.rotating.asked["token"] == 4)
    note_tokens(day)
    for name, switch in (("alder", {"secrets": ["none"]}), ("birch", {"answers": [503]})):
        made.rotating.control(expire=name, **switch)
        assert "ProblemError" in made.shell(FAIL)
    made.rotating.control(secrets=[day.secrets["another client secret"]])
    grant = made.rotating.state()["grants"]["cedar"]
    requests.post(made.rotating.origin + "/revoke", data={"token": grant["refresh"]}, timeout=10)
    assert "ProblemError" in made.shell(FAIL)
    note_tokens(day)
    for path in ("/", "/accounts/", "/installations/", "/company/", SETTINGS):
        partner.goes_to(path)
    for pk in made.shell("print(*Installation.objects.values_list('pk', flat=True))").split():
        partner.goes_to(f"/installations/{pk}/")
    staff = Person(browser, day, "staff").signs_in(made.staff)
    desk = requests.compat.urlsplit(made.origin + "/staff/").path
    staff.goes_to(desk)
    lists = set(re.findall(r'href="(/staff/\w+/\w+/)"', staff.page.content()))
    for address in sorted(lists):
        staff.goes_to(address)
        rows = re.findall(rf'href="({address}[^"]+/change/)[^"]*"', staff.page.content())
        for row in rows[:2]:
            staff.goes_to(row)
    assert len(lists) > 15
    made.shell(TELL)
    wait_until(lambda: any((made.folder / "mail").glob("*")))
    with_canary(day, day.new("answer that nobody has taken from the spool"), KEEP)
    wait_until(lambda: b"job renew" in requests.get(day.collector + "/_raw", timeout=10).content)
    assert worker.process.poll() is None


def says_what_it_cannot_read(made: Deployed, head: str) -> None:
    address = requests.compat.urlsplit(made.origin)
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall(f"{head}\r\n\r\n".encode())
        assert b" 400 " in connection.recv(1000)


def with_canary(day: Day, secret: str, code: str) -> None:
    """Run the code where CANARY is the secret, which the processes that go on do not have."""
    environment = day.made.environment
    day.made.environment = {**environment, "CANARY": secret}
    day.made.shell(code)
    day.made.environment = environment


def store_client(day: Day, secret: str) -> None:
    with_canary(
        day,
        secret,
        "import os; from tests.rotating import store_client; "
        "store_client(Partner.objects.first(), os.environ['CANARY'])",
    )


def note_tokens(day: Day) -> None:
    for name, grant in day.made.rotating.state()["grants"].items():
        for number, token in enumerate((grant["refresh"], *grant["access"])):
            # The random part: the rest is the grant's name, which is public.
            day.secrets[f"token {number} of {name} {token[-4:]}"] = token.rpartition("-")[2]


# ── the sinks ───────────────────────────────────────────────────────────────────────────────────


def files(folder: Path) -> bytes:
    return b"\n".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def cache(day: Day) -> bytes:
    found = []
    for path in (day.made.folder / "cache").rglob("*.djcache"):
        # Eight bytes of pickle say until when, the rest is compressed.
        data = path.read_bytes()
        found.append(path.name.encode() + zlib.decompress(data[data.index(b"x\x9c") :]))
    return b"\n".join(found)


def database(day: Day) -> bytes:
    url = day.made.environment["DATABASE_URL"]
    if url.startswith("sqlite"):
        path = Path(url.removeprefix("sqlite:///"))
        return b"\n".join(part.read_bytes() for part in path.parent.glob(path.name + "*"))
    return subprocess.run(["pg_dump", url], capture_output=True, check=True).stdout


def backup(day: Day) -> bytes:
    path = day.made.folder / "day.backup"
    day.made.manage("backup", str(path))
    with zipfile.ZipFile(path) as file:
        return b"\n".join(file.read(name) for name in file.namelist())


def process(what: str):
    def read(day: Day) -> bytes:
        own = [day.made.server.process.pid, day.made.workers[0].process.pid]
        children = Path(f"/proc/{own[0]}/task/{own[0]}/children").read_text().split()
        return b"\n".join(Path(f"/proc/{pid}/{what}").read_bytes() for pid in [*own, *children])

    return read


def rows(model: str, *columns: str):
    names = ", ".join(repr(column) for column in columns)
    return lambda day: day.made.shell(f"print(list({model}.objects.values_list({names})))").encode()


def metrics(day: Day) -> bytes:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    return requests.get(day.made.origin + "/metrics", headers=headers, timeout=10).content


def pages(who: str):
    return lambda day: "\n".join(day.pages[who]).encode()


# Each sink, and something that must stand in it: an empty one would prove nothing.
SINKS = {
    "the web's log at DEBUG, with its SQL": (lambda day: day.made.log().encode(), b"installations_setup"),
    "the worker's log at DEBUG": (lambda day: day.made.workers[0].log().encode(), b"renew done"),
    "the access log": (lambda day: files_named(day, "access.log"), b" GET 200 "),
    "gunicorn's error log": (
        lambda day: files_named(day, "error.log"),
        b"Invalid request from ip=127.0.0.1\n",
    ),
    "the queue": (lambda day: files_named(day, "queue.sqlite3"), b"partner-console"),
    # Sealed: what stands in front names the key.
    "the spool": (lambda day: files(day.made.folder / "spool"), b"\x02t2"),
    "the cache": (cache, b"djcache"),
    "e-mails": (lambda day: files(day.made.folder / "mail"), b"Subject: "),
    "the database": (database, b"Harbor Street Outfitters"),
    "dumpdata": (lambda day: day.made.manage("dumpdata").encode(), b"installations.credentialversion"),
    "a backup": (backup, b"key_ids"),
    "the record": (rows("Event", "text", "details"), b"grant_ended"),
    "jobs": (rows("Job", "kind", "subject_id", "last_error"), b"renew"),
    "notices and alerts": (rows("Alert", "code", "words"), b"invalid_client"),
    "metrics": (metrics, b"console_renewals_total"),
    "the files of metrics": (lambda day: files(day.made.folder / "metrics"), b"console_request_seconds"),
    "spans": (lambda day: requests.get(day.collector + "/_raw", timeout=10).content, b"rotating.test"),
    "the environment of the processes": (process("environ"), b"METRICS_TOKEN"),
    "the command lines of the processes": (process("cmdline"), b"gunicorn"),
    "the partner's pages": (pages("partner"), b"Northwind Software"),
    "the customer's pages": (pages("customer"), b"Heartland"),
    "support's pages": (pages("staff"), b"Credential versions"),
    "what browsers store": (lambda day: "\n".join(day.kept).encode(), b"[{"),
}


def files_named(day: Day, name: str) -> bytes:
    return b"\n".join(path.read_bytes() for path in day.made.folder.glob(name + "*"))


# The database knows sessions by their very ids, as Django does.
KNOWN = dict.fromkeys(
    ["the web's log at DEBUG, with its SQL", "the database", "dumpdata", "a backup"], "session of"
)


@pytest.mark.parametrize("sink", SINKS)
def test_no_secret_of_the_day_is_in(sink, day):
    witness, content = SINKS[sink][1], day.content(sink)
    assert witness in content, "this is not what it should be"
    secrets = {
        name: secret
        for name, secret in day.secrets.items()
        if not (sink in KNOWN and name.startswith(KNOWN[sink]))
    }
    assert len(secrets) > 15
    assert found_in(secrets, content) == []


@pytest.mark.parametrize("sink", SINKS)
def test_one_would_be_found_in(sink, day):
    """The same search, with a secret that is there."""
    witness = SINKS[sink][1].decode()
    if len(witness) >= 8:
        assert found_in({"witness": witness}, day.content(sink))


def test_the_keys_themselves_are_on_no_command_line_and_in_no_log(day):
    made = day.made
    ring = {entry[:2]: entry[3:] for entry in made.environment["ENCRYPTION_KEYS"].split(",")}
    keys = {**ring, "SECRET_KEY": made.environment["SECRET_KEY"], "METRICS_TOKEN": TOKEN}
    for sink in SINKS.keys() - {"the environment of the processes"}:
        assert found_in(keys, day.content(sink) if sink != "a backup" else b"") == [], sink


def test_there_are_at_least_eighteen_sinks():
    assert len(SINKS) >= 18
