"""What a list of installations is narrowed down to. It stands in the address, to be kept and sent on."""

from dataclasses import asdict, dataclass
from datetime import timedelta
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from connectors import catalogue
from connectors.models import ConnectorSettings
from console.paging import asked_for
from console.tenancy import Principal
from installations import clients
from installations.models import SWITCHED_OFF, Installation, Status

STATES = [*Status.choices, SWITCHED_OFF]
AGES = {"day": timedelta(days=1), "week": timedelta(weeks=1), "month": timedelta(days=30)}
WORKED = [
    ("never", "Never"),
    ("day", "More than a day ago"),
    ("week", "More than a week ago"),
    ("month", "More than a month ago"),
]
CREATED = [("day", "In the last day"), ("week", "In the last week"), ("month", "In the last month")]
ENDS, SCOPES, CLIENT = "ends", "scopes", "client"
LACKS = [
    (ENDS, "Ends within 30 days"),
    (SCOPES, "Permissions are missing"),
    (CLIENT, "Belongs to an earlier Client ID"),
]


@dataclass(frozen=True)
class Filters:
    """Each "" where it was not asked for. A value that is none of the choices is not asked for either."""

    q: str = ""
    state: str = ""
    connector: str = ""
    account: str = ""
    worked: str = ""
    created: str = ""
    lacks: str = ""

    @classmethod
    def asked(cls, request: HttpRequest) -> "Filters":
        found = {name: asked_for(request, name) for name in cls.__dataclass_fields__}
        for name, choices in (
            ("state", STATES),
            ("worked", WORKED),
            ("created", CREATED),
            ("lacks", lacks_choices(found["connector"])),
        ):
            if found[name] not in dict(choices):
                found[name] = ""
        return cls(**found)

    def __bool__(self) -> bool:
        return any(asdict(self).values())

    @property
    def query(self) -> str:
        """As it stands in an address."""
        return urlencode({name: value for name, value in asdict(self).items() if value})

    def rows(self, principal: Principal):
        """The partner's installations that are meant, in the order of their list."""
        rows = Installation.objects.visible_to(principal)
        if self.state:
            rows = rows.in_state(self.state)
        if self.connector:
            rows = rows.filter(connector=self.connector)
        if self.account:
            rows = rows.filter(account_id=self.account_id) if self.account_id else rows.none()
        if self.created:
            rows = rows.filter(created_at__gt=timezone.now() - AGES[self.created])
        rows = self._lacking(rows, principal)
        if self.worked == "never":
            rows = rows.filter(last_worked_at=None)
        elif self.worked:
            # The longest silent first, as the index has them.
            rows = rows.filter(last_worked_at__lt=timezone.now() - AGES[self.worked])
            rows = rows.order_by("last_worked_at", "-created_at", "-id")
        return rows.search(self.q, principal) if self.q else rows

    @property
    def account_id(self) -> UUID | None:
        try:
            return UUID(self.account)
        except ValueError:
            return None

    def _lacking(self, rows, principal: Principal):
        if self.lacks == ENDS:
            return rows.ending_soon().order_by("grant_expires_at", "-created_at", "-id")
        if self.lacks == SCOPES:
            return rows.lacking_scopes()
        if self.lacks == CLIENT:
            return rows & _of_an_earlier_client(principal, self.connector)
        return rows


def lacks_choices(connector: str) -> list[tuple[str, str]]:
    """A Client ID is one connector's: it is asked about where one is chosen."""
    return LACKS if connector else LACKS[:-1]


def _of_an_earlier_client(principal: Principal, slug: str) -> QuerySet:
    connector = catalogue.get(principal.partner_id, slug)
    if connector is None:
        return Installation.objects.none()
    settings = ConnectorSettings.objects.for_connector(principal.partner_id, slug)
    return clients.of_an_earlier_one(principal, connector.manifest, settings)
