"""What a test tells a stand-in, and asks it."""

import json
import urllib.request


class StandIn:
    """A stand-in's own control pages, for tests."""

    def __init__(self, origin: str):
        self.origin = origin

    def post(self, path: str, data: dict | None = None) -> dict:
        request = urllib.request.Request(
            self.origin + path,
            data=json.dumps(data or {}).encode(),
            headers={"Content-Type": "application/json"},
            method="POST",
        )
        with urllib.request.urlopen(request) as response:
            return json.loads(response.read() or b"{}")

    def calls(self) -> dict[str, int]:
        with urllib.request.urlopen(self.origin + "/_calls") as response:
            return json.loads(response.read())

    def switch(self, **switches: bool) -> None:
        self.post("/_control", switches)

    def token(self, store: str = "harbor") -> str:
        return self.post("/_tokens", {"store": store})["token"]

    def register(self, redirect_uri: str) -> tuple[str, str]:
        """Register an application: its client id and client secret."""
        made = self.post("/_apps", {"name": "Partner Console", "redirect_uri": redirect_uri})
        return made["client_id"], made["client_secret"]
