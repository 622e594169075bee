"""A sign for a connector that has no logo: its initials on a colour of its own."""

import re
from hashlib import sha256
from html import escape

# Each dark enough for white letters: a contrast of at least 4.5 : 1 (WCAG 2.2, 1.4.3).
_COLOURS = [
    "#8a1f3d",
    "#9a3412",
    "#7a4b00",
    "#3f6212",
    "#166534",
    "#0f5f5c",
    "#155e85",
    "#1d4ed8",
    "#4338ca",
    "#6d28d9",
    "#86198f",
    "#44505f",
]


def monogram(slug: str, name: str) -> bytes:
    """An SVG of 56 by 56 pixels, the same for the same slug."""
    colour = _COLOURS[sha256(slug.encode()).digest()[0] % len(_COLOURS)]
    words = re.findall(r"[^\W_]+", name) or [slug]
    letters = (words[0][0] + words[1][0] if len(words) > 1 else words[0][:2]).upper()
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 56 56" width="56" height="56">'
        f'<rect width="56" height="56" rx="12" fill="{colour}"/>'
        '<text x="28" y="36.5" font-family="system-ui,sans-serif" font-size="23" font-weight="600" '
        f'text-anchor="middle" fill="#fff">{escape(letters)}</text></svg>'
    ).encode()
