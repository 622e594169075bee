"""Count tries in windows of one minute, so that guessing does not pay."""

import logging
import time

from django.core.cache import cache, caches

from console.crypto import digest
from console.problems import ProblemError

log = logging.getLogger("console.throttle")


def spend(name: str, *, per_minute: int) -> None:
    """Count one more try under this name. Raises ProblemError "too_many_tries" beyond the limit."""
    key = _key(name)
    try:
        tries = _counted(cache, key)
    except Exception as error:  # a shared cache that is down lets nobody guess freely, and shuts nobody out
        log.error("the cache does not answer: %s", type(error).__name__)
        tries = _counted(caches["own"], key)
    if tries > per_minute:
        raise ProblemError("too_many_tries")


def _counted(counts, key: str) -> int:
    counts.add(key, 0, timeout=120)
    try:
        return counts.incr(key)
    except ValueError:  # evicted between the two lines
        return 0


def _key(name: str) -> str:
    # A digest: what people type is too long for a key of some caches, or has characters they refuse.
    return f"throttle:{digest(name)}:{int(time.time() // 60)}"
