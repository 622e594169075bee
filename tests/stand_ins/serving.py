"""Serve one WSGI application on the loopback interface, threaded, with a discreet log."""

import errno
import sys
from socketserver import TCPServer, ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

HOST = "127.0.0.1"


class ThreadedServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 256

    def server_bind(self):
        """Bind without the reverse name lookup of the base class, which can take seconds."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.server_address[1]
        self.setup_environ()


class DiscreetHandler(WSGIRequestHandler):
    """Logs host, method, path and status, never the query string: it can hold secrets."""

    def address_string(self):
        return self.client_address[0]

    def log_request(self, code="-", size="-"):
        path = getattr(self, "path", "-").partition("?")[0]
        host = self.headers.get("Host", "-") if getattr(self, "headers", None) else "-"
        self.log_message("%s %s %s %s", host, self.command, path, code)

    def log_error(self, format, *args):
        """The base class would log the whole request line of a malformed request."""


def serve(application, port, name):
    """Serve until interrupted. Returns the exit status."""
    try:
        server = ThreadedServer((HOST, port), DiscreetHandler)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        reason = "the port is already in use" if taken else error.strerror
        print(f"{name}: cannot listen on {HOST}:{port}: {reason}.", file=sys.stderr)
        return 1
    server.set_app(application)
    print(f"{name} is ready on http://{HOST}:{server.server_port}/", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()
    return 0
