"""Count tries in windows of one minute, so that guessing does not pay."""

import logging
import time
from collections.abc import Callable
from datetime import timedelta

from django.core.cache import BaseCache, cache, caches

from console.crypto import digest
from console.problems import ProblemError

log = logging.getLogger("console.throttle")


def spend(name: str, *, per_minute: int) -> None:
    """Count one more try under this name. Raises ProblemError "too_many_tries" beyond the limit."""
    if count(name) > per_minute:
        raise ProblemError("too_many_tries", retry_after=timedelta(seconds=seconds_left()))


def count(name: str) -> int:
    """Count one more under this name, and say how many that makes in this minute."""
    return _asked(lambda counts: _counted(counts, _key(name)))


def place(name: str, member: str) -> int:
    """Which of the different ones that came under this name in this minute this is, from 1 on."""

    def found(counts: BaseCache) -> int:
        key = _key(f"{name} {member}")
        known = counts.get(key)
        if known is None:
            known = _counted(counts, _key(name))
            counts.set(key, known, timeout=120)
        return known

    return _asked(found)


def is_spent(name: str, *, per_minute: int) -> bool:
    """Whether a further try would be beyond the limit. Counts nothing."""
    return _asked(lambda counts: counts.get(_key(name), 0)) >= per_minute


def seconds_left() -> int:
    """Until a new minute begins, and all counts with it."""
    return 60 - int(_now() % 60)


def _asked(question: Callable[[BaseCache], int]) -> int:
    try:
        return question(cache)
    except Exception as error:  # a shared cache that is down lets nobody guess freely, and shuts nobody out
        log.error("the cache does not answer: %s", type(error).__name__)
        return question(caches["own"])


def _counted(counts, key: str) -> int:
    try:
        return counts.incr(key)
    except ValueError:  # the first of this minute
        pass
    counts.add(key, 0, timeout=120)
    try:
        return counts.incr(key)
    except ValueError:  # evicted between the two lines
        return 0


def _key(name: str) -> str:
    # A digest: what people type is too long for a key of some caches, or has characters they refuse.
    return f"throttle:{digest(name)}:{int(_now() // 60)}"


def _now() -> float:
    return time.time()
