"""What a connector needs to know, who supplies it, and in which form."""

import base64
import binascii
import re
import zoneinfo
from collections.abc import Callable
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import model_validator

from connectors.manifest.vocabulary import (
    Condition,
    Filled,
    Flag,
    HttpsTemplate,
    Name,
    Part,
    Path,
    Pattern,
    Text,
    matches,
)

Format = Literal["", "hostname", "host", "url", "email", "uuid", "integer", "port", "timezone", "pem", "path"]
Normaliser = Literal[
    "lower",
    "upper",
    "strip_scheme",
    "strip_path",
    "strip_spaces",
    "digits_only",
    "hyphens_for_underscores",
    "unescape_newlines",
    "pem_armour",
]

HOSTNAME = r"(?=.{1,253}\Z)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?"
_PATTERNS = {
    "hostname": (HOSTNAME, "A host name such as shop.example.com, without https:// and without a path."),
    # Not for addresses of http, where a certificate names a host.
    "host": (
        rf"{HOSTNAME}|((25[0-5]|2[0-4][0-9]|1?[0-9]{{1,2}})(\.(?!$)|$)){{4}}",
        "A host name such as db.example.com, or an address such as 203.0.113.7.",
    ),
    "email": (r"[^@\s]{1,64}@[^@\s]+\.[^@\s]+", "An e-mail address such as maya@example.com."),
    "uuid": (
        r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
        "It has 32 letters and digits in five groups, such as 9f1c2d3e-4a5b-4c6d-8e7f-0a1b2c3d4e5f.",
    ),
    "integer": (r"-?[0-9]{1,18}", "A whole number."),
    "port": (
        r"[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]",
        "A number from 1 to 65535.",
    ),
    "path": (r"[A-Za-z0-9_.~-]+(/[A-Za-z0-9_.~-]+)*", "Letters, digits, hyphens, and slashes between them."),
}
_ARMOUR = re.compile(r"-----(BEGIN|END) [A-Z0-9 ]+-----")


def _pem_armour(text: str) -> str:
    """Some consoles show a key without its first and last line."""
    if "-----BEGIN" in text or not text:
        return text
    lines = re.findall(".{1,64}", re.sub(r"\s", "", text))
    return "\n".join(["-----BEGIN PRIVATE KEY-----", *lines, "-----END PRIVATE KEY-----"])


NORMALISERS: dict[str, Callable[[str], str]] = {
    "lower": str.lower,
    "upper": str.upper,
    "strip_scheme": lambda text: re.sub(r"^https?://", "", text, flags=re.IGNORECASE).rstrip("/"),
    "strip_path": lambda text: re.sub(r"(?<![:/])/.*", "", text),
    "strip_spaces": lambda text: re.sub(r"\s", "", text),
    "digits_only": lambda text: re.sub(r"[^0-9]", "", text),
    "hyphens_for_underscores": lambda text: text.replace("_", "-"),
    "unescape_newlines": lambda text: text.replace("\\n", "\n"),
    "pem_armour": _pem_armour,
}


class Choice(Part):
    value: Text
    label: Text


class Lookup(Part):
    """A list asked of the provider after authentication, for the customer to choose from."""

    url: HttpsTemplate
    # Where the list stands in the answer; blank: the answer is the list.
    items: Path | Literal[""] = ""
    value: Path
    label: Path


class Property(Part):
    """One value that a connector needs.

    `level` says who supplies it: the partner once; the partner, else the account at each installation;
    the account; or the system, from exactly one of `constant`, `template`, `token_response`, `callback`.
    """

    name: Name
    label: Text = ""
    description: Text = ""
    level: Literal["partner", "partner_else_account", "account", "system"]
    type: Literal["text", "multiline", "boolean", "choice", "lookup"] = "text"
    # Keys of auth methods; none: all of them.
    auth_methods: tuple[Name, ...] = ()
    # Secrets are write-only in every form. A boolean, a choice and a look-up are none.
    secret: Flag = True
    required: Flag = True
    required_if: Condition = {}
    visible_if: Condition = {}
    # Asked only when the automatic look-up of the account's address failed.
    fallback: Flag = False
    # Used while setting up and not kept.
    one_time: Flag = False
    default: str = ""
    choices: tuple[Choice, ...] = ()
    lookup: Lookup | None = None
    format: Format = ""
    pattern: Pattern = ""
    pattern_message: str = ""
    normalise: tuple[Normaliser, ...] = ()
    prefix: str = ""
    suffix: str = ""
    placeholder: str = ""
    # A valid value, for tests and try-outs. Never shown as one of a customer's.
    example: str = ""
    # A heading under which several properties stand.
    group: str = ""
    # Headings of guide.md, as anchors; each reader sees those of their own half.
    help_anchors: tuple[str, ...] = ()

    constant: str = ""
    template: Filled = ""
    # Where the value stands in the token response, or which parameter of the answer about consent it is.
    token_response: Path | Literal[""] = ""
    callback: str = ""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        keys = ("constant", "template", "token_response", "callback")
        sources = [key for key in keys if getattr(self, key)]
        if self.level == "system":
            if len(sources) != 1:
                raise ValueError(f"a system property has exactly one of {', '.join(keys)}")
        elif sources:
            raise ValueError(f"{sources[0]} belongs to the level system")
        elif not (self.label and self.description):
            raise ValueError("label and description are what people read; both must be there")
        if self.pattern and not self.pattern_message and self.level != "system":
            raise ValueError("pattern_message must say what the pattern allows")
        if (self.type == "choice") != bool(self.choices):
            raise ValueError("choices belong to the type choice, and it needs them")
        if (self.type == "lookup") != bool(self.lookup):
            raise ValueError("lookup belongs to the type lookup, and it needs one")
        if self.choices and self.default not in ("", *(choice.value for choice in self.choices)):
            raise ValueError(f"the default {self.default!r} is not among the choices")
        if self.type == "lookup" and self.level != "account":
            raise ValueError("a look-up is asked of the account")
        return self

    @property
    def is_secret(self) -> bool:
        return self.secret and self.type in ("text", "multiline")

    @property
    def is_confined(self) -> bool:
        """Whether its form is known well enough to become part of a host name."""
        known_form = self.pattern or self.choices or self.constant
        return bool(known_form) or self.format in ("hostname", "uuid", "port")

    def normalised(self, value: str) -> str:
        value = value.strip()
        for name in self.normalise:
            value = NORMALISERS[name](value)
        if value and self.prefix:
            value = value.removeprefix(self.prefix)
        if value and self.suffix:
            value = NORMALISERS["strip_scheme"](value).lower().removesuffix(self.suffix)
        if self.format in ("hostname", "host"):
            value = NORMALISERS["strip_path"](NORMALISERS["strip_scheme"](value)).lower()
        return value

    def fault(self, value: str) -> str:
        """What is wrong with a normalised value, in words for the person who typed it; "" if nothing is."""
        if self.choices and value not in [choice.value for choice in self.choices]:
            return "Choose one of the list."
        if self.pattern and not matches(self.pattern, value):
            return self.pattern_message or "This value has an unexpected form."
        if self.format in _PATTERNS:
            pattern, message = _PATTERNS[self.format]
            return "" if re.fullmatch(pattern, value) else message
        if self.format == "url" and not _is_https(value):
            return "An address such as https://shop.example.com."
        if self.format == "timezone" and value not in zoneinfo.available_timezones():
            return "A time zone such as Europe/Berlin."
        if self.format == "pem":
            return _pem_fault(value)
        return ""


def _is_https(value: str) -> bool:
    try:
        parts = urlsplit(value)
        host = parts.hostname or ""
        parts.port  # noqa: B018 - raises where it is not a number
    except ValueError:
        return False
    return parts.scheme == "https" and bool(re.fullmatch(HOSTNAME, host)) and "@" not in value


def _pem_fault(value: str) -> str:
    """The armour and its base64, no more: whether a key fits is for the provider to say (RFC 7468)."""
    lines = value.strip().splitlines()
    framed = len(lines) > 2 and _ARMOUR.fullmatch(lines[0].strip()) and _ARMOUR.fullmatch(lines[-1].strip())
    if not framed:
        return "It starts with a line -----BEGIN …----- and ends with a line -----END …-----."
    body = "".join(line.strip() for line in lines[1:-1] if ":" not in line)
    try:
        base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        return "Something is missing or was added between the first and the last line. Copy it again."
    return ""
