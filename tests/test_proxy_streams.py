"""Bodies of any size pass through the proxy as they come: real servers on both sides, and a real gunicorn."""

import hashlib
import http.client
import json
import socket
import threading
import time
from contextlib import ExitStack, closing

import pytest

from tests.product import full
from tests.proxying import proxying
from tests.stand_ins.passing import PIECE
from tests.stand_ins.process import running

MB = 1024 * 1024
GROWTH = 20 * MB
CONNECT = """
from console.models import Account
from installations.auth import Token
from tests.calling import caller
from tests.proxied import connected
row = connected(Account.objects.first(), "stripe", "restricted_key", Token(values={"api_key": "sk_live_1"}))
print(caller(row.partner).written, row.pk)
"""


class Console:
    def __init__(self, product):
        self.product = product
        self.partner, self.installation = product.shell(CONNECT).split()
        self.port = int(product.origin.rpartition(":")[2])

    def target(self, path: str) -> str:
        return f"/api/v1/installations/{self.installation}/proxy/{path}"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.partner}"}

    def open(self) -> closing:
        return closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=120))

    def get(self, path: str):
        """Status, headers and body."""
        with self.open() as connection:
            connection.request("GET", self.target(path), headers=self.headers)
            response = connection.getresponse()
            return response.status, response.headers, response.read()

    def memory(self) -> int:
        """Bytes that the one process that serves holds."""
        (child,) = _children(self.product.server.process.pid)
        with open(f"/proc/{child}/status") as status:
            (line,) = (line for line in status if line.startswith("VmRSS"))
        return int(line.split()[1]) * 1024

    def raw(self, text: bytes) -> bytes:
        """What comes back for these very bytes, until the console hangs up or is silent."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(text)
            found = b""
            try:
                while piece := connection.recv(65536):
                    found += piece
            except TimeoutError:
                pass
            return found


def _children(parent: int) -> list[int]:
    with open(f"/proc/{parent}/task/{parent}/children") as found:
        return [int(pid) for pid in found.read().split()]


class Watch:
    """The most that the process holds while something passes through it, above what it held before."""

    def __init__(self, console: Console):
        self._console, self._before, self.most = console, console.memory(), 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def _look(self):
        while not self._stop.wait(0.02):
            self.most = max(self.most, self._console.memory() - self._before)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()


@pytest.fixture(scope="module")
def provider():
    with running("tests.stand_ins.passing") as server:
        yield server


@pytest.fixture(scope="module")
def console(provider, tmp_path_factory):
    with proxying(tmp_path_factory.mktemp("proxied"), provider.origin) as made:
        console = Console(made)
        # Whatever is loaded or made once.
        for _ in range(20):
            with console.open() as connection:
                connection.request("GET", console.target("bytes/1000000"), headers=console.headers)
                connection.getresponse().read()
        yield console
        # Who hangs up is nobody's fault.
        assert "Traceback" not in made.log()


SIZE = full(50, 200) * MB


def pieces(size: int):
    left = size
    while left:
        piece = PIECE[:left]
        left -= len(piece)
        yield piece


def digest(size: int) -> str:
    found = hashlib.sha256()
    for piece in pieces(size):
        found.update(piece)
    return found.hexdigest()


@pytest.mark.parametrize("kind", ["bytes", "chunks"])
def test_a_large_answer_passes_through_and_is_not_held(kind, console):
    with console.open() as connection, Watch(console) as watch:
        connection.request("GET", console.target(f"{kind}/{SIZE}"), headers=console.headers)
        response = connection.getresponse()
        assert response.status == 200
        assert response.headers["Content-Length"] == (str(SIZE) if kind == "bytes" else None)
        found = hashlib.sha256()
        size = 0
        while piece := response.read(MB):
            found.update(piece)
            size += len(piece)
    assert (size, found.hexdigest()) == (SIZE, digest(SIZE))
    assert watch.most < GROWTH


@pytest.mark.parametrize("coding", ["", "chunked"])
def test_a_large_body_passes_through_and_is_not_held(coding, console):
    headers = console.headers if coding else {**console.headers, "Content-Length": str(SIZE)}
    with console.open() as connection, Watch(console) as watch:
        connection.request(
            "POST", console.target("count"), pieces(SIZE), headers=headers, encode_chunked=bool(coding)
        )
        said = json.loads(connection.getresponse().read())
    assert said == {"bytes": SIZE, "sha256": digest(SIZE), "coding": coding}
    assert watch.most < GROWTH


def test_what_a_provider_says_bit_by_bit_arrives_bit_by_bit(console):
    with console.open() as connection:
        connection.request("GET", console.target("slowly/4"), headers=console.headers)
        response = connection.getresponse()
        came = []
        while piece := response.read1(1000):
            came.append((time.monotonic(), piece))
    assert b"".join(piece for _, piece in came) == b"".join(b"data: %d\n\n" % n for n in range(4))
    assert came[-1][0] - came[0][0] > 1


def test_an_answer_that_breaks_off_does_not_look_whole(console):
    with console.open() as connection:
        connection.request("GET", console.target(f"breaks/{MB}"), headers=console.headers)
        response = connection.getresponse()
        assert response.status == 200
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            response.read()


def test_a_caller_that_hangs_up_leaves_nothing_behind(console):
    """More of them than may be under way at once; the next one is served, and nothing is held."""
    for _ in range(20):
        with console.open() as connection:
            connection.request("GET", console.target(f"bytes/{SIZE}"), headers=console.headers)
            response = connection.getresponse()
            assert response.status == 200
            response.read(1000)
            connection.sock.close()
            response.close()
    time.sleep(0.5)
    assert console.get("items")[0] == 200


@pytest.mark.parametrize("coding", ["length", "chunked"])
def test_a_body_that_ends_before_its_end_is_no_whole_request_to_the_provider(coding, console):
    head = f"POST {console.target('count')} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    head += f"Authorization: Bearer {console.partner}\r\n"
    if coding == "length":
        text = f"{head}Content-Length: 1000000\r\n\r\n".encode() + b"x" * 1000
    else:
        text = f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + b"3e8\r\n" + b"x" * 1000
    with socket.create_connection(("127.0.0.1", console.port), timeout=10) as connection:
        connection.sendall(text)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    assert b'"bytes"' not in answer
    assert answer.startswith(b"HTTP/1.1 400") or answer == b""


def test_ten_at_once_pass_without_hindering_each_other(console):
    found = []

    def ask():
        with console.open() as connection:
            connection.request("GET", console.target(f"bytes/{5 * MB}"), headers=console.headers)
            found.append(len(connection.getresponse().read()))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [5 * MB] * 8


def test_who_asks_too_much_at_once_is_told_to_wait_and_others_are_served(console):
    with ExitStack() as stack:
        waiting = [stack.enter_context(console.open()) for _ in range(8)]
        for connection in waiting:
            connection.request("GET", console.target("slowly/6"), headers=console.headers)
        time.sleep(1)
        status, headers, problem = console.get("items")
        assert (status, headers["Retry-After"]) == (503, "1")
        assert json.loads(problem)["code"] == "too_many_under_way"
        for connection in waiting:
            connection.getresponse().read()
    assert console.get("items")[0] == 200


# ── two readings of one request ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "framing",
    [
        ["Content-Length: 5", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked", "Content-Length: 0"],
        ["Content-Length: 5", "Content-Length: 6"],
        ["Content-Length: 5, 6"],
        ["Content-Length: +5"],
        ["Content-Length: -1"],
        ["Content-Length: 0x5"],
        ["Transfer-Encoding: chunked, identity"],
        ["Transfer-Encoding: xchunked"],
        ["Transfer-Encoding: gzip, chunked"],
        ["Transfer-Encoding : chunked"],
        ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
        ["X-Note: a\rTransfer-Encoding: chunked"],
        ["X-Note: a\n Transfer-Encoding: chunked"],
        ["X-Note\r\n: a"],
    ],
)
def test_a_request_that_can_be_read_in_two_ways_is_refused(framing, console):
    head = [f"POST {console.target('count')} HTTP/1.1", "Host: 127.0.0.1"]
    head += [f"Authorization: Bearer {console.partner}", *framing, "Connection: close", "", ""]
    smuggled = "0\r\n\r\nGET /v1/smuggled HTTP/1.1\r\nHost: api.stripe.com\r\n\r\n"
    found = console.raw("\r\n".join(head).encode() + smuggled.encode())
    assert found.startswith((b"HTTP/1.1 400", b"HTTP/1.1 501")), found[:200]
    assert b'"bytes"' not in found
    assert found.count(b"HTTP/1.1 ") == 1


def test_a_body_is_asked_for_where_the_caller_waits_to_be_asked(console):
    head = f"POST {console.target('count')} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
    head += f"Authorization: Bearer {console.partner}\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
    found = console.raw(head.encode() + b"hello")
    assert found.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200")
    assert b'"bytes": 5' in found


@pytest.mark.parametrize("path", ["a%2Fb%20c", "%E2%82%AC;v=1", "a/b/", "x@y:z,w(1)'*!$&+="])
def test_a_path_arrives_as_it_was_written(path, console):
    _, _, body = console.get(f"echo/{path}?q=%2B+%20&&x")
    assert json.loads(body)["target"] == f"/v1/echo/{path}?q=%2B+%20&&x"


@pytest.mark.parametrize(
    "path",
    ["..", "../x", "a/../../x", "%2e%2e/x", "a/%2E%2e/x", "a/..%2fx", "%252e%252e/x", "..;/x", "/x", "."],
)
def test_no_path_leads_out_of_its_place(path, console):
    assert console.get(path)[0] in (400, 404)


def test_a_whole_address_in_place_of_a_path_is_refused(console):
    found = console.raw(
        f"GET http://evil.example{console.target('items')} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Authorization: Bearer {console.partner}\r\nConnection: close\r\n\r\n".encode()
    )
    assert found.startswith(b"HTTP/1.1 400"), found[:300]
