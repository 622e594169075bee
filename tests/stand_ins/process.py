"""Run a stand-in as a process of its own for as long as a test needs it."""

import contextlib
import http.client
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 20
STOP_SECONDS = 5


def free_port():
    """A port nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Running:
    def __init__(self, module, port, process, log):
        self.module, self.port, self.process, self._log = module, port, process, log
        self.origin = f"http://127.0.0.1:{port}"

    def output(self):
        """What the process has printed so far, both streams together."""
        # Not seek and read: the process writes at the offset it shares with this file.
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), size, 0).decode(errors="replace")

    def wait_until_it_answers(self):
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(
                    f"{self.module} ended with status {self.process.returncode}:\n{self.output()}"
                )
            if self._answers():
                return
            time.sleep(0.05)
        raise RuntimeError(f"{self.module} did not answer within {START_SECONDS} s:\n{self.output()}")

    def _answers(self):
        """Any status is an answer. The stand-ins do not count paths that begin with "/_"."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/_ready")
            connection.getresponse().read()
            return True
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@contextlib.contextmanager
def running(module, *args, port=None, env=None):
    """`python -m module --port PORT args…` until the block ends."""
    port = port or free_port()
    with socket.socket() as probe:
        # Otherwise a stranger on this port would pass for the process that is started here.
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise RuntimeError(f"{module} cannot start: port {port} is already in use.")
    command = [sys.executable, "-m", module, "--port", str(port), *map(str, args)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})}
    # A file, not a pipe: nobody reads while the process runs, and a full pipe would stop it.
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        server = Running(module, port, process, log)
        try:
            server.wait_until_it_answers()
            yield server
        finally:
            server.stop()
