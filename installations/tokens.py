"""`usable`: the one way to a token.

One that is fresh is handed out as it is. One that ends soon, or that a provider has just refused, is renewed
by exactly one caller of all threads, processes and machines; the others wait for what that one gets. While a
renewal fails, the token it would have replaced is handed out as long as it lives.
"""

import time
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from threading import Lock
from uuid import UUID

from connectors.manifest import AuthMethod
from console import lending, metrics
from console.clock import Now
from console.models import Pause
from console.problems import ProblemError
from installations import leases, renewing, standing
from installations.auth import Token, can_renew
from installations.models import Credential, CredentialVersion, Installation

# So long before its end a token is not handed out any more, if it can be renewed.
MARGIN = timedelta(seconds=60)
# Others wait for the one that renews, longer than any request may take.
PATIENCE_SECONDS = 25.0
POLL_SECONDS = 0.1

# Of a credential that only a new consent mends.
ENDED = {"grant_ended", "renewal_lost", "client_changed"}


@dataclass(frozen=True)
class Usable:
    """A token that may be used now, and the version that it is.

    `problem` says why it was not renewed although that was due.
    """

    token: Token
    version: CredentialVersion
    installation: Installation
    problem: str = ""


def usable(installation_id: UUID, *, rejected: UUID | None = None, ahead: bool = False) -> Usable:
    """The token of an installation, renewed if it is due.

    `rejected` is the id of a version that the provider has just refused: it is renewed once, unless somebody
    has done so already. `ahead` renews as soon as that is due, not only when it is urgent. Raises
    ProblemError; its `retry_after` says when a passing fault may be over.
    """
    row = _read(installation_id)
    _refuse(row)
    if not _is_due(row, rejected, ahead):
        return _of(row)
    method = _method(row)
    if method is None or not can_renew(method, Token.from_json(row.current.token)):
        return _while_it_lives(row, ProblemError("credential_expired"))
    if problem := held_back(row):
        return _while_it_lives(row, problem)
    if Pause.objects.exists():
        return _while_it_lives(row, ProblemError("renewals_paused"))
    return _single_flight(row, method)


def renew_now(installation_id: UUID) -> Usable:
    """Renew because a person asks: due or not, and once while it is backing off. One for all, as ever.

    Raises ProblemError for what stands in the way, however long the present token lives.
    """
    row = _read(installation_id)
    _refuse(row)
    method = _method(row)
    if method is None or not can_renew(method, Token.from_json(row.current.token)):
        raise ProblemError("not_renewable")
    if Pause.objects.exists():
        raise ProblemError("renewals_paused")
    problem = held_back(row)
    if problem and not (problem.code != "renewal_unknown" and row.hurry()):
        raise problem
    found = _single_flight(row, method)
    if found.version.pk == row.current_id:
        now = _read(installation_id)
        raise held_back(now) or ProblemError(now.problem or "provider_unavailable")
    return found


def _read(installation_id: UUID) -> Credential:
    row = read(installation_id)
    if row is None:
        raise ProblemError("credential_rejected", words="no credential is stored")
    return row


def read(installation_id: UUID) -> Credential | None:
    """The credential with its version, its installation, and `clock`: the time in the database."""
    rows = Credential.objects.select_related("current", "installation__partner")
    return rows.filter(installation_id=installation_id).annotate(clock=Now()).first()


def _of(row: Credential) -> Usable:
    # It may have been switched off while somebody renewed it.
    _refuse(row)
    return Usable(Token.from_json(row.current.token), row.current, row.installation)


def _refuse(row: Credential) -> None:
    if not row.installation.partner.is_active:
        raise ProblemError("partner_disabled")
    if row.installation.disabled_at:
        raise ProblemError("installation_disabled")
    if row.problem in ENDED and not (row.problem == "renewal_lost" and _is_alive(row)):
        raise ProblemError(row.problem)


def _is_due(row: Credential, rejected: UUID | None, ahead: bool) -> bool:
    version = row.current
    if rejected == version.pk:
        return True
    if version.expires_at is None or not ahead:
        return ends_soon(version.created_at, version.expires_at, row.clock)
    return version.expires_at - row.clock <= standing.lead(version.expires_at - version.created_at) * 1.1


def ends_soon(created_at: datetime, expires_at: datetime | None, now: datetime) -> bool:
    """Whether a token of these times is not handed out any more, if it can be renewed."""
    return expires_at is not None and expires_at - now <= min(MARGIN, (expires_at - created_at) / 10)


def _is_alive(row: Credential) -> bool:
    return row.current.expires_at is None or row.current.expires_at > row.clock


def _method(row: Credential) -> AuthMethod | None:
    connector = row.installation.definition
    return connector and connector.manifest.method(row.installation.auth_method)


def held_back(row: Credential) -> ProblemError | None:
    """Why nobody renews it just now."""
    if row.unknown_since:
        return ProblemError("renewal_unknown")
    if row.problem == "renewal_lost":
        return ProblemError(row.problem)
    if row.retry_at and row.retry_at > row.clock:
        return ProblemError(row.problem or "provider_unavailable", retry_after=row.retry_at - row.clock)
    return None


def _while_it_lives(row: Credential, problem: ProblemError) -> Usable:
    """The token as it is, if it has not run out; what the provider makes of it is for the caller to see."""
    _refuse(row)
    if _is_alive(row):
        return replace(_of(row), problem=problem.code)
    raise problem


# ── one for all ─────────────────────────────────────────────────────────────────────────────────

_flights: dict[UUID, Future] = {}
_flights_lock = Lock()


def _single_flight(row: Credential, method: AuthMethod) -> Usable:
    """Within a process one thread asks the database for the lease; the others wait for that thread."""
    with _flights_lock:
        flight = _flights.get(row.pk)
        if is_first := flight is None:
            flight = _flights[row.pk] = Future()
    if not is_first:
        lending.give_back()
        try:
            return flight.result(timeout=PATIENCE_SECONDS)
        except TimeoutError:
            return _while_it_lives(_read(row.installation_id), _late())
    try:
        found = _lead_or_follow(row, method)
    except BaseException as error:
        flight.set_exception(error)
        raise
    else:
        flight.set_result(found)
        return found
    finally:
        with _flights_lock:
            del _flights[row.pk]


def _late() -> ProblemError:
    return ProblemError("renewal_under_way", retry_after=timedelta(seconds=5))


def _lead_or_follow(row: Credential, method: AuthMethod) -> Usable:
    """Take the lease and renew, or wait for whoever has it. Nobody ever renews without it."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        held = leases.take(row, method)
        try:
            if held:
                renewed = renewing.renew(held)
                metrics.renewal("renewed")
                return _of(renewed)
        except leases.Superseded:
            metrics.renewal("superseded")
        except ProblemError as problem:
            metrics.renewal(problem.code)
            return _while_it_lives(_read(row.installation_id), problem)
        now = _read(row.installation_id)
        _refuse(now)
        if now.current_id != row.current_id:
            return _of(now)
        if problem := held_back(now):
            return _while_it_lives(now, problem)
        row = now
        if not held:
            lending.give_back()
            time.sleep(POLL_SECONDS)
    return _while_it_lives(row, _late())
