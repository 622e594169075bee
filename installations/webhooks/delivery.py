"""Bringing messages to endpoints."""

from collections.abc import Iterable
from uuid import UUID

from console import jobs

KIND = "webhooks"


def begin(partner_id: UUID, endpoints: Iterable[UUID]) -> None:
    """Let what waits for these endpoints be sent now."""
    for endpoint in endpoints:
        jobs.schedule(KIND, endpoint, partner_id)
