"""What needs a partner's attention, the worst first: by connector, and by account."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from django.db.models import Case, CharField, Count, F, Min, Value, When
from django.utils import timezone

from connectors import catalogue
from connectors.models import ConnectorSettings
from console.problems import PROBLEMS
from console.tenancy import Principal
from installations.filters import ENDS, SCOPES, STATES
from installations.models import SWITCHED_OFF, Alert, Installation, Status
from installations.sparkline import Sparkline, sparklines

# So far ahead the end of a client secret is told, and so late before it that is urgent.
SECRET_SOON, SECRET_URGENT = timedelta(days=60), timedelta(days=14)
# How many connectors and accounts the start page shows.
CONNECTORS, ACCOUNTS = 12, 6


@dataclass
class Troubles:
    """What is wrong with the installations of one connector, or will be soon."""

    # Why, in words, and how many; the commonest first.
    reasons: list[tuple[str, int]] = field(default_factory=list)
    ends: int = 0
    first_ends_at: datetime | None = None
    scopes: int = 0

    @property
    def attention(self) -> int:
        return sum(count for _, count in self.reasons)

    def __bool__(self) -> bool:
        return bool(self.reasons or self.ends or self.scopes)


@dataclass
class ConnectorRow:
    slug: str
    name: str
    counts: dict[str, int]
    troubles: Troubles
    spark: Sparkline

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def connected(self) -> int:
        return self.counts.get(Status.CONNECTED, 0)


@dataclass
class AccountRow:
    id: str
    name: str
    attention: int
    spark: Sparkline


@dataclass
class SecretRow:
    """A client secret that ends. `days` are left; none or fewer: it has ended."""

    slug: str
    name: str
    ends_on: date
    days: int

    @property
    def is_urgent(self) -> bool:
        return self.days <= SECRET_URGENT.days


@dataclass
class Dashboard:
    counts: dict[str, int]
    alerts: list[Alert]
    secrets: list[SecretRow]
    connectors: list[ConnectorRow]
    # Connectors that are not shown, all of them without trouble or with less.
    more: int
    accounts: list[AccountRow]
    has_settings: bool

    @property
    def states(self) -> list[tuple[str, str, int]]:
        return listed(self.counts)

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def is_well(self) -> bool:
        troubled = any(row.troubles for row in self.connectors)
        return not (self.alerts or self.secrets or troubled or self.counts.get(Status.ATTENTION))


def of(principal: Principal) -> Dashboard:
    """Eight questions to the database at most, however many rows there are."""
    visible = Installation.objects.visible_to(principal)
    counts = _counts(visible)
    by_state: dict[str, int] = defaultdict(int)
    for states_of_one in counts.values():
        for state, count in states_of_one.items():
            by_state[state] += count
    alerts = list(Alert.objects.visible_to(principal).filter(closed_at=None)[:CONNECTORS])
    stored = dict(
        ConnectorSettings.objects.visible_to(principal).values_list("connector", "secret_expires_on")
    )
    ending = {slug: on for slug, on in stored.items() if on and on - _today() <= SECRET_SOON}
    slugs = sorted({*counts, *ending, *(alert.connector for alert in alerts)})
    names = catalogue.names(principal.partner_id, slugs)
    troubled = _troubles(visible, names)
    shown = sorted(
        counts, key=lambda slug: (-_weight(troubled.get(slug)), -sum(counts[slug].values()), names[slug])
    )[:CONNECTORS]
    accounts = _accounts(visible)
    sparks = sparklines(
        principal, [f"connector:{slug}" for slug in shown] + [f"account:{pk}" for pk, _, _ in accounts]
    )
    return Dashboard(
        counts=by_state,
        alerts=worded(alerts, names),
        secrets=_secrets(ending, names),
        connectors=[
            ConnectorRow(
                slug,
                names[slug],
                counts[slug],
                troubled.get(slug, Troubles()),
                sparks[f"connector:{slug}"],
            )
            for slug in shown
        ],
        more=len(counts) - len(shown),
        accounts=[AccountRow(pk, name, count, sparks[f"account:{pk}"]) for pk, name, count in accounts],
        has_settings=bool(stored),
    )


def _today() -> date:
    return timezone.now().date()


def _weight(troubles: Troubles | None) -> int:
    """What does not work comes before what will stop, and that before what works in part."""
    if not troubles:
        return 0
    return 10_000 * troubles.attention + 100 * troubles.ends + troubles.scopes


def _counts(rows) -> dict[str, dict[str, int]]:
    """{"heartland-retail": {"connected": 12, "disabled": 1}}, along an index that has all of it."""
    found: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    groups = rows.order_by().values_list("connector", "status")
    # Of rows, not of ids: those would have to be looked up.
    for slug, status, count, off in groups.annotate(count=Count("*"), off=Count("disabled_at")):
        found[slug][status] += count - off
        found[slug][SWITCHED_OFF[0]] += off
    return found


def states(rows) -> list[tuple[str, str, int]]:
    """Each state of the rows of one connector or one account: its name, its label and how many."""
    state = Case(When(disabled_at__isnull=False, then=Value(SWITCHED_OFF[0])), default="status")
    # Put in order by no index: of an account SQLite would walk through all rows of its partner for that.
    counts = dict(rows.order_by().annotate(shown=state).values_list("shown").annotate(count=Count("*")))
    return listed(counts)


def listed(counts: dict[str, int]) -> list[tuple[str, str, int]]:
    """A state that is rare is left out where nothing is in it."""
    return [
        (value, label, counts.get(value, 0))
        for value, label in STATES
        if value != SWITCHED_OFF[0] or counts.get(value)
    ]


def troubles(rows, names: dict[str, str]) -> Troubles:
    """Of the rows of one connector."""
    return next(iter(_troubles(rows, names).values()), Troubles())


def _troubles(rows, names: dict[str, str]) -> dict[str, Troubles]:
    """By connector; three narrow searches in one question."""
    found: dict[str, Troubles] = defaultdict(Troubles)
    parts = [
        _grouped(rows.in_state(Status.ATTENTION), "attention", F("problem")),
        _grouped(rows.ending_soon(), ENDS, Value("", CharField())),
        _grouped(rows.lacking_scopes(), SCOPES, F("missing_scopes")),
    ]
    for kind, code, slug, count, first in parts[0].union(*parts[1:], all=True):
        of_one = found[slug]
        if kind == ENDS:
            of_one.ends, of_one.first_ends_at = count, first
        elif kind == SCOPES:
            of_one.scopes += count
        else:
            name = names.get(slug, slug)
            of_one.reasons.append((_title(code, name) or "It does not work", count))
    for of_one in found.values():
        of_one.reasons.sort(key=lambda pair: -pair[1])
    return found


def _grouped(rows, kind: str, detail):
    # By the detail first: in the order of the connectors SQLite would walk through all rows of the partner.
    rows = rows.order_by().annotate(kind=Value(kind, CharField()), detail=detail, slug=F("connector"))
    groups = rows.values("kind", "detail", "slug")
    return groups.annotate(count=Count("*"), first=Min("grant_expires_at")).values_list(
        "kind", "detail", "slug", "count", "first"
    )


def _title(code: str, name: str) -> str:
    problem = PROBLEMS.get(code)
    return problem.title.format(connector=name, partner="Your company") if problem else ""


def worded(alerts: Iterable[Alert], names: dict[str, str]) -> list[Alert]:
    """The alerts, each with what it says in words."""
    alerts = list(alerts)
    for alert in alerts:
        alert.name = names.get(alert.connector, alert.connector)
        alert.title = _title(alert.code, alert.name) or f"Something is wrong with {alert.name}"
    return alerts


def _secrets(ending: dict[str, date], names: dict[str, str]) -> list[SecretRow]:
    rows = [SecretRow(slug, names[slug], on, (on - _today()).days) for slug, on in ending.items()]
    return sorted(rows, key=lambda row: row.days)


def _accounts(rows) -> list[tuple[str, str, int]]:
    """The accounts with the most that does not work: id, name, how much."""
    groups = rows.in_state(Status.ATTENTION).order_by().values_list("account_id", "account__name")
    worst = groups.annotate(count=Count("*")).order_by("-count", "account__name")[:ACCOUNTS]
    return [(str(pk), name, count) for pk, name, count in worst]
