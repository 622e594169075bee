"""How a time is written for people: in one form everywhere, in TIME_ZONE, and with the zone's name."""

from datetime import date, datetime

from django import template
from django.utils import timezone
from django.utils.dateformat import format as written
from django.utils.html import format_html

register = template.Library()


def _local(at: date | datetime) -> date | datetime:
    return timezone.localtime(at) if isinstance(at, datetime) else at


@register.filter
def moment_text(at: datetime | None) -> str:
    """27 Nov 2026, 21:10 UTC; "" of None."""
    return written(_local(at), "j M Y, H:i T") if at else ""


@register.filter
def day_text(at: date | datetime | None) -> str:
    """27 Nov 2026; "" of None."""
    return written(_local(at), "j M Y") if at else ""


@register.filter
def moment(at: datetime | None) -> str:
    """The same, for people and for programs (HTML, section 4.5.14)."""
    return format_html('<time datetime="{}">{}</time>', _local(at).isoformat(), moment_text(at)) if at else ""


@register.filter
def day(at: date | datetime | None) -> str:
    return format_html('<time datetime="{}">{}</time>', _local(at).isoformat(), day_text(at)) if at else ""
