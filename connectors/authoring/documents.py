"""Documents that others wrote, in JSON or YAML: read as plain data; nothing in them is run or followed."""

import json
import re
from collections import Counter
from collections.abc import Hashable
from typing import Any

import yaml

from console import http

SIZE_LIMIT = 5 * 1024 * 1024
# YAML takes a hundred times as long to read as JSON.
YAML_LIMIT = 1024 * 1024
DEPTH_LIMIT = 100


class BadDocument(Exception):
    """A document that cannot be used. Its text says why and, where it is known, in which line."""


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """Plain data only; a key that comes twice is a slip."""

    def construct_mapping(self, node, deep=False):
        keys = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.MarkedYAMLError(problem="a key that is no text", problem_mark=key_node.start_mark)
            if key in keys:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key!r} stands here twice", problem_mark=key_node.start_mark
                )
            keys.add(key)
        return super().construct_mapping(node, deep)


# What is no text by its form: the JSON schema of YAML 1.2.2, section 10.2, which OpenAPI prescribes. The
# reader's own knows dates, numbers to the base of sixty that take seconds to read, and that "no" is false.
_Loader.yaml_implicit_resolvers = {}
for _kind, _form, _first in (
    ("null", r"null|~|", ["n", "~", ""]),
    ("bool", r"true|false", "tf"),
    ("int", r"-?(0|[1-9][0-9]{0,17})", "-0123456789"),
    ("float", r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,20})?([eE][-+]?[0-9]{1,3})?", "-0123456789"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(rf"(?:{_form})\Z"), list(_first))


def parse(data: bytes) -> dict:
    """The mapping that a document is. Raises BadDocument."""
    if len(data) > SIZE_LIMIT:
        # How large it is nobody knows: no more of it was read.
        raise BadDocument(f"The document is too large: at most {SIZE_LIMIT:,} bytes are read.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadDocument(f"Byte {error.start} is not UTF-8.") from error
    if not text.strip():
        raise BadDocument("The document is empty.")
    try:
        found = _json(text) if text.lstrip().startswith(("{", "[")) else _yaml(text)
    except RecursionError as error:
        raise BadDocument("The document is nested too deeply.") from error
    if not isinstance(found, dict):
        raise BadDocument("The document is no mapping of keys to values.")
    return found


def _json(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_without_doubles, parse_int=_number)
    except ValueError as error:
        raise BadDocument(f"The JSON cannot be read: {error}.") from error


def _number(digits: str) -> int:
    if len(digits) > 100:
        raise ValueError("a number has more than 100 digits")
    return int(digits)


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the key {twice!r} stands twice in one object")
    return found


def _yaml(text: str) -> Any:
    if len(text) > YAML_LIMIT:
        raise BadDocument(
            f"The document has {len(text):,} characters; of YAML at most {YAML_LIMIT:,} are read. "
            "As JSON it may be larger."
        )
    try:
        _check_shape(text)
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise BadDocument(
            f"The YAML cannot be read: {where}{getattr(error, 'problem', None) or 'it cannot be read'}."
        ) from error
    except ValueError as error:
        raise BadDocument(f"The YAML cannot be read: {error}.") from error


def _check_shape(text: str) -> None:
    """Without anchors a document is as large as it looks; and the reader in C ends where its stack ends.

    Without tags nothing is of another kind than it looks.
    """
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.NodeEvent) and event.anchor:
            problem = "anchors (& and *) are not read; write out what they stand for, or use JSON"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)
        if getattr(event, "tag", None):
            problem = "tags (!) are not read; leave them out"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)
        if depth > DEPTH_LIMIT:
            problem = f"nested more than {DEPTH_LIMIT} deep"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)


def fetch(url: str) -> bytes:
    """The document at an https address, through the one door to the outside. Raises BadDocument."""
    try:
        response = http.send(
            url, headers={"Accept": "application/json, application/yaml, */*"}, limit=SIZE_LIMIT
        )
    except http.Unreachable as error:
        raise BadDocument(f"{url} cannot be read: {error}.") from error
    if 300 <= response.status_code < 400:
        where = response.headers.get("Location", "")
        raise BadDocument(f"{url} leads on to {where[:200]}, which is not followed. Enter that address.")
    if response.status_code != 200:
        raise BadDocument(f"{url} answers with status {response.status_code}.")
    return response.content
