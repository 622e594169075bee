"""Prose that names what programs know."""

from django import template
from django.utils.html import format_html
from django.utils.safestring import mark_safe

register = template.Library()


@register.filter
def coded(text: str) -> str:
    """What stands between backticks as code."""
    parts = (
        format_html("<code>{}</code>" if number % 2 else "{}", part)
        for number, part in enumerate(text.split("`"))
    )
    return mark_safe("".join(parts))  # noqa: S308 - each part was escaped above
