"""The credential of an installation for the partner's own software: one narrow question to the database.

Whatever is not plain (due, failing, switched off) goes the long way through `tokens.usable`.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from connectors import releases
from connectors.registry import Connector
from console.clock import Now
from console.compiled import Compiled
from console.problems import ProblemError
from console.sealed import Sealed
from console.tenancy import Principal
from installations import tokens
from installations.auth import Token
from installations.models import CredentialVersion, Installation

_COLUMNS = {
    "account_id": "account_id",
    "is_tryout": "is_tryout",
    "connector": "connector",
    "release_id": "release_id",
    "auth_method": "auth_method",
    "disabled_at": "disabled_at",
    "discovered": "discovered",
    "sealed_values": "values",
    "is_active": "partner__is_active",
    "problem": "credential__problem",
    "version_id": "credential__current_id",
    "sealed_token": "credential__current__token",
    "created_at": "credential__current__created_at",
    "expires_at": "credential__current__expires_at",
}
_question = Compiled(
    lambda partner_id, pk: (
        Installation.objects.visible_to(Principal(partner_id=partner_id, actor=""))
        .filter(pk=pk)
        .order_by()
        .annotate(clock=Now())
        .values_list(*_COLUMNS.values(), "clock")
    ),
    UUID(int=1),
    UUID(int=2),
)


# A version of so little age was not refused because of it: a caller that says so each time would have the
# provider renew without end.
YOUNG = timedelta(seconds=10)


@dataclass
class Fresh:
    """An installation with a token that may be used now."""

    id: UUID
    partner_id: UUID
    account_id: UUID
    connector: str
    auth_method: str
    discovered: dict[str, str]
    definition: Connector = field(repr=False)
    token: Token
    version_id: UUID
    # When the token was obtained, and the database's time.
    created_at: datetime
    clock: datetime
    # Why it was not renewed although that was due.
    problem: str = ""
    _sealed_values: Sealed | None = field(default=None, repr=False)

    @property
    def values(self) -> dict[str, str] | None:
        """What was asked at the installation."""
        return self._sealed_values and Installation._meta.get_field("values").open(
            self._sealed_values, partner_id=self.partner_id, pk=self.id
        )


def find(principal: Principal, installation_id: UUID, *, rejected: UUID | None = None) -> Fresh:
    """`rejected` as in `tokens.usable`.

    Raises ProblemError: not_found, not_connected, connector_gone, and whatever tokens.usable raises.
    """
    row = _read(principal, installation_id)
    if row["version_id"] is None:
        raise ProblemError("installation_disabled" if row["disabled_at"] else "not_connected")
    definition = releases.find(row["connector"], row["release_id"])
    if definition is None:
        raise ProblemError("connector_gone")
    version_id, created_at, problem = row["version_id"], row["created_at"], ""
    if rejected == version_id and row["clock"] - created_at < YOUNG:
        rejected = None
    ends_soon = tokens.ends_soon(created_at, row["expires_at"], row["clock"])
    if not row["is_active"] or row["disabled_at"] or row["problem"] or ends_soon or rejected == version_id:
        usable = tokens.usable(installation_id, rejected=rejected)
        token, problem = usable.token, usable.problem
        version_id, created_at = usable.version.pk, usable.version.created_at
    else:
        column = CredentialVersion._meta.get_field("token")
        opened = column.open(row["sealed_token"], partner_id=principal.partner_id, pk=version_id)
        token = Token.from_json(opened)
    return Fresh(
        id=installation_id,
        partner_id=principal.partner_id,
        account_id=row["account_id"],
        connector=row["connector"],
        auth_method=row["auth_method"],
        discovered=row["discovered"],
        definition=definition,
        token=token,
        version_id=version_id,
        created_at=created_at,
        clock=row["clock"],
        problem=problem,
        _sealed_values=row["sealed_values"],
    )


def _read(principal: Principal, installation_id: UUID) -> dict:
    found = None if principal.is_customer else _question.first(principal.partner_id, installation_id)
    row = found and dict(zip((*_COLUMNS, "clock"), found, strict=True))
    # What `visible_to` asks of API keys, of the row that is here already.
    if row and principal.api_key_id:
        others = principal.account_id not in (None, row["account_id"])
        row = None if others or row["is_tryout"] != principal.is_test else row
    if row is None:
        raise ProblemError("not_found")
    return row
