"""What an installation's pages and the API do to it alike."""

from django.db import transaction
from django.utils import timezone

from connectors import releases
from connectors.registry import Connector
from console.models import Account, Event
from console.tenancy import Principal
from installations import connecting
from installations.forms import InstallationForm
from installations.models import Installation
from installations.webhooks.outbox import announce


def make(form: InstallationForm, connector: Connector, principal: Principal) -> Installation:
    """Install the connector as it is today."""
    with transaction.atomic():
        # Held: it may be deleted at this moment. Raises Account.DoesNotExist.
        Account.objects.select_for_update().get(pk=form.instance.account_id)
        form.instance.release_id = releases.keep(connector)
        row = form.save()
        Event.objects.record(
            "installation.created", principal, f"{connector.name} was installed", subject=row
        )
        announce("installation.created", installation=row)
    return row


def edit(row: Installation, principal: Principal) -> None:
    """Keep what a form has written into the row."""
    with transaction.atomic():
        row.save(update_fields=["name", "description"])
        Event.objects.record("installation.edited", principal, "Name or description was changed", subject=row)


def switch(row: Installation, principal: Principal, *, off: bool) -> bool:
    """Off, so that nothing uses it and what is stored is kept, or on again. False: nothing changed."""
    kind, said = ("disabled", "It was switched off") if off else ("enabled", "It was switched on")
    with transaction.atomic():
        changed = row.set_disabled(off, by_support=False)
        if changed:
            Event.objects.record(f"installation.{kind}", principal, said, subject=row)
    return changed


def ask_again(row: Installation, principal: Principal, *, switch_account: bool) -> None:
    """Begin a setup that asks for a new credential in place. The one in use works on until then."""
    with transaction.atomic():
        setup = connecting.begin(row, principal)
        connecting.choose_method(setup, row.auth_method)
        setup.reviewed_at, setup.switch_account = timezone.now(), switch_account
        setup.save(update_fields=["reviewed_at", "switch_account"])
