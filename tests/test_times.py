"""A time has one form, says its zone, and is there for programs as well."""

import re
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import timezone

from console.templatetags.times import day, day_text, moment, moment_text

AT = datetime(2026, 11, 27, 23, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "text", "on", "machine"),
    [
        ("UTC", "27 Nov 2026, 23:10 UTC", "27 Nov 2026", "2026-11-27T23:10:00+00:00"),
        ("Europe/Berlin", "28 Nov 2026, 00:10 CET", "28 Nov 2026", "2026-11-28T00:10:00+01:00"),
    ],
)
def test_a_time_is_told_in_the_zone_of_this_console_and_says_which_that_is(zone, text, on, machine):
    with timezone.override(zone):
        assert (moment_text(AT), day_text(AT)) == (text, on)
        assert moment(AT) == f'<time datetime="{machine}">{text}</time>'
        assert day(AT) == f'<time datetime="{machine}">{on}</time>'


def test_a_day_has_no_zone_and_what_is_not_there_is_nothing():
    assert day(date(2026, 11, 27)) == '<time datetime="2026-11-27">27 Nov 2026</time>'
    assert [write(None) for write in (moment, moment_text, day, day_text)] == [""] * 4


def test_no_page_and_no_mail_writes_a_time_in_a_form_of_its_own():
    templates = [path for path in Path(settings.BASE_DIR, "templates").rglob("*") if path.is_file()]
    forms = [
        f"{path.name}: {found}"
        for path in templates
        for found in re.findall(r"\|(?:date|time)\b[^}]*", path.read_text(encoding="utf-8"))
        if not found.startswith("|date:'c'")
    ]
    assert len(templates) > 50
    assert forms == []
