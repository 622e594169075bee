"""A document in which anything may stand anywhere, read as if it were one of OpenAPI."""

import re
from typing import Any

HOPS = 20
TEXT_LIMIT = 2000


class Document:
    """`notes` are sentences about what was found and not taken over."""

    def __init__(self, content: dict):
        self.content = content
        self.notes: list[str] = []
        self.version = self.text(content.get("swagger") or content.get("openapi"))

    @property
    def is_2(self) -> bool:
        return self.version == "2.0"

    def mapping(self, node: Any) -> dict:
        """The mapping that is here or that `$ref` leads to; {} for anything else."""
        for _ in range(HOPS):
            if not isinstance(node, dict):
                return {}
            reference = node.get("$ref")
            if not isinstance(reference, str):
                return node
            if not reference.startswith("#/"):
                self.note(f"The document refers to {reference[:100]}, which was not read.")
                return {}
            node = self._at(reference)
        return {}

    def _at(self, reference: str) -> Any:
        """RFC 6901, within this document."""
        node: Any = self.content
        for part in reference[2:].split("/"):
            key = part.replace("~1", "/").replace("~0", "~")
            node = node.get(key) if isinstance(node, dict) else None
        return node

    def text(self, value: Any) -> str:
        """Without what nobody can see; "" for what is no text."""
        if isinstance(value, int | float) and not isinstance(value, bool):
            # YAML takes an unquoted 443 for a number.
            value = str(value)[:50]
        if not isinstance(value, str):
            return ""
        return "".join(c if c.isprintable() or c == "\n" else " " for c in value[:TEXT_LIMIT]).strip()

    def list(self, value: Any) -> list:
        return value if isinstance(value, list) else []

    def page(self, value: Any) -> str:
        """The address of a page that people read, "" for none of https."""
        url = self.text(value)
        return url if re.fullmatch(r"https://[^\s#@$]+", url) else ""

    def note(self, note: str) -> None:
        note = self.text(note)
        if note not in self.notes and len(self.notes) < 20:
            self.notes.append(note)
