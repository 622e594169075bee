"""How fast the partner's software gets a credential, and an answer through the proxy.

All in one run, on one machine, with one client: a credential against the same server answering a constant, a
proxied GET against the direct one. The ratios count; the client takes its share of the machine too.
"""

import json
import tempfile
from concurrent.futures import ProcessPoolExecutor
from itertools import cycle
from pathlib import Path

from tests.deployed import Deployed, connect, deployed
from tests.load import Load, load, request
from tests.stand_ins.process import running

CONNECTED, SIZES = 500, (500, 1_000_000)
SECONDS, CONNECTIONS = 6.0, 8
FLOOR_BAR, ADDED_BAR_MS, TAIL_BAR, FLAT_BAR, FLOOD_BAR = 2.0, 3.0, 5.0, 1.5, 0.9
# Four and two times what the strongest open peer reached: on two such cores, PostgreSQL, 8 connections.
CREDENTIALS_BAR, PROXIED_BAR = 4 * 404, 2 * 386

MAKE_KEY = """
import json
from console.models import Partner
from installations.models import Installation
from tests.calling import caller
key = caller(Partner.objects.first(), ["credentials", "proxy"], credentials_per_minute=None)
rows = Installation.objects.filter(connector="rotating-test")
print(json.dumps([key.written, [str(pk) for pk in rows.values_list("pk", flat=True)]]))
"""
MULTIPLY = """
from installations.models import Installation
from tests.dataset import multiply
multiply(Installation.objects.filter(connector="rotating-test").first(), {size})
"""


def rows() -> list[tuple]:
    """The rows of the bench's table."""
    with tempfile.TemporaryDirectory() as folder, running("tests.stand_ins.constant") as upstream:
        changes = {
            "STAND_IN_ORIGINS": f"https://rotating.test={upstream.origin}",
            "LOG_LEVEL": "WARNING",
            "API_CALLS_PER_MINUTE": "10000000",
        }
        with deployed(Path(folder), "--workers", "2", **changes) as made:
            connect(made, [f"grant-{number}" for number in range(CONNECTED)], ends_in=86_400)
            key, installations = json.loads(made.shell(MAKE_KEY))
            return measure(made, upstream.origin, key, installations)


def measure(made: Deployed, upstream: str, key: str, installations: list[str]) -> list[tuple]:
    console = made.origin
    authorization = {"Authorization": f"Bearer {key}"}
    floor = [request(console, "/healthz")]
    direct = [request(upstream, "/items")]
    credentials = [
        request(console, f"/api/v1/installations/{pk}/credential", **authorization) for pk in installations
    ]
    proxied = [
        request(console, f"/api/v1/installations/{pk}/proxy/items", **authorization) for pk in installations
    ]
    # Well formed and unknown: the check of its form refuses other ones for less.
    from console.models import ApiKey

    strange = ApiKey().issue()
    garbage = request(
        console, f"/api/v1/installations/{installations[0]}/credential", Authorization=f"Bearer {strange}"
    )

    def ask(origin: str, requests: list[bytes], connections: int = CONNECTIONS) -> Load:
        load(origin, cycle(requests), connections=connections, seconds=1.0)
        found = load(origin, cycle(requests), connections=connections, seconds=SECONDS)
        assert not set(found.statuses) - {200}, found.statuses
        return found

    found, before = [], None
    for size in SIZES:
        made.manage("shell", "--verbosity", "0", "-c", MULTIPLY.format(size=size))
        lowest, fetched = ask(console, floor), ask(console, credentials)
        there, through = ask(upstream, direct, 1), ask(console, proxied, 1)
        busy = ask(console, proxied)
        ratio, added = lowest.per_second / fetched.per_second, through.median - there.median
        flat = None if before is None else max(before[0] / fetched.per_second, before[1] / busy.per_second)
        before = before or (fetched.per_second, busy.per_second)
        found += [
            _row("a constant", size, lowest),
            _row("credential", size, fetched, f"{CREDENTIALS_BAR}/s", fetched.per_second >= CREDENTIALS_BAR),
            _row(
                "credential, against the constant",
                size,
                f"{ratio:.2f} ×",
                f"{FLOOR_BAR:.0f} ×",
                ratio <= FLOOR_BAR,
            ),
            _row("proxied GET", size, busy, f"{PROXIED_BAR}/s", busy.per_second >= PROXIED_BAR),
            _row(
                "proxied GET, added to the direct",
                size,
                f"{added:.2f} ms",
                f"{ADDED_BAR_MS:.0f} ms",
                added < ADDED_BAR_MS,
            ),
            *(
                _row(
                    f"{name}, p99 to median",
                    size,
                    f"{it.p99 / it.median:.1f} ×",
                    f"{TAIL_BAR:.0f} ×",
                    it.p99 < TAIL_BAR * it.median,
                )
                for name, it in (("credential", fetched), ("proxied GET", busy))
            ),
        ]
        if flat is not None:
            found.append(
                _row("slower than among few", size, f"{flat:.2f} ×", f"{FLAT_BAR} ×", flat <= FLAT_BAR)
            )
    return [*found, _flooded(console, credentials, garbage)]


def _flooded(console: str, credentials: list[bytes], garbage: bytes) -> tuple:
    """How much of good traffic is served while others try keys that do not exist, as fast as they can.

    The good traffic is half of what the server can do alone; what is late is not lost, what is refused is.
    """
    alone = load(console, cycle(credentials), seconds=SECONDS)
    rate = alone.per_second / 2
    with ProcessPoolExecutor(1) as elsewhere:
        flood = elsewhere.submit(_flood, console, garbage)
        beside = load(console, cycle(credentials), seconds=SECONDS, per_second=rate)
        assert not flood.result().good
    served = beside.good / (beside.per_second and rate * SECONDS)
    said = f"{served:.0%} of {rate:.0f}/s"
    return "credential, beside garbage keys", "", "", said, "", f"{FLOOD_BAR:.0%}", _held(served >= FLOOD_BAR)


def _flood(console: str, garbage: bytes) -> Load:
    return load(console, cycle([garbage]), seconds=SECONDS + 1)


def _held(is_held: bool) -> str:
    return "held" if is_held else "MISSED"


def _row(name: str, size: int, found: Load | str, bar: str = "", is_held: bool = True) -> tuple:
    if isinstance(found, str):
        return name, f"{size:,}", "", found, "", bar, _held(is_held)
    rate = f"{found.per_second:.0f}/s, {found.median:.1f} ms"
    return name, f"{size:,}", "", rate, f"{found.p99:.1f} ms", bar, _held(is_held)
