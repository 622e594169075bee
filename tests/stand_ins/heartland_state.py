"""What the stand-in for Heartland Retail remembers: one JSON file that outlives a restart."""

import contextlib
import copy
import hashlib
import json
import os
import secrets
import tempfile
import threading
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

SWITCHES = {
    "host_lookup_fails": "The host lookup answers 404 to every token.",
    "api_down": "Every address below /api answers 503 with Retry-After.",
    "token_endpoint_slow": "The token endpoint waits 3 seconds before it answers.",
    "wrong_client": "The token endpoint answers invalid_client with status 401.",
    "whoami_fails": "The request for the current user answers 500.",
}

STORES = {
    "harbor": {
        "name": "Harbor Street Outfitters",
        "user": {"id": 100007, "name": "Maya Lindqvist", "email": "maya@harbor.example"},
        "things": ("Rain jacket", "Wool beanie", "Trail socks", "Canvas tote", "Deck shoe"),
        "variants": ("Navy", "Moss", "Sand", "Rust", "Slate"),
        "customers": ("Ines Okafor", "Tom Varga", "Lucille Brandt", "Dara Quinn", "Piet Hollis"),
        "locations": ("Harbor Street", "Old Mill"),
    },
    "pine": {
        "name": "Pine & Parcel",
        "user": {"id": 100031, "name": "Jonah Abara", "email": "jonah@pine.example"},
        "things": ("Gift box", "Letter set", "Wax seal", "Ribbon roll", "Desk lamp"),
        "variants": ("Small", "Medium", "Large", "Plain", "Striped"),
        "customers": ("Greta Moll", "Sam Ferro", "Alba Ruiz", "Noor Haddad"),
        "locations": ("Pine Lane",),
    },
}


def now():
    return datetime.now(UTC).isoformat(timespec="seconds")


def digest(secret):
    return hashlib.sha256(secret.encode()).hexdigest()


def _first_items(store):
    """Numeric ids from about 100001, apart from `public_id`; boolean keys end in "?". Grade C."""
    names = [f"{thing}, {variant}" for thing in store["things"] for variant in store["variants"]]
    return [
        {
            "id": 100001 + number,
            "public_id": f"{store['name'][0]}{1001 + number}",
            "description": name,
            "price": 12.5 + 3 * (number % 7),
            "active?": True,
        }
        for number, name in enumerate(names)
    ]


def _first_people(store):
    return [
        {
            "id": 200001 + number,
            "first_name": name.split()[0],
            "last_name": name.split()[1],
            "email": f"{name.split()[0].lower()}@customers.example",
            "active?": True,
        }
        for number, name in enumerate(store["customers"])
    ]


def _first_places(store):
    return [
        {"id": 300001 + number, "public_id": f"L{number + 1}", "name": name, "active?": True}
        for number, name in enumerate(store["locations"])
    ]


def _first_account(key, store):
    user = store["user"]
    return {
        "name": store["name"],
        "host": f"{key}.retail.heartland.us",
        "user": {**user, "login": user["email"].partition("@")[0]},
        "items": _first_items(store),
        "customers": _first_people(store),
        "locations": _first_places(store),
    }


class State:
    """The file's content, plus what may be lost on a restart: open requests, codes and counts.

    Tokens and client secrets are kept as SHA-256 only.
    """

    def __init__(self):
        self._lock = threading.RLock()
        self._path = None
        self._data = None
        self.calls = Counter()
        self.pending = {}
        self.codes = {}
        self.shown_once = {}

    def open(self, path):
        self._path = Path(path)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        data = {
            "accounts": {key: _first_account(key, store) for key, store in STORES.items()},
            "api_tokens": [],
            "apps": [],
            "oauth_tokens": [],
            "switches": {},
        }
        if self._path.exists():
            data = json.loads(self._path.read_text(encoding="utf-8"))
        data["switches"] = {key: data["switches"].get(key, False) for key in SWITCHES}
        self._write(data)
        self._data = data

    @property
    def data(self):
        """For reading only: a change made here would not be written."""
        return self._data

    @contextlib.contextmanager
    def edit(self):
        """A copy to change. It replaces the old content once the file holds it."""
        with self._lock:
            changed = copy.deepcopy(self._data)
            yield changed
            self._write(changed)
            self._data = changed

    @contextlib.contextmanager
    def alone(self):
        """Keeps the other threads out while codes or open requests are read and changed."""
        with self._lock:
            yield

    def _write(self, data):
        """Write beside the file, then rename: a reader finds the old content or the new."""
        handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(data, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, self._path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)
            raise

    def count(self, path):
        with self._lock:
            self.calls[path] += 1

    def show_once(self, **values):
        """Keep a secret for the one page that displays it. Returns the key of that page."""
        key = secrets.token_urlsafe(12)
        with self._lock:
            self.shown_once[key] = values
        return key

    def take_shown(self, key):
        with self._lock:
            return self.shown_once.pop(key, None)

    # Tokens and apps

    def create_api_token(self, store, description):
        """An API token has no scopes of its own: it acts as the user who made it. Grade C."""
        token = f"standin-api-{secrets.token_urlsafe(48)}"
        record = {"id": secrets.token_hex(6), "store": store, "description": description}
        with self.edit() as data:
            data["api_tokens"].append({**record, "created": now(), "sha256": digest(token)})
        return token

    def create_oauth_token(self, client_id, store, scope):
        token = f"standin-oauth-{secrets.token_urlsafe(32)}"
        record = {
            "id": secrets.token_hex(6),
            "client_id": client_id,
            "store": store,
            "scope": scope,
            "created": now(),
            "sha256": digest(token),
        }
        with self.edit() as data:
            data["oauth_tokens"].append(record)
        return record["id"], token

    def find_token(self, token):
        """The record of an API token or OAuth token that has not been revoked."""
        wanted = digest(token)
        records = self._data["api_tokens"] + self._data["oauth_tokens"]
        return next((record for record in records if record["sha256"] == wanted), None)

    def revoke(self, token_id):
        with self.edit() as data:
            for kind in ("api_tokens", "oauth_tokens"):
                data[kind] = [record for record in data[kind] if record["id"] != token_id]

    def save_app(self, name, redirect_uri, client_id=None, client_secret=None):
        """Register an app, or replace the one that has this client id."""
        client_id = client_id or secrets.token_hex(16)
        client_secret = client_secret or secrets.token_urlsafe(32)
        app = {
            "client_id": client_id,
            "secret_sha256": digest(client_secret),
            "name": name,
            "redirect_uri": redirect_uri,
            "created": now(),
        }
        with self.edit() as data:
            data["apps"] = [old for old in data["apps"] if old["client_id"] != client_id] + [app]
        return client_id, client_secret

    def app(self, client_id):
        return next((app for app in self._data["apps"] if app["client_id"] == client_id), None)

    def delete_app(self, client_id):
        """The tokens given to an app do not outlive it."""
        with self.edit() as data:
            for kind in ("apps", "oauth_tokens"):
                data[kind] = [record for record in data[kind] if record["client_id"] != client_id]


state = State()
