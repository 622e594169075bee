"""When a message is tried again, and when an endpoint is given up."""

import random
from datetime import datetime, timedelta

# Before each try, from the first to the last: about 75 hours and 35 minutes in all.
PAUSES = (
    timedelta(0),
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    *(timedelta(hours=hours) for hours in (2, 5, 10, 14, 20, 24)),
)
JITTER = 0.2
# The whole schedule at its shortest: one who has answered nothing for so long, and lets a message run out of
# tries, is not there any more.
GONE_AFTER = sum(PAUSES, timedelta(0)) * (1 - JITTER)
# Whatever becomes of single messages.
FAILING_FOR = timedelta(days=5)
# An answer that takes longer is slow, and whoever gives it rests so many times as long: one who is slow for
# all that there is to tell takes up a small part of one worker.
SLOW, RESTS = timedelta(seconds=2), 4


def next_try(attempts: int, now: datetime) -> datetime | None:
    """After so many tries that failed; None: that was the last."""
    if attempts >= len(PAUSES):
        return None
    return now + PAUSES[attempts] * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311


def is_given_up(failing_since: datetime, now: datetime, *, ran_out: bool) -> bool:
    """Whether nothing more is sent to an endpoint that has only failed since then."""
    return now - failing_since >= (GONE_AFTER if ran_out else FAILING_FOR)
