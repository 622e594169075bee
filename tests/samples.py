"""What stands in a connector's samples/, and values for its properties.

samples/<auth method>.http is the request for verification as the provider documents it, with the examples
of the manifest's properties filled in by hand: a request line with the whole address, the headers that
matter, a blank line, the body. `*` stands for what differs each time. samples/<auth method>.json (or .xml,
.txt) is a documented answer; token.json, discovery.json, lookup-<property>.json, account_name.json and
callback.json (the parameters of the answer about consent) stand beside it where the provider has them.
token.http is the token request, where the manifest writes it itself (`token_body`); the code is "test-code".
A file named for the auth method's key comes before one named `verification`.
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
            ("query", sorted(parse_qsl(wanted.query)), sorted(parse_qsl(came.query))),
            ("body", _comparable(self.body), _comparable(request.body.decode())),
        ]
        found = [f"{what}: {came!r} instead of {wanted!r}" for what, wanted, came in pairs if wanted != came]
        for name, text in self.headers.items():
            if not fnmatchcase(request.headers.get(name, ""), text):
                found.append(f"{name}: {request.headers.get(name)!r} instead of {text!r}")
        return found


def _comparable(body: str):
    try:
        return json.loads(body)
    except ValueError:
        return " ".join(body.split())


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

    @property
    def token_request(self) -> Expected:
        path = self.file(f"{self.method}-token.http", "token.http")
        assert path, f"{self.folder}/token.http is missing: the token request as the provider documents it"
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
