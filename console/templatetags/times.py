"""How a time is written for people: in one form everywhere, in TIME_ZONE, and with the zone's name."""

from datetime import date, datetime, timedelta

from django import template
from django.utils import timezone
from django.utils.dateformat import format as written
from django.utils.html import format_html
from django.utils.timesince import timesince

register = template.Library()


def _local(at: date | datetime | str) -> date | datetime:
    """Of text in the form of ISO 8601 as well, as JSON holds it."""
    at = datetime.fromisoformat(at) if isinstance(at, str) else at
    return timezone.localtime(at) if isinstance(at, datetime) else at


@register.filter
def moment_text(at: datetime | None) -> str:
    """27 Nov 2026, 21:10 UTC; "" of None."""
    return written(_local(at), "j M Y, H:i T") if at else ""


@register.filter
def day_text(at: date | datetime | str | None) -> str:
    """27 Nov 2026; "" of None."""
    return written(_local(at), "j M Y") if at else ""


@register.filter
def moment(at: datetime | None) -> str:
    """The same, for people and for programs (HTML, section 4.5.14)."""
    return format_html('<time datetime="{}">{}</time>', _local(at).isoformat(), moment_text(at)) if at else ""


@register.filter
def day(at: date | datetime | str | None) -> str:
    return format_html('<time datetime="{}">{}</time>', _local(at).isoformat(), day_text(at)) if at else ""


@register.filter
def second(at: datetime | None) -> str:
    """27 Nov 2026, 21:10:05 UTC: for what follows close on each other."""
    text = written(_local(at), "j M Y, H:i:s T") if at else ""
    return format_html('<time datetime="{}">{}</time>', _local(at).isoformat(), text) if at else ""


@register.filter
def ago(at: datetime | None) -> str:
    """How long it has been: "just now" within a minute, else "5 minutes ago"."""
    if not at:
        return ""
    text = "just now" if timezone.now() - at < timedelta(minutes=1) else f"{timesince(at)} ago"
    return format_html(
        '<time datetime="{}" title="{}">{}</time>', _local(at).isoformat(), moment_text(at), text
    )
