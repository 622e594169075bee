"""A provider for bodies of any size, as a process of its own: it makes and counts them, and holds none."""

import argparse
import hashlib
import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PIECE = b"0123456789abcdef" * 4096
SMALL = json.dumps({"items": ["x" * 2000]}).encode()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_GET(self):
        kind, _, number = self.path.removeprefix("/v1/").partition("/")
        if kind == "bytes":
            self._send_bytes(int(number), "content-length")
        elif kind == "chunks":
            self._send_bytes(int(number), "chunked")
        elif kind == "breaks":
            self._send_bytes(int(number), "content-length", short=True)
        elif kind == "echo":
            self._answer(json.dumps({"target": self.path}).encode())
        elif kind == "slowly":
            self._send_slowly(int(number))
        else:
            self._answer(SMALL)

    def do_POST(self):
        digest, size = hashlib.sha256(), 0
        for piece in self._body():
            digest.update(piece)
            size += len(piece)
        coding = self.headers.get("Transfer-Encoding", "")
        said = {"bytes": size, "sha256": digest.hexdigest(), "coding": coding}
        self._answer(json.dumps(said).encode())

    do_PUT = do_POST  # noqa: N815

    def _body(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return
        left = int(self.headers.get("Content-Length", 0))
        while left:
            piece = self.rfile.read(min(len(PIECE), left))
            if not piece:
                return
            left -= len(piece)
            yield piece

    def _answer(self, body: bytes):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def _send_bytes(self, size: int, framing: str, short: bool = False):
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        if framing == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(size))
        self.end_headers()
        left = size // 2 if short else size
        while left:
            piece = PIECE[:left]
            left -= len(piece)
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if framing == "chunked" else piece)
        if framing == "chunked":
            self.wfile.write(b"0\r\n\r\n")
        if short:
            self.close_connection = True
        self.wfile.flush()

    def _send_slowly(self, pieces: int):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number in range(pieces):
            text = b"data: %d\n\n" % number
            self.wfile.write(b"%x\r\n%b\r\n" % (len(text), text))
            self.wfile.flush()
            time.sleep(0.5)
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()

    def log_message(self, format, *args):
        pass


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    server = ThreadingHTTPServer(("127.0.0.1", parser.parse_args().port), Handler)
    server.daemon_threads = True
    server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
