"""What a drill works on: a partner of its own, whose customers are connected to the rotating stand-in."""

import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

from django.db.models import F, Min

from console import clock, queue
from console.models import Account, Event, Job, Partner
from installations.models import (
    Alert,
    Circuit,
    Credential,
    CredentialVersion,
    Installation,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookMessage,
)
from tests.drills import pages
from tests.drills.children import Child, Place
from tests.rotating import Rotating, connected, store_client
from tests.stand_ins.process import free_port

# Every time that decides something.
TIMES = {
    Job: ["due_at"],
    Credential: ["lease_until", "retry_at", "unknown_since"],
    CredentialVersion: ["created_at", "expires_at"],
    Circuit: ["since", "open_until"],
    WebhookDelivery: ["next_at"],
    WebhookEndpoint: ["failing_since", "rests_until"],
}


@dataclass(frozen=True)
class Figure:
    """What came of a drill, and what must."""

    what: str
    found: str
    bar: str
    held: bool

    def __bool__(self) -> bool:
        return self.held


class Field:
    def __init__(self, server: Rotating):
        self.server = server
        server.control(reset=True)
        mark = uuid4().hex[:8]
        self.partner = Partner.objects.create(name=f"Drill {mark}", domain=f"drill-{mark}.example")
        self.account = Account.objects.create(partner=self.partner, name="Drill")
        self.place = Place.here(server.origin)
        self.children: list[Child] = []
        store_client(self.partner)

    def remove(self) -> None:
        """Everything that was made, and nothing else."""
        self.end()
        Job.objects.filter(partner=self.partner).delete()
        Installation.objects.filter(partner=self.partner).delete()
        Account.objects.filter(partner=self.partner).delete()
        Event.objects.filter(partner=self.partner).delete()
        self.partner.delete()

    def begin_anew(self) -> None:
        self.end()
        self.server.control(reset=True)
        for model in (Job, Circuit, Alert, Installation, WebhookEndpoint, WebhookMessage):
            model.objects.filter(partner=self.partner).delete()
        store_client(self.partner)

    @contextmanager
    def served(self):
        """The console on a port of its own; a Browser of one of the partner's people."""
        port = free_port()
        server, browser = self.child(pages.serve, port), None
        try:
            browser = pages.Browser(self.partner, port)
            yield browser
        finally:
            server.kill()
            if browser:
                browser.leave()

    def child(self, act: Callable, *args) -> Child:
        self.children.append(Child(self.place, act, *args))
        return self.children[-1]

    def end(self) -> None:
        """A child that was stopped would keep its parent from ending."""
        while self.children:
            self.children.pop().kill()

    def connected(self, many: int, *, method: str = "strict", ends_in: float = -5) -> list[Installation]:
        grants = [f"g{uuid4().hex[:12]}" for _ in range(many)]
        return connected(self.server, self.account, grants, method=method, ends_in=ends_in)

    def asked(self, what: str = "token") -> int:
        return self.server.asked[what]

    def wait_until(self, done: Callable[[], bool], seconds: float = 60) -> None:
        until = time.monotonic() + seconds
        while not done():
            if time.monotonic() > until:
                raise TimeoutError("what the drill waits for did not come")
            time.sleep(0.05)

    def age(self, seconds: float, *models) -> None:
        """As if so much time had passed, for the rows of this partner."""
        by = timedelta(seconds=seconds)
        for model in models or TIMES:
            for name in TIMES[model]:
                rows = model.objects.filter(partner=self.partner, **{f"{name}__isnull": False})
                rows.update(**{name: F(name) - by})

    def skip_idle(self, waiting) -> float:
        """Move the time on to a second before one of these credentials' jobs falls due; by how many seconds.

        By none while a job is in hand: what is measured of it takes its own time.
        """
        jobs = Job.objects.filter(partner=self.partner, failed_at=None)
        if jobs.filter(started_at__isnull=False).exists():
            return 0
        those = jobs.filter(subject_id__in=waiting.values("installation_id"))
        due_at = those.aggregate(next=Min("due_at"))["next"]
        left = (due_at - clock.now()).total_seconds() - 1 if due_at else 0
        if left <= 0:
            return 0
        self.age(left)
        queue.wake(1)
        return left

    def expire(self, rows: list[Installation]) -> None:
        """Their tokens have just run out."""
        versions = CredentialVersion.objects.filter(installation__in=rows)
        versions.update(
            expires_at=F("created_at") - timedelta(seconds=1), created_at=F("created_at") - timedelta(hours=1)
        )

    def lost(self, rows: list[Installation]) -> int:
        """Of how many the stored refresh token is not the one that the provider takes."""
        grants = self.server.state()["grants"]
        kept = {row.pk: row.current_token() for row in rows}
        return sum(
            not grants[row.name]["alive"] or kept[row.pk].refresh_token != grants[row.name]["refresh"]
            for row in rows
        )

    def broken(self) -> int:
        return Installation.objects.filter(partner=self.partner).exclude(status="connected").count()
