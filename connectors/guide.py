"""A connector's guide: Markdown with one half for the partner and one for the customer.

`# Partner` and `# Customer` open the halves; each `## Heading` below is a section, whose anchor is
its heading in lower case with hyphens. `${redirect_uri}` and `${partner}` are filled in when shown.
Between fences (CommonMark, section 4.5) a `#` opens nothing: there it begins a comment.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from html import escape
from string import Template

import nh3
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import slugify
from markdown_it import MarkdownIt

SIZE_LIMIT = 256 * 1024
AUDIENCES = ("partner", "customer")
_markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
_FENCE = re.compile(r" {0,3}(`{3,}(?=[^`]*$)|~{3,})")
_TAGS = {
    "p",
    "ol",
    "ul",
    "li",
    "strong",
    "em",
    "code",
    "pre",
    "h3",
    "a",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "blockquote",
}


@dataclass(frozen=True)
class Section:
    anchor: str
    title: str
    audience: str  # "partner" or "customer"
    markdown: str

    @cached_property
    def _html(self) -> str:
        return nh3.clean(
            _markdown.render(self.markdown),
            tags=_TAGS,
            attributes={"a": {"href"}},
            url_schemes={"https"},
            link_rel="noopener noreferrer",
            set_tag_attribute_values={"a": {"target": "_blank"}},
        )

    def render(self, **values: str) -> SafeString:
        """The section's HTML with placeholders filled in, each value escaped."""
        safe = {name: escape(value) for name, value in values.items()}
        return mark_safe(Template(self._html).safe_substitute(safe))  # noqa: S308 - sanitised above


class Guide:
    def __init__(self, text: str):
        self.sections: dict[str, Section] = {}
        # What of the text nobody would ever be shown, a sentence each.
        self.faults: list[str] = []
        before, *halves = _parts(text, "# ")
        self._note_lost("before # Partner", before[1])
        for audience, body in halves:
            if audience.lower() not in AUDIENCES:
                self.faults.append(f"# {audience[:60]} opens no half; there are # Partner and # Customer")
            opening, *parts = _parts(body, "## ")
            self._note_lost(f"between # {audience[:60]} and the first ## below it", opening[1])
            for title, markdown in parts:
                anchor = slugify(title) or slugify(title, allow_unicode=True)
                if anchor in self.sections:
                    said = f"## {title[:60]} stands here twice; each section needs a heading of its own"
                    self.faults.append(said)
                self.sections[anchor] = Section(anchor, title, audience.lower(), markdown)

    def half(self, audience: str) -> list[Section]:
        return [section for section in self.sections.values() if section.audience == audience]

    def _note_lost(self, place: str, text: str) -> None:
        if text.strip():
            self.faults.append(f"what stands {place} is shown to nobody")


def _parts(text: str, mark: str) -> list[tuple[str, str]]:
    """What stands before the first line that begins with the mark, under "", then (heading, text) of each."""
    parts, fence = [("", [])], ""
    for line in re.split(r"(?<=\n)", text):
        found = _FENCE.match(line)
        if fence:
            ends = found and found[1].startswith(fence) and not line[found.end() :].strip()
            fence = "" if ends else fence
        elif found:
            fence = found[1]
        elif line.startswith(mark):
            parts.append((line.removeprefix(mark).strip(), []))
            continue
        parts[-1][1].append(line)
    return [(heading, "".join(lines)) for heading, lines in parts]
