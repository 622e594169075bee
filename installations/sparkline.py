"""A small picture of two weeks: for each day, how often something worked and how often it failed.

Successes stand above the line and failures hang below it, so that colour is not all that tells them apart.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property

from django.utils import timezone

from console.tenancy import Principal
from installations.models import Tally

DAYS = 14
# In units of the picture's own: a day and its bar, how far the highest reaches from the line, up or down on
# one scale, and what is seen of one however few they are.
STEP, BAR, REACH, LEAST = 8, 6, 15, 2


@dataclass(frozen=True)
class Day:
    on: date
    worked: int
    failed: int


@dataclass(frozen=True)
class Sparkline:
    """The last days of one thing. `about` is as in Tally."""

    about: str
    # On which days how often it worked and how often it failed; days without either may be left out.
    counts: dict[date, tuple[int, int]]
    today: date

    width, height = DAYS * STEP - (STEP - BAR), 2 * REACH + 2

    @property
    def id(self) -> str:
        return "spark-" + self.about.replace(":", "-")

    @cached_property
    def days(self) -> list[Day]:
        days = [self.today - timedelta(days=ago) for ago in reversed(range(DAYS))]
        return [Day(on, *self.counts.get(on, (0, 0))) for on in days]

    @cached_property
    def worked(self) -> int:
        return sum(day.worked for day in self.days)

    @cached_property
    def failed(self) -> int:
        return sum(day.failed for day in self.days)

    @property
    def total(self) -> int:
        return self.worked + self.failed

    @property
    def bad_days(self) -> list[Day]:
        return [day for day in self.days if day.failed]

    @property
    def bars(self) -> dict[str, str]:
        """What to draw (SVG 2, section 9.3): {"worked": path data, "failed": …, "nothing": …}."""
        most = max(max(day.worked, day.failed) for day in self.days) or 1
        paths: dict[str, list[str]] = {"worked": [], "failed": [], "nothing": []}
        for x, day in zip(range(0, DAYS * STEP, STEP), self.days, strict=True):
            if day.worked:
                paths["worked"].append(_bar(x, REACH, -max(LEAST, REACH * day.worked / most)))
            if day.failed:
                paths["failed"].append(_bar(x, REACH + 2, max(LEAST, REACH * day.failed / most)))
            if not day.worked and not day.failed:
                paths["nothing"].append(_bar(x, REACH, 1))
        return {name: "".join(parts) for name, parts in paths.items() if parts}


def _bar(x: int, y: int, height: float) -> str:
    return f"M{x} {y}h{BAR}v{height:.3g}h-{BAR}z"


def sparklines(principal: Principal, abouts: list[str]) -> dict[str, Sparkline]:
    """The pictures of these, by one question to the database; an empty one where nothing was noted."""
    # Days are told by UTC, as tallies are.
    today = timezone.now().date()
    rows = Tally.objects.visible_to(principal).filter(about__in=abouts, day__gt=today - timedelta(days=DAYS))
    counts: dict[str, dict] = {about: {} for about in abouts}
    for about, day, worked, failed in rows.values_list("about", "day", "worked", "failed"):
        counts[about][day] = (worked, failed)
    return {about: Sparkline(about, found, today) for about, found in counts.items()}
