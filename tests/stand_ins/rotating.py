"""An authorization server that rotates refresh tokens, counts what it is asked, and fails on demand.

RFC 6749, section 6, and RFC 9700, section 4.14.2: whoever sends a refresh token once more loses the whole
grant, as with the strictest providers.

    python -m tests.stand_ins.rotating --port 0

Serves POST /token and /revoke, GET /me, and for tests POST /_control and GET /_state.
"""

import argparse
import json
import secrets
import sys
import threading
import time
from urllib.parse import parse_qs

from tests.stand_ins.serving import serve

CLIENT = ("rotating-client", "rotating-secret")


class Server:
    def __init__(self):
        self.lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        # grant → {"refresh": the one refresh token that counts, "access": {token: ends at}, "alive"}
        self.grants: dict[str, dict] = {}
        self.owner: dict[str, str] = {}
        self.calls = {"token": 0, "revoke": 0, "me": 0, "reused": 0, "invalid_grant": 0, "limited": 0}
        # When each second began, and how many requests it has seen.
        self.second, self.seen = 0, 0
        # Seconds that tokens live; seconds before an answer; statuses to answer with, in turn, at first. What
        # a refresh token does that comes twice: "revoke" the grant, be "refuse"d, or be good ("grace"). A
        # status for as long as the server is down; how many requests a second it takes (0: any number).
        self.switches = {
            "lifetime": 3600,
            "slow": 0.0,
            "answers": [],
            "retry_after": "",
            "rotate": True,
            "leave_out_refresh_token": False,
            "answer_with": {},
            "reuse": "revoke",
            "down": 0,
            "limit": 0,
            "me_answers": [],
            "secrets": [CLIENT[1]],
            "revoke_checks_client": False,
        }

    def issue(self, grant: str) -> dict:
        new = {"refresh": "", "access": {}, "alive": True, "issued": 0}
        row = self.grants.setdefault(grant, new)
        row["issued"] += 1
        access = f"at-{grant}-{secrets.token_hex(12)}"
        row["access"][access] = time.time() + self.switches["lifetime"]
        self.owner[access] = grant
        if self.switches["rotate"] or not row["refresh"]:
            row["refresh"] = f"rt-{grant}-{secrets.token_hex(12)}"
        self.owner[row["refresh"]] = grant
        answer = {
            "access_token": access,
            "token_type": "bearer",
            "expires_in": self.switches["lifetime"],
            "refresh_token": row["refresh"],
        }
        if self.switches["leave_out_refresh_token"]:
            del answer["refresh_token"]
        return answer | self.switches["answer_with"]

    def token(self, form: dict[str, str]) -> tuple[int, dict]:
        with self.lock:
            self.calls["token"] += 1
            if status := self._refused():
                return status, {"error": "temporarily_unavailable"}
            if (
                form.get("client_id") != CLIENT[0]
                or form.get("client_secret") not in self.switches["secrets"]
            ):
                return 401, {"error": "invalid_client"}
            sent = form.get("refresh_token", "")
            grant = self.owner.get(sent)
            row = self.grants.get(grant or "")
            is_current = row and row["refresh"] == sent
            if row and not is_current:
                self.calls["reused"] += 1
            if row and row["alive"] and (is_current or self.switches["reuse"] == "grace"):
                answer = 200, self.issue(grant)
            else:
                if row and self.switches["reuse"] == "revoke":
                    # Sent once more: somebody has stolen it, or a client has lost count.
                    row["alive"], row["access"] = False, {}
                self.calls["invalid_grant"] += 1
                answer = 400, {"error": "invalid_grant"}
        # What is decided is decided; only the answer takes its time.
        time.sleep(self.switches["slow"])
        return answer

    def _refused(self) -> int:
        if self.switches["answers"]:
            return self.switches["answers"].pop(0)
        if self.switches["limit"]:
            if self.second != int(time.monotonic()):
                self.second, self.seen = int(time.monotonic()), 0
            self.seen += 1
            if self.seen > self.switches["limit"]:
                self.calls["limited"] += 1
                return 429
        return self.switches["down"]

    def revoke(self, form: dict[str, str]) -> tuple[int, dict]:
        with self.lock:
            self.calls["revoke"] += 1
            if self.switches["answers"]:
                return self.switches["answers"].pop(0), {}
            if (
                self.switches["revoke_checks_client"]
                and form.get("client_secret") not in self.switches["secrets"]
            ):
                return 401, {"error": "invalid_client"}
            row = self.grants.get(self.owner.get(form.get("token", ""), ""))
            if row:
                row["alive"], row["access"] = False, {}
            return 200, {}

    def me(self, authorization: str) -> tuple[int, dict]:
        with self.lock:
            self.calls["me"] += 1
            if self.switches["me_answers"]:
                return self.switches["me_answers"].pop(0), {}
            token = authorization.removeprefix("Bearer ")
            row = self.grants.get(self.owner.get(token, ""))
            if row and row["alive"] and row["access"].get(token, 0) > time.time():
                return 200, {"id": self.owner[token], "name": "Rotating"}
            return 401, {"error": "invalid_token"}


SERVER = Server()


def application(environ, start_response):
    path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    headers = [("Content-Type", "application/json")]
    if path == "/token":
        status, said = SERVER.token(_form(body))
        if status in (429, 503) and SERVER.switches["retry_after"]:
            headers.append(("Retry-After", SERVER.switches["retry_after"]))
    elif path == "/revoke":
        status, said = SERVER.revoke(_form(body))
        if status == 503 and SERVER.switches["retry_after"]:
            headers.append(("Retry-After", SERVER.switches["retry_after"]))
    elif path == "/me":
        status, said = SERVER.me(environ.get("HTTP_AUTHORIZATION", ""))
    elif path == "/_control" and method == "POST":
        status, said = 200, _control(json.loads(body))
    elif path == "/_state":
        status, said = 200, {"calls": SERVER.calls, "grants": SERVER.grants}
    else:
        status, said = 404, {}
    start_response(f"{status} -", headers)
    return [json.dumps(said).encode()]


def _form(body: bytes) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(body.decode()).items()}


def _control(asked: dict) -> dict:
    """{"reset": true} · {"issue": ["grant"]} gives token responses · {"expire": "grant"} · switches."""
    with SERVER.lock:
        if asked.pop("reset", False):
            SERVER.reset()
        grants = asked.pop("issue", [])
        expired = asked.pop("expire", None)
        if expired:
            SERVER.grants[expired]["access"].clear()
        SERVER.switches.update(asked)
        return {grant: SERVER.issue(grant) for grant in grants}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    return serve(application, parser.parse_args().port, "The rotating stand-in")


if __name__ == "__main__":
    sys.exit(main())
