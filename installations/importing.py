"""Credentials that a partner brings along from another product."""

from collections.abc import Mapping

from django.db import transaction
from django.utils import timezone

from connectors.forms import PropertiesForm
from connectors.models import ConnectorSettings
from console.contract import form_errors
from console.models import Event
from console.problems import ProblemError
from console.tenancy import Principal
from installations import connecting
from installations.auth import STATIC, Token
from installations.connecting import ChoiceNeeded
from installations.models import Installation, Setup
from installations.verification import AddressUnknown

# What a provider says of a credential, and not of itself.
_REFUSALS = ("credential_rejected", "invalid_grant", "invalid_client")


def take(
    row: Installation, auth_method: str, token: Token, values: Mapping[str, str], principal: Principal
) -> None:
    """Verify a credential at the provider and connect the installation with it.

    `values` are what the wizard would have asked. Raises ProblemError: what was connected before stays.
    """
    connector = row.current
    if connector is None:
        raise ProblemError("connector_gone")
    if row.disabled_at:
        raise ProblemError("installation_disabled")
    manifest = connector.manifest
    method = next((found for found in manifest.auth_methods if found.key == auth_method), None)
    if method is None:
        known = ", ".join(found.key for found in manifest.auth_methods)
        raise _wrong("#/auth_method", f"The connector has no such method; it has {known}.")
    is_static = method.type in STATIC
    if is_static and (token.access_token or token.refresh_token):
        raise _wrong("#/access_token", "This method has no tokens: send values.")
    if not is_static and not token.access_token:
        raise _wrong("#/access_token", "This method needs one.")
    if token.expires_at and (token.expires_at.tzinfo is None or token.expires_at <= timezone.now()):
        raise _wrong("#/expires_at", "It has to lie ahead, and to name its zone, such as …Z or …+02:00.")
    partner = ConnectorSettings.objects.for_connector(row.partner_id, row.connector)
    asked = [prop for prop in connecting.asked(manifest, partner, method.key) if not prop.one_time]
    if strays := sorted(values.keys() - {prop.name for prop in asked}):
        raise _wrong(f"#/values/{strays[0]}", "Nobody is asked for this here.")
    form = PropertiesForm(dict(values), properties=asked, known=partner.values_for(manifest, method.key))
    if not form.is_valid():
        errors = form_errors(form, within={prop.name: "values" for prop in asked})
        raise ProblemError("invalid_request", errors=errors)
    setup = connecting.begin(row, principal, "A credential was sent to be imported")
    connecting.choose_method(setup, method.key)
    try:
        if is_static:
            connecting.connect_with_values(manifest, partner, setup, form.changes(), principal, None)
        else:
            setup.set_values(form.changes(), principal.actor)
            connecting.connect(manifest, partner, setup, token, principal, None)
    except (AddressUnknown, ChoiceNeeded) as error:
        raise _given_up(setup, principal, ProblemError("import_incomplete", words=str(error))) from error
    except ProblemError as error:
        refused = ProblemError("import_refused", words=error.words) if error.code in _REFUSALS else error
        raise _given_up(setup, principal, refused) from error


def _given_up(setup: Setup, principal: Principal, error: ProblemError) -> ProblemError:
    """Nobody goes on with the setup: whoever imports sends it again."""
    with transaction.atomic():
        setup.delete()
        Event.objects.record(
            "credential.not_imported",
            principal,
            "The credential was not imported",
            subject=setup.installation_id,
            code=error.code,
            words=error.words,
        )
    return error


def _wrong(pointer: str, detail: str) -> ProblemError:
    return ProblemError("invalid_request", errors=[{"pointer": pointer, "detail": detail}])
