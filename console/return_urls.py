"""Where a finished setup may lead back to (RFC 9700, section 4.11: exact addresses, no open redirector)."""

import re
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError

RETURN_URLS_AT_MOST = 20

# A name whose last label is none of the many spellings of an IP address; percent-encoding hides dots.
_HOST = re.compile(r"([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z][a-z0-9-]*[a-z0-9]")


def is_return_url(url: str) -> bool:
    """Whether a browser and we read this address alike: plain ASCII, https, no user, no backslash."""
    if not url.isascii() or not url.isprintable() or any(c in url for c in "\\\"'<> @#") or len(url) > 500:
        return False
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises where it is not a number
    except ValueError:
        return False
    if not _HOST.fullmatch(parts.hostname or ""):
        return False
    return parts.scheme == "https" and ".." not in url and "//" not in parts.path


def check_return_urls(value: object) -> None:
    """What a model's column may hold. Raises ValidationError."""
    good = isinstance(value, list) and all(isinstance(url, str) and is_return_url(url) for url in value)
    if not good or len(value) > RETURN_URLS_AT_MOST:
        raise ValidationError(
            f"A list of at most {RETURN_URLS_AT_MOST} exact addresses such as https://app.example.com/connected."
        )
