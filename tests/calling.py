"""A partner's software: a program with an API key."""

import json
from dataclasses import dataclass

from django.test import Client

from console.models import ApiKey, Partner
from console.models.api_key import SCOPES


@dataclass
class Caller:
    key: ApiKey
    written: str

    def __call__(self, method: str, path: str, body=None, *, address: str = "127.0.0.1", **headers: str):
        """Call an operation; `body` is sent as JSON. Underscores in headers' names stand for hyphens."""
        content = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
        sent = {"Authorization": f"Bearer {self.written}"} if self.written else {}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        client = Client(HTTP_HOST="console.test", raise_request_exception=False, REMOTE_ADDR=address)
        return client.generic(method, f"/api/v1{path}", headers=sent, **content)


def caller(partner: Partner, scopes=tuple(SCOPES), **fields) -> Caller:
    key = ApiKey(partner=partner, name="Import", scopes=list(scopes), created_by="owner", **fields)
    written = key.issue()
    key.save()
    return Caller(key, written)
