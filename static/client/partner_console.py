"""A client of Partner Console's API, in one file and with nothing but Python's own library (3.9 and newer).

    console = PartnerConsole("https://console.example.com", "pc_live_…")
    for installation in console.all("/installations", state="connected"):
        items = console.proxy(installation["id"]).get("/items").json()

Copy it into your project. Every operation of the API's reference is one call: `get`, `post`, `patch` and
`delete` take its path below /api/v1 and return what is answered.
"""

import json
import time
import uuid
from http.client import HTTPException
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode
from urllib.request import HTTPRedirectHandler, Request, build_opener


class Problem(Exception):
    """What the API refused (RFC 9457). `code` is stable: decide by it."""

    def __init__(self, status: int, body: dict, retry_after=None):
        self.status, self.body, self.retry_after = status, body, retry_after
        self.code = body.get("code", "")
        self.detail = body.get("detail", "")
        # What the provider said, where it said something.
        self.words = body.get("words", "")
        self.errors = body.get("errors") or []
        # Tell it whoever runs the console: it stands in the log.
        self.request_id = body.get("request_id", "")
        wrong = "; ".join(f"{error.get('pointer')}: {error.get('detail')}" for error in self.errors)
        said = [body.get("title", "The call failed"), wrong or self.words]
        super().__init__(f"{': '.join(filter(None, said))} ({self.code or status}, {self.request_id})")


class Unreachable(Exception):
    """Nothing answered in time. Whether something was done is unknown; a POST may be repeated safely."""


class Answer:
    """An answer as it came: `status`, `headers`, `content`."""

    def __init__(self, status: int, headers, content: bytes):
        self.status, self.headers, self.content = status, headers, content

    def json(self):
        return json.loads(self.content) if self.content else None

    def __repr__(self):
        return f"<Answer {self.status}, {len(self.content)} bytes>"


class _NoRedirects(HTTPRedirectHandler):
    """A key goes to the address that it was made for, and nowhere else."""

    def redirect_request(self, *args):
        return None


_opener = build_opener(_NoRedirects)


class PartnerConsole:
    """`timeout` in seconds for each try; `tries` of what may be repeated, while the console says "later"."""

    def __init__(self, address: str, api_key: str, *, timeout: float = 30.0, tries: int = 4):
        self.address = address.rstrip("/") + "/api/v1"
        self._api_key, self.timeout, self.tries = api_key, timeout, tries

    def __repr__(self):
        return f"<PartnerConsole {self.address}>"

    def get(self, path: str, **query):
        return self._called("GET", _with(path, query)).json()

    def all(self, path: str, **query):
        """Every entry of a list, page after page, as they are needed."""
        while True:
            page = self.get(path, **query)
            yield from page["data"]
            if page["next"] is None:
                return
            query["cursor"] = page["next"]

    def post(self, path: str, *, idempotency_key: str = "", **body):
        """Repeated by itself under one Idempotency-Key; give your own to repeat it over a restart."""
        headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
        return self._called("POST", path, body, headers).json()

    def patch(self, path: str, *, if_match: str = "", **body):
        return self._called("PATCH", path, body, {"If-Match": if_match} if if_match else {}).json()

    def delete(self, path: str) -> None:
        self._called("DELETE", path)

    def credential(self, installation_id: str, *, rejected: str = "") -> dict:
        """A credential that is good now. `rejected`: the version that the provider has just refused."""
        query = {"rejected": rejected} if rejected else {}
        return self.get(f"/installations/{installation_id}/credential", **query)

    def proxy(self, installation_id: str) -> "Proxy":
        return Proxy(self, installation_id)

    def _called(self, method: str, path: str, body=None, headers=None) -> Answer:
        content = None if body is None else json.dumps(body).encode()
        headers = dict(headers or {}, **({"Content-Type": "application/json"} if content else {}))
        repeatable = method in ("GET", "PATCH", "DELETE") or "Idempotency-Key" in headers
        for left in range(self.tries - 1, -1, -1):
            try:
                answer = self.send(method, path, content, headers)
            except Unreachable:
                if not (repeatable and left):
                    raise
                time.sleep(2.0 ** (self.tries - left - 1) / 4)
                continue
            if answer.status < 400:
                return answer
            problem = _problem(answer)
            if answer.status not in (409, 429, 503) or problem.retry_after is None or not left:
                raise problem
            time.sleep(min(problem.retry_after, 60.0))
        raise AssertionError("a try either returns or raises")

    def send(self, method: str, path: str, content=None, headers=None) -> Answer:
        """One request and its answer, whatever its status. Raises Unreachable."""
        headers = {**(headers or {}), "Authorization": f"Bearer {self._api_key}"}
        # Whatever scheme the program's own configuration names.
        request = Request(self.address + path, data=content, headers=headers, method=method)  # noqa: S310
        try:
            with _opener.open(request, timeout=self.timeout) as found:
                return Answer(found.status, found.headers, found.read())
        except HTTPError as error:
            with error:
                return Answer(error.code, error.headers, error.read())
        except (URLError, OSError, HTTPException) as error:
            raise Unreachable(str(error)) from error


class Proxy:
    """The provider's own API, called with the installation's credential.

    Paths are the provider's, below the address where its API begins. What it answers comes back as it is,
    errors too; a Problem is the console's own.
    """

    def __init__(self, console: PartnerConsole, installation_id: str):
        self._console, self._path = console, f"/installations/{quote(installation_id)}/proxy"

    def get(self, path: str, **query) -> Answer:
        return self.request("GET", _with(path, query))

    def post(self, path: str, body=None) -> Answer:
        return self.request("POST", path, body)

    def put(self, path: str, body=None) -> Answer:
        return self.request("PUT", path, body)

    def patch(self, path: str, body=None) -> Answer:
        return self.request("PATCH", path, body)

    def delete(self, path: str) -> Answer:
        return self.request("DELETE", path)

    def request(self, method: str, path: str, body=None, headers=None) -> Answer:
        """`body` is sent as JSON, or as it is where it is bytes."""
        headers = dict(headers or {})
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        answer = self._console.send(method, self._path + "/" + path.lstrip("/"), body, headers)
        if (
            answer.headers.get_content_type() == "application/problem+json"
            and "X-Request-Id" in answer.headers
        ):
            problem = _problem(answer)
            if problem.body.get("type", "").startswith(self._console.address.rpartition("/api/")[0]):
                raise problem
        return answer


def _with(path: str, query: dict) -> str:
    asked = {name: value for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(asked, doseq=True)}" if asked else path


def _problem(answer: Answer) -> Problem:
    try:
        body = json.loads(answer.content)
    except ValueError:
        body = {}
    after = answer.headers.get("Retry-After", "")
    return Problem(
        answer.status, body if isinstance(body, dict) else {}, float(after) if after.isdigit() else None
    )
