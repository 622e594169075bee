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
# In units of the picture's own: a day and its bar, and how far a bar reaches from the line.
STEP, BAR, ABOVE, BELOW = 8, 6, 20, 10


@dataclass(frozen=True)
class Day:
    """One day's bar: where it stands, and how far it reaches above and below the line."""

    on: date
    worked: int
    failed: int
    x: int
    up: float
    down: float

    @property
    def top(self) -> float:
        return ABOVE - self.up


@dataclass(frozen=True)
class Sparkline:
    """The last days of one thing. `about` is as in Tally."""

    about: str
    # On which days how often it worked and how often it failed; days without either may be left out.
    counts: dict[date, tuple[int, int]]
    today: date

    width, height = DAYS * STEP - (STEP - BAR), ABOVE + BELOW + 2
    line, below, bar = ABOVE, ABOVE + 2, BAR

    @property
    def id(self) -> str:
        return "spark-" + self.about.replace(":", "-")

    @cached_property
    def days(self) -> list[Day]:
        most = max((max(pair) for pair in self.counts.values()), default=0) or 1
        found = []
        for number in range(DAYS):
            on = self.today - timedelta(days=DAYS - 1 - number)
            worked, failed = self.counts.get(on, (0, 0))
            # However few: what happened is seen.
            up = max(2.0, round(ABOVE * worked / most, 1)) if worked else 0
            down = max(3.0, round(BELOW * failed / most, 1)) if failed else 0
            found.append(Day(on, worked, failed, number * STEP, up, down))
        return found

    @property
    def worked(self) -> int:
        return sum(day.worked for day in self.days)

    @property
    def failed(self) -> int:
        return sum(day.failed for day in self.days)

    @property
    def total(self) -> int:
        return self.worked + self.failed

    @property
    def bad_days(self) -> list[Day]:
        return [day for day in self.days if day.failed]


def sparklines(principal: Principal, abouts: list[str]) -> dict[str, Sparkline]:
    """The pictures of these, by one question to the database; an empty one where nothing was noted."""
    # Days are told by UTC, as tallies are.
    today = timezone.now().date()
    rows = Tally.objects.visible_to(principal).filter(about__in=abouts, day__gt=today - timedelta(days=DAYS))
    counts: dict[str, dict] = {about: {} for about in abouts}
    for about, day, worked, failed in rows.values_list("about", "day", "worked", "failed"):
        counts[about][day] = (worked, failed)
    return {about: Sparkline(about, found, today) for about, found in counts.items()}
