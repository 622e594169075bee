"""Does it work? Asked by a person, and by the console itself on the schedule that the connector sets."""

import random
from datetime import datetime, timedelta

from connectors.manifest import Manifest
from connectors.models import ConnectorSettings
from console import clock
from console.models import Event
from console.problems import ProblemError
from console.tenancy import Principal
from installations import attention, standing, tokens, verification
from installations.auth import can_renew
from installations.models import Installation, Tally
from installations.verification import AddressUnknown, Identity

# What says that the credential, and not the way to the provider, is at fault.
BLAMES = ("credential_rejected", "permission_missing", "wrong_account")


def next_check(manifest: Manifest, now: datetime) -> datetime:
    """Spread by a tenth, so that what began together is not asked together."""
    return now + timedelta(hours=manifest.check_hours) * random.uniform(0.9, 1.1)  # noqa: S311


def test(installation: Installation, principal: Principal, reference: str) -> Identity:
    """Call the provider with the stored credential, because somebody asks, and put on the record what came.

    Raises ProblemError.
    """
    try:
        identity = check(installation, reference)
    except ProblemError as error:
        Event.objects.record(
            "installation.test_failed",
            principal,
            "The test failed",
            subject=installation,
            reference=reference,
            code=error.code,
            words=error.words,
        )
        raise
    Event.objects.record("installation.tested", principal, "The test passed", subject=installation)
    return identity


def check(installation: Installation, reference: str = "") -> Identity:
    """Call the provider with the credential, renewed if need be, and note what came of it.

    An outage at the provider says nothing about the credential and changes nothing. Raises ProblemError.
    """
    Installation.objects.filter(pk=installation.pk).update(last_checked_at=clock.now())
    found = _usable(installation)
    try:
        try:
            identity = _ask(found)
        except ProblemError as error:
            if error.code != "credential_rejected" or not _renewable(found):
                raise
            # It may have been withdrawn before its time: once more with a new one.
            found = tokens.usable(installation.pk, rejected=found.version.pk)
            identity = _ask(found)
        if identity.account_id != installation.external_account_id:
            raise ProblemError("wrong_account", words=identity.account_id)
    except ProblemError as error:
        if error.code in BLAMES:
            attention.need(installation, found.version, error.code, words=error.words, reference=reference)
        Tally.note(installation, clock.now().date(), worked=False)
        raise
    attention.works(installation, found.version)
    Tally.note(installation, clock.now().date(), worked=True)
    return identity


def _usable(installation: Installation) -> tokens.Usable:
    """Raises ProblemError. One that ran out and cannot be renewed is seen here first, by nobody's asking."""
    try:
        return tokens.usable(installation.pk)
    except ProblemError as error:
        row = tokens.read(installation.pk)
        if row and error.code == "credential_expired":
            attention.need(installation, row.current, error.code)
        raise


def _renewable(found: tokens.Usable) -> bool:
    method = found.installation.definition.manifest.method(found.installation.auth_method)
    return can_renew(method, found.token)


def _ask(found: tokens.Usable) -> Identity:
    """Raises ProblemError."""
    row = found.installation
    manifest = row.definition.manifest
    settings = ConnectorSettings.objects.for_connector(row.partner_id, row.connector)
    values = standing.values_of(row, settings, found.token)
    if manifest.discovery:
        # The address is looked up anew: what was found may have moved.
        values[manifest.discovery.property] = ""
    try:
        return verification.verify(manifest, manifest.method(row.auth_method), found.token, values)
    except AddressUnknown as error:
        raise ProblemError("provider_unavailable", words=str(error)) from error
