"""A connector's logo: what one may be, and its initials on a colour of its own where there is none."""

import re
from hashlib import sha256
from html import escape
from xml.etree import ElementTree

SIZE_LIMIT = 100 * 1024
# What a picture is drawn with; whatever can act, load or hold other things is not among it.
_ELEMENTS = frozenset(
    re.findall(
        r"\w+",
        "svg g defs title desc path rect circle ellipse line polyline polygon text tspan linearGradient "
        "radialGradient stop clipPath mask pattern use symbol",
    )
)
_SVG = "{http://www.w3.org/2000/svg}"

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


def fault(svg: bytes) -> str:
    """What keeps this file from being a logo, "" if nothing does.

    It is served as an image, in a sandbox, and could do no harm; this is so that nobody else has to care.
    """
    if len(svg) > SIZE_LIMIT:
        return f"is too large: a logo has at most {SIZE_LIMIT:,} bytes"
    try:
        text = svg.decode("utf-8")
    except UnicodeDecodeError:
        return "is not UTF-8"
    if "<!" in text.replace("<!--", ""):
        return "has a document type or a CDATA section; a logo needs neither"
    if "<?" in text.strip().removeprefix("<?xml "):
        return "has a processing instruction, which a logo cannot have"
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 - without a document type it can define no entity
    except (ElementTree.ParseError, ValueError, RecursionError) as error:
        return f"is no SVG: {error}"
    if root.tag != f"{_SVG}svg":
        return "is no SVG: its outermost element must be svg, of the namespace http://www.w3.org/2000/svg"
    for element in root.iter():
        name = str(element.tag).removeprefix(_SVG)
        if name not in _ELEMENTS:
            return f"has the element {name[:40]}, which a logo cannot have"
        for key, value in element.attrib.items():
            bare = key.rpartition("}")[2].lower()
            # A backslash hides letters of CSS.
            if bare.startswith("on") or "\\" in value or re.search(r"url\((?!['\"]?#)", value.lower()):
                return f"has the attribute {bare[:40]}, which a logo cannot have"
            if bare == "href" and not value.startswith("#"):
                return "leads to something outside of itself"
    return ""
