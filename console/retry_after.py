"""How long an answer asks to wait (RFC 9110, section 10.2.3)."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

# Longer than this nobody waits, whatever an answer asks for.
LIMIT = timedelta(hours=6)


def parse(text: str, now: datetime) -> timedelta | None:
    """From a number of seconds or a date; None where it is neither. A past date is no wait at all."""
    text = text.strip()
    try:
        if text.isascii() and text.isdigit():
            asked = timedelta(seconds=int(text[:12]))
        else:
            at = parsedate_to_datetime(text)
            asked = (at if at.tzinfo else at.replace(tzinfo=UTC)) - now
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(asked, timedelta(0)), LIMIT)
