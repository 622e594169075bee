"""From TOML to a Manifest, and the words for what is wrong with it."""

import difflib
import re
import tomllib
import typing
from pathlib import Path

from pydantic import BaseModel, ValidationError

from connectors.manifest.definition import Manifest
from connectors.manifest.vocabulary import IN_WORDS

SIZE_LIMIT = 256 * 1024
# Of one line: each step of a dotted key takes as long as all before it together.
DOTS_LIMIT = 200
# What one person mends at a time.
FAULTS_LIMIT = 20


class BadManifest(Exception):
    """A manifest that cannot be used. Its text has a line for each fault: file, place, what is wrong."""


def load(folder: Path) -> Manifest:
    """Read and check folder/manifest.toml. Raises BadManifest."""
    path = folder / "manifest.toml"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadManifest(f"{path}: {error.strerror}") from error
    return parse(data, slug=folder.name, where=str(path))


def parse(data: bytes | str, *, slug: str, where: str = "manifest.toml") -> Manifest:
    """Check the text of a manifest. Raises BadManifest, one line for each fault."""
    if len(data) > SIZE_LIMIT:
        raise BadManifest(f"{where}: {len(data):,} bytes; a manifest has at most {SIZE_LIMIT:,}")
    try:
        text = data if isinstance(data, str) else data.decode("utf-8")
        # Half a character can stand in a text, and in no file.
        text.encode("utf-8")
        for number, line in enumerate(text.splitlines(), 1):
            if line.count(".") > DOTS_LIMIT:
                raise BadManifest(f"{where}: line {number} has more than {DOTS_LIMIT} dots")
        content = tomllib.loads(text)
    except UnicodeError as error:
        raise BadManifest(f"{where}: byte {error.start} is not UTF-8") from error
    except RecursionError as error:
        raise BadManifest(f"{where}: nested too deeply") from error
    except tomllib.TOMLDecodeError as error:
        # It names line and column.
        raise BadManifest(f"{where}: {error}") from error
    except ValueError as error:
        # Python's own: a number is only read up to a length.
        raise BadManifest(f"{where}: a number has too many digits") from error
    if "slug" in content:
        raise BadManifest(f"{where}: slug: the name of the folder is the slug; leave this key out")
    try:
        return Manifest(slug=slug, **content)
    except (ValidationError, TypeError) as error:
        if isinstance(error, TypeError):
            raise BadManifest(f"{where}: {error}") from error
        raise BadManifest("\n".join(f"{where}: {line}" for line in faults(error))) from error


def faults(error: ValidationError) -> list[str]:
    """Each fault as "dotted.field: what is wrong (what was found)"; of very many the first."""
    told = error.errors(include_url=False)
    found = [each for each in told if not _is_echo(each, told)]
    lines = [_fault(each) for each in found[:FAULTS_LIMIT]]
    return lines + ([f"and {len(found) - len(lines)} more"] if len(found) > len(lines) else [])


def _is_echo(fault: dict, others: list[dict]) -> bool:
    """Whether it says again what another one says better.

    A list that lacks its wrong entries is too short, and a blank text that may stand in place of an address
    is not meant by a wrong address.
    """
    loc = fault["loc"]
    if fault["type"] == "too_short":
        return any(other is not fault and other["loc"][: len(loc)] == loc for other in others)
    return fault["type"] == "literal_error" and fault["ctx"]["expected"] == "''"


def json_schema() -> dict:
    """The JSON Schema of manifest.toml, so that editors complete and check it."""
    schema = Manifest.model_json_schema()
    # The folder's name, not a key of the file.
    del schema["properties"]["slug"]
    schema["required"].remove("slug")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "A connector of Partner Console",
    }


# Pydantic's kinds of error in the words of TOML.
_WANTED = {
    "string_type": "must be a text in quotes",
    "tuple_type": "must be a list, in square brackets",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "bool_type": "must be true or false, without quotes",
    "too_short": "must not be empty: it needs at least 1",
    "int_type": "must be a whole number, without quotes",
}


def _fault(found: dict) -> str:
    place = _place(found["loc"])
    kind, given, context = found["type"], found.get("input"), found.get("ctx", {})
    if kind == "value_error":
        place += getattr(context["error"], "place", "").split(".") if place == [] else []
        return f"{_dotted(place)}: {context['error']}"
    field = _dotted(place)
    if kind == "extra_forbidden":
        return f"{field}: no such key; {_other_key(found['loc'])}"
    if kind == "missing":
        return f"{field}: is missing"
    if kind == "string_pattern_mismatch":
        wanted = IN_WORDS.get(context["pattern"], context["pattern"])
        return f"{field}: {_shown(given)} is not allowed; allowed: {wanted}"
    if kind in ("literal_error", "union_tag_invalid"):
        tag = kind == "union_tag_invalid"
        allowed, given = (context["expected_tags"], context["tag"]) if tag else (context["expected"], given)
        near = difflib.get_close_matches(str(given), re.findall(r"'([^']*)'", allowed), n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        return f"{field}{'.type' if tag else ''}: {_shown(given)} is not allowed; {hint}allowed: {allowed}"
    if kind == "union_tag_not_found":
        return f"{field}.type: is missing"
    if kind == "tuple_type" and isinstance(given, dict):
        return f"{field}: must be a list; each entry begins with [[{field}]]"
    return f"{field}: {_WANTED.get(kind, found['msg'])} (found {_shown(given)})"


def _dotted(place: list) -> str:
    return ".".join(map(str, place)) or "manifest"


def _place(loc: tuple) -> list:
    """Where it is, as people write it: without what pydantic adds for the member of a union that it tried."""
    return [part for index, part in enumerate(loc) if not _is_tag(loc, index)]


# Keys whose value is one of several models, and what pydantic calls these.
_TAGS = {
    "verification": ("http", "sign_in", "tcp"),
    "signature": ("hmac", "token"),
    "challenge": ("echo", "handshake", "ping"),
}


def _is_tag(loc: tuple, index: int) -> bool:
    part = loc[index]
    if index > 1 and loc[index - 2] == "auth_methods" and isinstance(loc[index - 1], int):
        return True
    if index and part in _TAGS.get(loc[index - 1], ()):
        return True
    # So pydantic calls the members of a union that have no tag.
    return isinstance(part, str) and part.startswith(("function-", "literal[", "constrained-"))


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except (RecursionError, ValueError):
        return "something very deep or very long"
    return text if len(text) <= 60 else f"{text[:57]}…"


def _other_key(loc: tuple) -> str:
    """What may have been meant by a key that is not known at its place."""
    key, here = str(loc[-1]), _known_keys(loc[:-1])
    if loc[0] == "auth_methods" and len(loc) == 4 and key in _known_keys(("auth_methods", 0)):
        return f"{loc[2]} has none, other types do"
    near = difflib.get_close_matches(key, here, n=1)
    return f"did you mean {near[0]}?" if near else f"known keys: {', '.join(sorted(here))}"


def _known_keys(loc: tuple) -> set[str]:
    """The keys that may stand at this place of a manifest."""
    models: list[type[BaseModel]] = [Manifest]
    for index, part in enumerate(loc):
        if _is_tag(loc, index):
            models = [
                model for model in models if part in typing.get_args(model.model_fields["type"].annotation)
            ]
        elif not isinstance(part, int):
            models = [
                inner
                for model in models
                if part in model.model_fields
                for inner in _models_in(model.model_fields[part].annotation)
            ]
    return {name for model in models for name in model.model_fields} - {"slug"}


def _models_in(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in typing.get_args(annotation) for model in _models_in(inner)]
