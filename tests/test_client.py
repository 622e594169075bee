"""The tour of the README and the client, as a partner's engineer meets them: a server, a key, a shell."""

import json
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import requests

from tests.stand_ins.process import ROOT

sys.path.append(str(ROOT / "static" / "client"))
from partner_console import PartnerConsole, Problem, Unreachable

README = (ROOT / "README.md").read_text(encoding="utf-8")
TOUR = README.partition("## From an API key to an answer")[2].partition("\n## ")[0]


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", TOUR, re.S)
    return found


@pytest.fixture
def environment(product) -> dict[str, str]:
    kept = Path(product.environment["DEMO_FILE"]).read_text(encoding="utf-8")
    (key,) = re.findall(r"pc_live_\w+", kept)
    return {**os.environ, "CONSOLE": product.origin, "API_KEY": key, "API_TOKEN": product.heartland.token()}


@pytest.fixture
def console(environment) -> PartnerConsole:
    return PartnerConsole(environment["CONSOLE"], environment["API_KEY"])


def test_the_tour_with_curl(environment):
    lines = [line for line in block("sh").splitlines() if not line.startswith("export ")]
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(lines)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["results"][0]["description"]


def test_the_tour_with_the_client_takes_ten_lines(environment, tmp_path):
    source = requests.get(f"{environment['CONSOLE']}/static/client/partner_console.py", timeout=10)
    source.raise_for_status()
    (tmp_path / "partner_console.py").write_text(source.text, encoding="utf-8")
    tour = block("python")
    assert len([line for line in tour.splitlines() if line and not line.startswith(("import", "from"))]) <= 10
    (tmp_path / "tour.py").write_text(tour, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "tour.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()


# ── the client ──────────────────────────────────────────────────────────────────────────────────


def test_all_entries_of_a_list_come_page_after_page(console):
    made = {console.post("/accounts", name=f"Shop {number}")["id"] for number in range(5)}
    found = [row["id"] for row in console.all("/accounts", limit=2)]
    assert made <= set(found)
    assert len(found) == len(set(found))


def test_a_refusal_is_a_problem_with_its_code_and_where_it_is(console):
    with pytest.raises(Problem, match="#/name: ") as caught:
        console.post("/accounts", nmae="X")
    problem = caught.value
    assert problem.request_id in str(problem)
    assert (problem.status, problem.code) == (422, "invalid_request")
    assert {error["pointer"] for error in problem.errors} == {"#/name", "#/nmae"}
    assert problem.request_id
    with pytest.raises(Problem, match="key_malformed"):
        PartnerConsole(console.address.removesuffix("/api/v1"), "wrong").get("/accounts")


def test_a_call_that_is_given_the_same_idempotency_key_is_done_once(console):
    first, second = (console.post("/accounts", name="X", idempotency_key="import-1") for _ in range(2))
    assert first == second


def test_an_account_is_changed_and_deleted(console):
    row = console.post("/accounts", name="X")
    assert console.patch(f"/accounts/{row['id']}", name="Y")["name"] == "Y"
    with pytest.raises(Problem, match="precondition_failed"):
        console.patch(f"/accounts/{row['id']}", if_match='"old"', name="Z")
    console.delete(f"/accounts/{row['id']}")
    with pytest.raises(Problem, match="not_found"):
        console.get(f"/accounts/{row['id']}")


def test_no_key_stands_in_what_is_printed(console, environment):
    assert environment["API_KEY"] not in repr(console) + repr(console.proxy("x"))


class _Later(BaseHTTPRequestHandler):
    """Says "later" to the first, hangs up on the second, and answers the third."""

    def do_POST(self):
        self.server.keys.append(self.headers["Idempotency-Key"])
        many = len(self.server.keys)
        if many == 2:
            self.connection.close()
            return
        body = b'{"id": "1"}' if many == 3 else b'{"code": "too_many_calls"}'
        self.send_response(201 if many == 3 else 429)
        if many == 1:
            self.send_header("Retry-After", "1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.server.keys.append(self.headers["Authorization"])
        self.send_response(302)
        self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture
def later():
    server = HTTPServer(("127.0.0.1", 0), _Later)
    server.keys = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_what_is_to_come_later_or_was_cut_off_is_sent_again_under_the_same_key(later):
    console = PartnerConsole(f"http://127.0.0.1:{later.server_port}", "k")
    assert console.post("/accounts", name="X") == {"id": "1"}
    assert len(later.keys) == 3
    assert len(set(later.keys)) == 1


def test_a_key_follows_no_redirect(later):
    console = PartnerConsole(f"http://127.0.0.1:{later.server_port}", "k")
    console.send("GET", "/accounts")
    assert later.keys == ["Bearer k"]


def test_a_console_that_is_not_there_is_said_after_some_tries(later):
    port = later.server_port
    with pytest.raises(Unreachable):
        PartnerConsole(f"http://127.0.0.1:{port + 1 if port < 65000 else 1}", "k", tries=2).get("/accounts")
