"""From TOML to a Manifest, and the words for what is wrong with it."""

import difflib
import re
import tomllib
import typing
from pathlib import Path

from pydantic import BaseModel, ValidationError

from connectors.manifest.definition import Manifest

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
    found = [each for each in error.errors(include_url=False) if not _is_beside(each)]
    lines = [_fault(each) for each in found[:FAULTS_LIMIT]]
    return lines + ([f"and {len(found) - len(lines)} more"] if len(found) > len(lines) else [])


def _is_beside(found: dict) -> bool:
    """That it is not blank either, of what may be blank: the other fault says what is wrong."""
    return found["type"] == "literal_error" and found["ctx"]["expected"] == "''"


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


def _fault(found: dict) -> str:
    place = _place(found["loc"])
    field = ".".join(map(str, place)) or "manifest"
    kind, given = found["type"], found.get("input")
    if kind == "extra_forbidden":
        known = _known_keys(place[:-1])
        near = difflib.get_close_matches(str(place[-1]), known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known keys: {', '.join(sorted(known))}"
        return f"{field}: no such key; {hint}"
    if kind == "missing":
        return f"{field}: is missing"
    if kind == "value_error":
        return f"{field}: {found['msg'].removeprefix('Value error, ')}"
    if kind == "string_pattern_mismatch":
        pattern = found["ctx"]["pattern"]
        if pattern.startswith("^https://"):
            barred = re.search(r"\[\^\\s(.*)\]", pattern)[1]
            return f"{field}: {_shown(given)} is no https:// address without blanks and {' '.join(barred)}"
        like = "two numbers such as 1.2" if place[-1:] == ["version"] else pattern
        return f"{field}: {_shown(given)} does not match {like}"
    if kind == "literal_error":
        allowed = found["ctx"]["expected"]
        near = difflib.get_close_matches(str(given), re.findall(r"'([^']*)'", allowed), n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        return f"{field}: {_shown(given)} is not allowed; {hint}allowed: {allowed}"
    if kind == "union_tag_invalid":
        context = found["ctx"]
        return f"{field}.type: {_shown(context['tag'])} is not allowed; allowed: {context['expected_tags']}"
    if kind == "union_tag_not_found":
        return f"{field}.type: is missing"
    return f"{field}: {found['msg']} (found {_shown(given)})"


def _place(loc: tuple) -> list:
    """Where it is, as people write it: without the tag of a union's member, which stands there as well."""
    return [
        part
        for index, part in enumerate(loc)
        if not (index > 1 and loc[index - 2] == "auth_methods" and isinstance(loc[index - 1], int))
        and not (part in ("http", "tcp") and loc[index - 1] == "verification")
        # So the checker calls the members of a union that have no tag.
        and not (isinstance(part, str) and part.startswith(("function-", "literal[", "constrained-")))
    ]


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except (RecursionError, ValueError):
        return "something very deep or very long"
    return text if len(text) <= 60 else f"{text[:57]}…"


def _known_keys(place: list) -> set[str]:
    """The keys that may stand at this place of a manifest."""
    models: list[type[BaseModel]] = [Manifest]
    for part in place:
        if isinstance(part, int):
            continue
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
