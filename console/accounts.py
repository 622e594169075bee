"""What an account's pages and the API do to it alike."""

from django.db import IntegrityError, transaction
from django.db.models import ProtectedError

from console.forms import AccountForm
from console.models import Account, Event
from console.tenancy import Principal


def save(form: AccountForm, principal: Principal) -> str:
    """Keep the account of a valid form; what a person is told of that.

    "" where somebody took its external id in the meantime: then the form says so.
    """
    row = form.instance
    told = f"{row.name} {'was added' if row._state.adding else 'was changed'}"
    try:
        with transaction.atomic():
            form.save()
            Event.objects.record("account.saved", principal, told, subject=row)
    except IntegrityError:
        form.add_error("external_id", Account.EXTERNAL_ID_TAKEN)
        return ""
    return told


def remove(row: Account, principal: Principal) -> bool:
    """Delete it; False where a connector is installed in it."""
    account_id = row.pk
    try:
        with transaction.atomic():
            row.delete()
            Event.objects.record("account.deleted", principal, f"{row.name} was deleted", subject=account_id)
    except (ProtectedError, IntegrityError):
        return False
    return True
