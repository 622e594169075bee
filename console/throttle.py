"""Count tries in windows of one minute, so that guessing does not pay."""

import time

from django.core.cache import cache

from console.crypto import digest
from console.problems import ProblemError


def spend(name: str, *, per_minute: int) -> None:
    """Count one more try under this name. Raises ProblemError "too_many_tries" beyond the limit."""
    key = _key(name)
    cache.add(key, 0, timeout=120)
    try:
        tries = cache.incr(key)
    except ValueError:  # evicted between the two lines
        return
    if tries > per_minute:
        raise ProblemError("too_many_tries")


def _key(name: str) -> str:
    # A digest: what people type is too long for a key of some caches, or has characters they refuse.
    return f"throttle:{digest(name)}:{int(time.time() // 60)}"
