"""What stands in a connector's samples/, and values for its properties.

samples/<auth method>.http is the request for verification as the provider documents it, with the examples
of the manifest's properties filled in by hand: a request line with the whole address, the headers that
matter, a blank line, the body. `*` stands for what differs each time. samples/<auth method>.json (or .xml,
.txt) is a documented answer; token.json, discovery.json, lookup-<property>.json, account_name.json and
callback.json (the parameters of the answer about consent) stand beside it where the provider has them.

consent.http is the address to which OAuth 2.0 sends the browser, token.http the request for the token; the
code in it is "test-code". assertion.json holds the claims of a service account's JWT. With these endpoints,
scopes and parameters of a manifest are held against the provider's pages, and not against itself.

A file named for the auth method's key, such as production-token.http, comes before one named for all.
"""

import json
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from connectors.manifest import Property
from tests.stand_ins.quirks import Request

TOKEN = {"access_token": "test-access-token", "token_type": "bearer", "expires_in": 3600}
KINDS = {".json": "application/json", ".xml": "text/xml", ".txt": "text/plain"}


@dataclass(frozen=True)
class Expected:
    """A request as it is documented."""

    method: str
    url: str
    headers: dict[str, str]
    body: str

    @classmethod
    def read(cls, path: Path) -> "Expected":
        head, _, body = path.read_text(encoding="utf-8").partition("\n\n")
        first, *lines = head.strip().splitlines()
        method, _, url = first.partition(" ")
        headers = dict(line.split(": ", 1) for line in lines)
        return cls(method, url.strip(), {name.lower(): text for name, text in headers.items()}, body.strip())

    @property
    def place(self) -> tuple[str, str]:
        parts = urlsplit(self.url)
        return parts.netloc, parts.path

    def differences(self, request: Request) -> list[str]:
        """What is otherwise in this request; nothing where it is as documented."""
        wanted, came = urlsplit(self.url), urlsplit(request.target)
        pairs = [
            ("method", self.method, request.method),
            ("host", wanted.netloc, request.headers["host"]),
            ("path", wanted.path, came.path),
            ("query", *_alike(parse_qsl(wanted.query), parse_qsl(came.query))),
            ("body", *_alike(_comparable(self.body, request), _comparable(request.body.decode(), request))),
        ]
        found = [f"{what}: {came!r} instead of {wanted!r}" for what, wanted, came in pairs if wanted != came]
        for name, text in self.headers.items():
            if not fnmatchcase(request.headers.get(name, ""), text):
                found.append(f"{name}: {request.headers.get(name)!r} instead of {text!r}")
        return found


def _comparable(body: str, request: Request):
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return parse_qsl(body, keep_blank_values=True)
    try:
        return json.loads(body)
    except ValueError:
        return " ".join(body.split())


def _alike(wanted, came) -> tuple:
    """Both, for a comparison: of pairs the order does not matter, nor what `*` stands for."""
    if isinstance(wanted, dict) and isinstance(came, dict):
        wanted, came = list(wanted.items()), list(came.items())
    if isinstance(wanted, list) and isinstance(came, list):
        wanted, came = sorted(wanted, key=str), sorted(came, key=str)
        if [name for name, _ in wanted] == [name for name, _ in came]:
            pairs = zip(wanted, came, strict=True)
            came = [want if want[1] == "*" else have for want, have in pairs]
    return wanted, came


# What is another one each time, or at each place.
_FRESH = {"state", "code_challenge", "code_verifier", "redirect_uri", "assertion"}


def as_sample(request: Request) -> str:
    """A request in the form of a sample, to be held against the provider's page."""
    kept = [name for name in ("content-type", "authorization") if name in request.headers]
    lines = [f"{name.title()}: {request.headers[name]}" for name in kept]
    body = request.body.decode()
    if "json" in request.headers.get("content-type", ""):
        fields = json.loads(body)
        body = json.dumps({name: "*" if name in _FRESH else value for name, value in fields.items()})
    else:
        body = _with_stars(body)
    target, _, query = request.target.partition("?")
    address = f"https://{request.headers['host']}{target}{'?' if query else ''}{_with_stars(query)}"
    return "\n".join([f"{request.method} {address}", *lines, "", body]).strip() + "\n"


def _with_stars(form: str) -> str:
    pairs = (pair.partition("=") for pair in form.split("&"))
    stars = ((name, "*" if name in _FRESH else value) for name, _, value in pairs if name)
    return "&".join(f"{name}={value}" for name, value in stars)


class Samples:
    def __init__(self, folder: Path, method: str):
        self.folder, self.method = folder / "samples", method

    def file(self, *names: str) -> Path | None:
        paths = [self.folder / name for name in names]
        return next((path for path in paths if path.exists()), None)

    @property
    def request(self) -> Expected:
        path = self.file(f"{self.method}.http", "verification.http")
        assert path, f"{self.folder}/verification.http is missing: the request as the provider documents it"
        return Expected.read(path)

    def documented(self, what: str, request: Request) -> Expected:
        """The request of consent.http or token.http, for one that was sent."""
        path = self.file(f"{self.method}-{what}.http", f"{what}.http")
        assert path, (
            f"{self.folder}/{self.method}-{what}.http is missing. This was sent; hold it against the "
            f"provider's page, and keep it there if it is right:\n{as_sample(request)}"
        )
        return Expected.read(path)

    @property
    def answer(self) -> tuple[str, str]:
        """A documented answer and its content type."""
        names = [f"{stem}{kind}" for stem in (self.method, "verification") for kind in KINDS]
        path = self.file(*names)
        assert path, f"{self.folder}/verification.json is missing: an answer as the provider documents it"
        return path.read_text(encoding="utf-8"), KINDS[path.suffix]

    def json(self, name: str, default=None):
        path = self.file(f"{self.method}-{name}.json", f"{name}.json")
        return json.loads(path.read_text(encoding="utf-8")) if path else default


PEM = "-----BEGIN PRIVATE KEY-----\nMEcCAQAwBQYDK2VxBDsEOQ==\n-----END PRIVATE KEY-----"
EXAMPLES = {
    "hostname": "host.example.com",
    "url": "https://host.example.com",
    "email": "maya@example.com",
    "uuid": "9f1c2d3e-4a5b-4c6d-8e7f-0a1b2c3d4e5f",
    "integer": "42",
    "port": "5432",
    "timezone": "Europe/Berlin",
    "pem": PEM,
    "path": "some/path",
}


def example(prop: Property) -> str:
    """A value that a person could enter."""
    if prop.type == "boolean":
        return prop.example or prop.default or "false"
    if prop.choices:
        return prop.example or prop.default or prop.choices[0].value
    return prop.example or EXAMPLES.get(prop.format) or f"example-{prop.name}"
