"""A connector's guide: Markdown with one half for the partner and one for the customer.

`# Partner` and `# Customer` open the halves; each `## Heading` below is a section, whose anchor is
its heading in lower case with hyphens. `${redirect_uri}` and `${partner}` are filled in when shown.
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
_markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
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
        for half in re.split(r"^# ", text, flags=re.MULTILINE)[1:]:
            audience, _, body = half.partition("\n")
            for part in re.split(r"^## ", body, flags=re.MULTILINE)[1:]:
                title, _, markdown = part.partition("\n")
                anchor = slugify(title)
                self.sections[anchor] = Section(anchor, title.strip(), audience.strip().lower(), markdown)

    def half(self, audience: str) -> list[Section]:
        return [section for section in self.sections.values() if section.audience == audience]
