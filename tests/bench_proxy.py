"""`python -m tests.bench_proxy`: what the proxy adds to a GET of 2 KB, and how many calls it passes a second.

gunicorn with two processes of sixteen threads, eight connections, everything on this machine: the provider's
stand-in and who asks as well. DATABASE_URL names a PostgreSQL, otherwise it is SQLite.
"""

import os
import socket
import statistics
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

from tests import environment  # noqa: F401 - the keys, before Django reads its settings

CONNECTIONS, WARM_UP, MEASURED = 8, 2.0, 8.0
BAR_MS, BAR_CALLS, BAR_P99 = 3.0, 772.0, 5.0
BODY = b'{"items": ["' + b"x" * 2000 + b'"]}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY

CONNECT = """
from console.models import Account
from installations.auth import Token
from tests.calling import caller
from tests.proxied import connected
account = Account.objects.first()
row = connected(account, "stripe", "restricted_key", Token(values={"api_key": "sk_live_1"}))
print(caller(row.partner).written, row.pk)
"""


def main() -> int:
    from tests.proxying import proxying

    port = upstream()
    provider = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder, proxying(Path(folder), provider, workers=2) as made:
        partner, installation = made.shell(CONNECT).split()
        target = f"/api/v1/installations/{installation}/proxy/items"
        proxied = request(target, f"Authorization: Bearer {partner}")
        server = int(made.origin.rpartition(":")[2])
        held = True
        for connections in (1, CONNECTIONS):
            direct_rate, direct = load(port, request("/v1/items"), connections)
            before = processor(made.server.process.pid)
            rate, times = load(server, proxied, connections)
            used = (processor(made.server.process.pid) - before) / (rate * (MEASURED + WARM_UP)) * 1000
            median, p99 = statistics.median(times), statistics.quantiles(times, n=100)[98]
            added = median - statistics.median(direct)
            print(
                f"{connections} connections: direct {direct_rate:,.0f}/s, "
                f"median {statistics.median(direct):.2f} ms; proxied {rate:,.0f}/s, median {median:.2f} ms, "
                f"p99 {p99:.2f} ms, processor about {used:.2f} ms a call; added {added:.2f} ms"
            )
            if connections == 1:
                held = held and added < BAR_MS
            else:
                held = held and rate >= BAR_CALLS and p99 < BAR_P99 * median
    print("held" if held else "MISSED")
    return 0 if held else 1


def processor(parent: int) -> float:
    """Seconds of processor time that a process and its children have used so far."""
    found = 0.0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        if parent in (int(fields[1]), int(stat.parent.name)):
            found += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return found


def request(target: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {target} HTTP/1.1", "Host: 127.0.0.1", *headers, "", ""]).encode()


def upstream() -> int:
    """A provider that answers everything with 2 KB, in a process of its own; its port."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    if os.fork() == 0:
        parent = os.getppid()
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_answer, args=(connection,), daemon=True).start()
    port = listener.getsockname()[1]
    listener.close()
    return port


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(0)


def _answer(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while connection.recv(65536):
        connection.sendall(ANSWER)


def load(port: int, text: bytes, connections: int) -> tuple[float, list[float]]:
    """Calls a second, and how long each took in milliseconds."""
    times: list[float] = []
    begin = time.perf_counter() + WARM_UP
    end = begin + MEASURED

    def ask():
        with _connected(port) as connection:
            while (started := time.perf_counter()) < end:
                connection.sendall(text)
                _read(connection)
                if started >= begin:
                    times.append((time.perf_counter() - started) * 1000)

    threads = [threading.Thread(target=ask) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(times) / MEASURED, times


@contextmanager
def _connected(port: int):
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield connection


def _read(connection: socket.socket) -> None:
    found = connection.recv(65536)
    while b"\r\n\r\n" not in found:
        found += connection.recv(65536)
    head, _, body = found.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), found[:300]
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    left = length - len(body)
    while left:
        left -= len(connection.recv(left))


if __name__ == "__main__":
    sys.exit(main())
