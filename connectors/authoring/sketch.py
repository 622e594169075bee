"""From what is known about an application to the files of a connector, to begin with.

A form, an OpenAPI document and an authorization server's metadata all lead here; a person goes on from there.
"""

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import tomli_w

from connectors.manifest.auth_methods import GRANTED
from connectors.registry import Files

# Of the credential and the token: nothing that stands in an address is called so.
_TAKEN = GRANTED | {"api_key", "client_id", "client_secret", "password", "username"}
CLIENT = ("client_id", "Client ID", False), ("client_secret", "Client Secret", True)


def name_for(text: str) -> str:
    """A property's name made of any text: "X-Api-Key" becomes x_api_key."""
    name = re.sub(r"[^a-z0-9]+", "_", re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", text).lower()).strip("_")
    return (name if name[:1].isalpha() else f"value_{name}".rstrip("_"))[:50]


def key_for(name: str) -> str:
    """A connector's key made of its name: "Acme Shop!" becomes acme-shop."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:50].strip("-")


def literally(text: str) -> str:
    """A text in which no placeholder is meant."""
    return text.replace("$", "$$")


@dataclass
class Sketch:
    """What is known; `notes` are sentences about what is not, for the top of the manifest."""

    name: str
    summary: str = ""
    website: str = ""
    source: list[str] = field(default_factory=list)
    categories: list[str] = field(default_factory=lambda: ["developer tools"])
    base_url: str = ""
    verification: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    unverified: list[str] = field(default_factory=list)
    methods: list[dict] = field(default_factory=list)
    properties: list[dict] = field(default_factory=list)

    # ── ways to authenticate ──

    def api_key(self, *places: tuple[str, str, str], label: str = "API Key") -> None:
        """A way with one secret for each place: ("headers" or "query", its name, what stands before it)."""
        inject: dict[str, dict[str, str]] = {}
        key = self._free_key("api_key")
        for place, name, before in places:
            called = "API Key" if len(places) == 1 else name
            prop = self._property(
                "api_key" if len(places) == 1 and key == "api_key" else name_for(f"{name}_{key}"[:50]),
                called,
                f"The {called} that you created in {self.name}.",
                key,
            )
            inject.setdefault(place, {})[name] = f"{literally(before)}${{{prop}}}"
        self._method(
            "api_key", key, label, f"You create a key in {self.name} and paste it here.", inject=inject
        )

    def http_basic(self) -> None:
        key = self._free_key("http_basic")
        self._property(
            "username", "User name", f"The name with which you sign in to {self.name}.", key, secret=False
        )
        self._property("password", "Password", f"The password with which you sign in to {self.name}.", key)
        self._method(
            "http_basic", key, "User name and password", f"You enter what you sign in to {self.name} with."
        )

    def authorization_code(self, **options: Any) -> None:
        key = self._free_key("authorization_code")
        self._client(key)
        self._method(
            "authorization_code", key, "OAuth", f"You sign in to {self.name} and allow access.", **options
        )

    def client_credentials(self, **options: Any) -> None:
        key = self._free_key("client_credentials")
        self._client(key)
        summary = f"You register an application in {self.name} and paste its two keys here."
        self._method("client_credentials", key, "Client credentials", summary, **options)

    def password(self, **options: Any) -> None:
        key = self._free_key("password")
        self._client(key)
        self._property(
            "username", "User name", f"The name with which you sign in to {self.name}.", key, secret=False
        )
        self._property("password", "Password", f"The password with which you sign in to {self.name}.", key)
        summary = f"You enter what you sign in to {self.name} with."
        self._method("password", key, "User name and password", summary, **options)

    def none(self) -> None:
        self._method("none", "none", "No credential", f"{self.name} asks for none.")

    def place(self, name: str, label: str, **options: Any) -> str:
        """A part of an address that each customer has; the name of its property."""
        name = name_for(name)
        return self._property(
            f"address_{name}" if name in _TAKEN else name,
            label,
            f"The part of your {self.name} address that is yours.",
            "",
            secret=False,
            **options,
        )

    def _client(self, key: str) -> None:
        for name, label, secret in CLIENT:
            text = f"The {label} of the application registered in {self.name}."
            self._property(name, label, text, key, secret=secret, level="partner_else_account")

    def _free_key(self, wanted: str) -> str:
        taken = [method["key"] for method in self.methods]
        count = sum(key == wanted or key.startswith(f"{wanted}_") for key in taken)
        return f"{wanted}_{count + 1}" if count else wanted

    def _method(self, type: str, key: str, label: str, summary: str, **options: Any) -> None:
        anchor = _ANCHORS[type]
        head = {
            "type": type,
            "key": key,
            "label": label,
            "summary": summary,
            "help_anchors": [anchor] if anchor else [],
        }
        self.methods.append(
            {name: value for name, value in {**head, **options}.items() if value not in ({}, [], "")}
        )

    def _property(self, name: str, label: str, description: str, method: str, **options: Any) -> str:
        """Add a property of this method, or let the method use one of that name; "" means all methods."""
        for prop in self.properties:
            if prop["name"] == name:
                if method and "auth_methods" in prop:
                    prop["auth_methods"].append(method)
                return name
        level = options.pop("level", "account")
        anchors = ["register-an-application", "register-your-own-application"]
        anchors = anchors if level == "partner_else_account" else ["what-you-need"]
        prop = {"name": name, "label": label, "description": description, "level": level}
        prop |= {"auth_methods": [method]} if method else {}
        self.properties.append(prop | options | {"help_anchors": anchors})
        return name

    # ── files ──

    def files(self) -> Files:
        return Files(self._manifest(), self._guide(), b"")

    def _manifest(self) -> str:
        website = self.website or self._host_page()
        content: dict[str, Any] = {
            "version": "1.0",
            "name": self.name[:60],
            "summary": self.summary or f"Connects to {self.name}.",
            "website": website,
            "categories": self.categories,
            "source": self.source or [website],
            "unverified": self.unverified + ([] if self.source else [_NO_SOURCE]),
            "base_url": self.base_url,
            "auth_methods": self.methods,
            "properties": self.properties,
            "verification": self.verification,
        }
        comments = "".join(f"# {' '.join(note.split())}\n" for note in self.notes)
        text = tomli_w.dumps({key: value for key, value in content.items() if value != []})
        return comments + _SHORT_LIST.sub(_on_one_line, text)

    def _host_page(self) -> str:
        """The API's host, without the parts that each customer has."""
        labels = [label for label in urlsplit(self.base_url).netloc.split(".") if "$" not in label]
        host = ".".join(labels) if len(labels) > 1 else f"{key_for(self.name) or 'connector'}.example"
        return f"https://{host}/"

    def _guide(self) -> str:
        oauth = any(prop["name"] == "client_id" for prop in self.properties)
        redirect = any(method["type"] == "authorization_code" for method in self.methods)
        return (_GUIDE_WITH_CLIENT if oauth else _GUIDE).format(
            name=literally(self.name),
            redirect=_REDIRECT if redirect else "",
            last=3 if redirect else 2,
        )


_NO_SOURCE = "The pages of the provider: no source named any."
_SHORT_LIST = re.compile(r"\[\n((?: {4}[^\n]+,\n)+)\]")


def _on_one_line(found: re.Match) -> str:
    line = f"[{' '.join(found[1].split())[:-1]}]"
    return line if len(line) <= 80 else found[0]


_ANCHORS = {
    "api_key": "what-you-need",
    "http_basic": "what-you-need",
    "authorization_code": "allow-access",
    "client_credentials": "register-your-own-application",
    "password": "what-you-need",
    "none": "",
}
_REDIRECT = "2. As its redirect URI enter `${redirect_uri}`\n"
_GUIDE = """\
# Partner

## Nothing to prepare

Your customers enter all that {name} needs; there is nothing to store here.

# Customer

## What you need

1. Sign in to {name}.
2. Look for its settings, then for **API** or **Integrations**.
3. Copy what is asked for here.
"""
_GUIDE_WITH_CLIENT = """\
# Partner

## Register an application

1. Sign in to {name} as a developer and register an application.
{redirect}{last}. Copy its Client ID and its Client Secret, and store them under Settings.

# Customer

## What you need

A user of {name} who may connect other applications to it.

## Allow access

1. {name} opens and asks you to sign in.
2. Look at what ${{partner}} asks for, and allow it.

## Register your own application

1. Sign in to {name} as a developer and register an application.
{redirect}{last}. Copy its Client ID and its Client Secret, and paste them here.
"""
