"""A partner's own software as far as webhooks know it: it keeps what it is sent, and answers as told."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Sent:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


@dataclass(frozen=True)
class Says:
    status: int = 204
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    # Seconds before the answer, and between the bytes of its body.
    after: float = 0
    drips: float = 0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length)
        if len(body) < length:
            # Whoever sent it was killed meanwhile: nobody waits for an answer.
            self.close_connection = True
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        sent = Sent(self.path, headers, body, time.monotonic())
        with self.server.lock:
            self.server.taken.append(sent)
        says = self.server.answer(sent)
        time.sleep(says.after)
        self.send_response(says.status)
        for name, value in says.headers:
            self.send_header(name, value)
        if says.status != 204:
            self.send_header("Content-Length", str(len(says.body)))
        self.end_headers()
        if says.drips:
            for number in range(len(says.body)):
                self.wfile.write(says.body[number : number + 1])
                self.wfile.flush()
                time.sleep(says.drips)
        else:
            self.wfile.write(says.body)

    def log_message(self, *args):
        pass


class Receiver(ThreadingHTTPServer):
    """Listens on the loopback interface, on a free port, within `with`."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.lock = threading.Lock()
        self.taken: list[Sent] = []
        self.answer: Callable[[Sent], Says] = lambda sent: Says()

    def handle_error(self, request, client_address):
        """The other side was killed, or waited no longer."""

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *exception):
        self.shutdown()
        self.server_close()

    def url(self, path: str = "/hook") -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{path}"

    def says(self, status: int = 204, headers: dict[str, str] | None = None, **how) -> None:
        says = Says(status, tuple((headers or {}).items()), **how)
        self.answer = lambda sent: says

    @property
    def ids(self) -> Counter:
        with self.lock:
            return Counter(sent.id for sent in self.taken)
