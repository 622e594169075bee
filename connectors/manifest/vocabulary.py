"""The small types that a manifest is made of.

Placeholders are those of string.Template, names only: `${host}`. Unknown keys are errors.
"""

import difflib
import math
import re
import unicodedata
from collections.abc import Iterable
from string import Template
from typing import Annotated, Literal

import regex
from pydantic import AfterValidator, BaseModel, ConfigDict, Strict, StringConstraints

# Of a pattern: its counts multiplied. What is repeated is written out when it is compiled, and three
# nested counts of a thousand are more than a machine has memory.
REPEATS_LIMIT = 100_000
# They make a text read otherwise than it is written (Unicode Standard Annex 9).
_TURNING = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def _regular_expression(text: str) -> str:
    if re.search(r"\(\?[a-zA-Z]*x", text):
        raise ValueError("not a regular expression: the flag x is not known here")
    # Digits that a server would take long to read are too many as well.
    counts = [int(count[:9]) for count in re.findall(r"\{(\d+)", text)]
    if math.prod(filter(None, counts)) > REPEATS_LIMIT:
        raise ValueError(f"not a regular expression: its counts multiply to more than {REPEATS_LIMIT:,}")
    try:
        regex.compile(text)
    except (regex.error, RecursionError, FutureWarning) as error:
        raise ValueError(f"not a regular expression: {error}") from error
    return text


def matches(pattern: str, text: str, *, anywhere: bool = False) -> bool:
    """Whether the text as a whole has this form, or any part of it.

    Some patterns take longer than anybody lives; what takes a quarter of a second has no such form.
    """
    try:
        find = regex.search if anywhere else regex.fullmatch
        return bool(find(pattern, text, timeout=0.25))
    except TimeoutError:
        return False


def _template(text: str) -> str:
    if not Template(text).is_valid():
        raise ValueError("has a $ that begins no placeholder: those look like ${name}, a dollar like $$")
    return text


def _readable(text: str) -> str:
    for character in text:
        if character in _TURNING or (character not in "\n\t" and unicodedata.category(character) == "Cc"):
            raise ValueError(f"has the character U+{ord(character):04X}, which nobody can see")
    return text


Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=50)]
Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=60)]
Text = Annotated[
    str, StringConstraints(min_length=1, max_length=1000, strip_whitespace=True), AfterValidator(_readable)
]
Line = Annotated[Text, StringConstraints(pattern=r"^[^\n\t]*$")]
Pattern = Annotated[str, StringConstraints(max_length=500), AfterValidator(_regular_expression)]
# Text with placeholders.
Filled = Annotated[str, AfterValidator(_template)]
HttpsUrl = Annotated[str, StringConstraints(pattern=r"^https://[^\s?#@$]+$")]
# A page that people read; some are told apart by their query only.
SourceUrl = Annotated[str, StringConstraints(pattern=r"^https://[^\s#@$]+$")]
HttpsTemplate = Annotated[str, StringConstraints(pattern=r"^https://[^\s#@]+$"), AfterValidator(_template)]
# An endpoint of OAuth: what a request adds is a query, so it has none of its own.
Endpoint = Annotated[str, StringConstraints(pattern=r"^https://[^\s?#@]+$"), AfterValidator(_template)]
Version = Annotated[str, StringConstraints(pattern=r"^(0|[1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})$")]
# Where a value stands in a JSON answer: "account.name", "0.tenantId" for the first of a list.
Path = Annotated[str, StringConstraints(pattern=r"^[^.\s]+(\.[^.\s]+)*$")]
# {"environment": ["sandbox"]}: every property named has one of the values named.
Condition = dict[Name, tuple[str, ...]]

Category = Literal[
    "accounting",
    "collaboration",
    "commerce",
    "crm",
    "databases",
    "developer tools",
    "marketing",
    "payments",
    "point of sale",
    "retail",
    "storage",
    "support",
]


# A word in quotes is no answer to yes or no, nor a number.
Flag = Annotated[bool, Strict()]
Whole = Annotated[int, Strict()]
# What those that are given by a pattern look like, in words.
IN_WORDS = {
    r"^[a-z][a-z0-9_]*$": "a name of small letters, digits and underscores, such as client_id",
    r"^[a-z0-9]+(-[a-z0-9]+)*$": "small letters and digits with single hyphens between, such as acme-shop",
    r"^https://[^\s?#@$]+$": "an address such as https://acme.example/, without a query",
    r"^https://[^\s#@$]+$": "an address such as https://acme.example/",
    r"^https://[^\s#@]+$": "an address such as https://${host}/api",
    r"^https://[^\s?#@]+$": "an address such as https://acme.example/token, without a query",
    r"^(0|[1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})$": 'two numbers with a dot between, such as "1.0"',
    r"^[^\n\t]*$": "one line",
    r"^[^.\s]+(\.[^.\s]+)*$": "a path with dots, such as account.name",
    r"^[A-Za-z][A-Za-z0-9-]*$": "the name of a header, such as X-Acme-Signature",
    r"^([^$]|\$\{(body|timestamp|url|method)\})+$": "text with ${body}, ${timestamp}, ${url} and ${method}",
}


class Misplaced(ValueError):
    """Something wrong that a whole manifest shows only, at the place where it is to be mended."""

    def __init__(self, place: str, said: str):
        super().__init__(said)
        self.place = place


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint for a misspelt word, or which there are."""
    near = difflib.get_close_matches(word, sorted(known), n=1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(known)) or 'none'}"


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def names_in(*templates: str) -> set[str]:
    """The placeholders of these templates."""
    return {name for template in templates for name in Template(template).get_identifiers()}


def holds(condition: Condition, values: dict[str, str]) -> bool:
    return all(values.get(name, "") in allowed for name, allowed in condition.items())
