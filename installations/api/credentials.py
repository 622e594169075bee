"""Credentials: fresh whenever they are asked for, and those that a partner brings along."""

from datetime import datetime
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from ninja import Router, Schema
from pydantic import Field

from console.api_operations import operation
from console.bearer import authenticate
from console.contract import Body, Moment, answer
from console.idempotency import idempotent
from console.problems import ProblemError
from installations import fresh, importing, reach
from installations.api.installations import ONE, InstallationOut, find, out
from installations.auth import Token

router = Router(tags=["Credentials"])


class CredentialOut(Schema):
    installation_id: UUID
    version: UUID = Field(description="Names this very credential; another one has another.")
    auth_method: str
    access_token: str | None
    token_type: str | None
    expires_at: datetime | None = Field(description="Until when it is good; null: the provider did not say.")
    granted_scopes: list[str] | None = Field(description="null: the provider did not say.")
    values: dict[str, str] = Field(description="What the account entered: an API key, a user and password.")
    renewal_problem: str | None = Field(
        description="Why it could not be renewed although it is due; it still works until expires_at."
    )


class ImportIn(Body):
    auth_method: str = Field(max_length=50, description="The key of one of the connector's auth methods.")
    access_token: str = Field("", max_length=16_000)
    refresh_token: str = Field("", max_length=16_000)
    expires_at: Moment | None = Field(None, description="When the access token ends, if that is known.")
    granted_scopes: list[str] | None = Field(None, max_length=500)
    values: dict[str, str] = Field({}, description="By property: what the customer would have entered.")


@operation(router.get, ONE + "/credential", "credentials", CredentialOut, 404, 409, 502, 503)
def get_credential(request: HttpRequest, installation_id: UUID, rejected: UUID | None = None) -> HttpResponse:
    """Fetch its credential, renewed if that is due.

    If the provider has refused a version with 401, name it: it is renewed once, however many ask.
    """
    return _fetched(request, installation_id, rejected)


def fetch(request: HttpRequest, installation_id: UUID) -> HttpResponse:
    """The same, past what the library does for each operation: nothing is asked more often."""
    authenticate(request, "credentials")
    rejected = request.GET.get("rejected")
    try:
        version = None if rejected is None else UUID(rejected)
    except ValueError:
        errors = [{"pointer": "rejected", "detail": "It has to be the version of a credential, a UUID."}]
        raise ProblemError("invalid_request", errors=errors) from None
    return _fetched(request, installation_id, version)


def _fetched(request: HttpRequest, installation_id: UUID, rejected: UUID | None) -> HttpResponse:
    reach.count(request.api_key, installation_id)
    row = fresh.find(request.principal, installation_id, rejected=rejected)
    token = row.token
    body = CredentialOut(
        installation_id=row.id,
        version=row.version_id,
        auth_method=row.auth_method,
        access_token=token.access_token or None,
        token_type=token.token_type if token.access_token else None,
        expires_at=token.expires_at,
        granted_scopes=None if token.granted_scopes is None else list(token.granted_scopes),
        values=dict(token.values),
        renewal_problem=row.problem or None,
    )
    # In no cache of any kind (RFC 6749, section 5.1), so there is no ETag.
    return HttpResponse(body.model_dump_json(), content_type="application/json")


@operation(router.post, ONE + "/credential", "credentials", InstallationOut, 404, 409, 502)
@idempotent(whole=False)
def import_credential(request: HttpRequest, installation_id: UUID, body: ImportIn) -> HttpResponse:
    """Import a credential from elsewhere.

    The provider is asked whose it is. One that it does not confirm is not stored, and what was there
    before stays.
    """
    row = find(request, installation_id)
    token = Token(
        access_token=body.access_token,
        refresh_token=body.refresh_token,
        granted_scopes=None if body.granted_scopes is None else tuple(body.granted_scopes),
        expires_at=body.expires_at,
    )
    importing.take(row, body.auth_method, token, body.values, request.principal)
    return answer(request, out(find(request, installation_id)))
