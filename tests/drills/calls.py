"""Calls through the API while it gets what it must bear: large bodies, hostile providers, floods of keys."""

import hashlib
import http.client
import json
import socket
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from itertools import cycle

from console.models import ApiKey
from console.streams import send
from tests.calling import caller
from tests.drills import pages
from tests.drills.children import Place
from tests.drills.field import Field, Figure
from tests.load import Load, load, request
from tests.stand_ins.passing import PIECE
from tests.stand_ins.process import free_port, running
from tests.stand_ins.quirks import Quirks, Request, answer
from tests.test_http import SPECIAL_IPV4, SPECIAL_IPV6
from tests.test_proxy import OVERRIDES

MB = 1024 * 1024
GROWTH_MB = 20
FLOOD_SECONDS = 5.0
# Of a second in which the server could do twice as much.
GOOD_BAR = 0.9


@contextmanager
def _served(field: Field, provider: str):
    """The console behind gunicorn, with this provider; a key, an installation, the console's address."""
    field.place, before = Place(field.place.database, provider), field.place
    port = free_port()
    (row,) = field.connected(1, ends_in=86_400)
    key = caller(field.partner, credentials_per_minute=None)
    server = field.child(pages.serve_deployed, port)
    try:
        pages.wait_until_it_answers(port)
        yield key.written, f"/api/v1/installations/{row.pk}", f"http://127.0.0.1:{port}"
    finally:
        server.end()
        field.place = before


def _memory(pid: int) -> float:
    """Megabytes that a process and its children hold."""
    with open(f"/proc/{pid}/task/{pid}/children") as found:
        family = [pid, *map(int, found.read().split())]
    total = 0
    for member in family:
        with open(f"/proc/{member}/status") as status:
            total += next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    return total / 1024


def large_bodies(field: Field, megabytes: int = 100) -> Figure:
    """A body of that size in each direction, three times."""
    digest = hashlib.sha256()
    for _ in range(megabytes * MB // len(PIECE)):
        digest.update(PIECE)
    whole, most = 0, 0.0
    with running("tests.stand_ins.passing") as provider, _served(field, provider.origin) as made:
        key, path, console = made
        pid, headers = field.children[-1].process.pid, {"Authorization": f"Bearer {key}"}
        # Whatever is loaded or made once, in each thread.
        for _ in range(40):
            list(_pass(console, headers, path, MB))
        before = _memory(pid)
        for _ in range(3):
            for size, digested in _pass(console, headers, path, megabytes * MB):
                whole += (size, digested) == (megabytes * MB, digest.hexdigest())
                most = max(most, _memory(pid) - before)
    return Figure(
        f"proxied bodies of {megabytes} MB, three in each direction",
        f"{whole} of 6 whole; the console grew by {most:.0f} MB",
        f"6; under {GROWTH_MB} MB",
        whole == 6 and most < GROWTH_MB,
    )


def _pass(console: str, headers: dict, path: str, size: int):
    """Down and up: how much arrived, and its SHA-256."""
    with closing(http.client.HTTPConnection(console.removeprefix("http://"), timeout=120)) as connection:
        connection.request("GET", f"{path}/proxy/v1/bytes/{size}", headers=headers)
        response, digest, got = connection.getresponse(), hashlib.sha256(), 0
        while piece := response.read(MB):
            digest.update(piece)
            got += len(piece)
        yield got, digest.hexdigest()
        pieces = (PIECE for _ in range(size // len(PIECE)))
        connection.request("POST", f"{path}/proxy/v1/count", pieces, {**headers, "Content-Length": str(size)})
        said = json.loads(connection.getresponse().read())
        yield said["bytes"], said["sha256"]


def hostile(field: Field) -> Figure:
    """A provider that redirects, names that lead inside, and callers that smuggle."""
    followed = overridden = reached = smuggled = 0
    with Quirks(None) as elsewhere, Quirks(None) as provider, _served(field, provider.origin) as made:
        key, path, console = made
        headers = {"Authorization": f"Bearer {key}"}
        places = (elsewhere.origin, f"{elsewhere.origin}/x", "https://169.254.169.254/", "/elsewhere")
        for status in (301, 302, 303, 307, 308):
            for place in places:
                provider.respond = answer("", f"Location: {place}", status=f"{status} Moved")
                sent = len(provider.requests)
                _ask(console, path, headers)
                followed += len(provider.requests) - sent - 1
        followed += elsewhere.connections
        provider.respond = answer("{}", close=False)
        for evil in OVERRIDES:
            sent = len(provider.requests)
            _ask(console, path, {**evil, **headers})
            overridden += sum("evil.example" in one.everything for one in provider.requests[sent:])
        for text in _smugglers(path, key):
            sent = len(provider.requests)
            _raw(console, text)
            smuggled += sum(_is_smuggled(one) for one in provider.requests[sent:])
    for address in (*SPECIAL_IPV4, *SPECIAL_IPV6):
        reached += _answers(f"[{address}]" if ":" in address else address)
    found = (followed, reached, overridden, smuggled)
    return Figure(
        "hostile: 20 redirects, 58 special addresses, 40 overrides, 6 smuggled requests",
        "{} followed, {} reached, {} came through, {} smuggled".format(*found),
        "none",
        not any(found),
    )


def _ask(console: str, path: str, headers: dict) -> None:
    with closing(http.client.HTTPConnection(console.removeprefix("http://"), timeout=30)) as connection:
        try:
            connection.request("GET", f"{path}/proxy/items", headers=headers)
            connection.getresponse().read()
        except ValueError:  # a line break: what a client refuses to send, `_smugglers` sends
            return


def _smugglers(path: str, key: str) -> list[bytes]:
    inner = f"GET {path}/proxy/smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    ways = [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "Content-Length: 0\r\nContent-Length: 44\r\n\r\n",
        "Content-Length: +0\r\n\r\n",
        "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    ]
    head = f"POST {path}/proxy/items HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
    return [(head + way + inner).encode() for way in ways]


def _raw(console: str, text: bytes) -> None:
    with socket.create_connection(("127.0.0.1", int(console.rpartition(":")[2])), timeout=2) as connection:
        connection.sendall(text)
        try:
            while connection.recv(65536):
                pass
        except TimeoutError:
            return


def _is_smuggled(sent: Request) -> bool:
    return "smuggled" in sent.everything


def _answers(host: str) -> bool:
    """Whether the door lets a call out to this address."""
    from console.http import Unreachable

    try:
        send("GET", f"https://{host}/", (), None).close()
    except Unreachable as error:
        return error.kind != "address"
    return True


def garbage_keys(field: Field) -> Figure:
    """Good calls at half of what the server can do, while others try unknown keys as fast as they can."""
    with _served(field, field.server.origin) as (key, path, console):
        good = [request(console, f"{path}/credential", Authorization=f"Bearer {key}")]
        bad = request(console, f"{path}/credential", Authorization=f"Bearer {ApiKey().issue()}")
        alone = load(console, cycle(good), seconds=FLOOD_SECONDS)
        rate = alone.per_second / 2
        with ProcessPoolExecutor(1) as others:
            flood = others.submit(_flood, console, bad)
            beside = load(console, cycle(good), seconds=FLOOD_SECONDS, per_second=rate)
            tried = flood.result()
    served = beside.good / (rate * FLOOD_SECONDS)
    return Figure(
        f"good calls beside {sum(tried.statuses.values()):,} with garbage keys",
        f"{served:.0%} of {rate:.0f} a second; {tried.good} of the others let in",
        f"{GOOD_BAR:.0%}; none",
        served >= GOOD_BAR and not tried.good,
    )


def _flood(console: str, garbage: bytes) -> Load:
    return load(console, cycle([garbage]), seconds=FLOOD_SECONDS + 1)
