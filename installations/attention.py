"""An installation that a person has to look at: noted once, on the record, and told."""

from django.db import transaction

from console import jobs
from console.models import Event
from console.problems import PROBLEMS
from installations.alerts import itself
from installations.models import CredentialVersion, Installation, Status
from installations.notices import items
from installations.webhooks.outbox import announce


def need(
    installation: Installation,
    version: CredentialVersion,
    problem: str,
    *,
    words: str = "",
    reference: str = "",
) -> bool:
    """Note what is wrong with this version of the credential, and let the partner and the customer be told.

    False where another version took its place meanwhile, or where the same is known already.
    """
    is_new = installation.problem != problem
    # All of it or nothing: what is known already is told nobody.
    with transaction.atomic():
        if not installation.need_attention(problem, version) or not is_new:
            return False
        connector = installation.definition
        name = connector.name if connector else installation.connector
        Event.objects.record(
            "installation.needs_attention",
            itself(installation.partner_id),
            PROBLEMS[problem].title.format(connector=name, partner=installation.partner.name)[:300],
            subject=installation,
            reference=reference,
            code=problem,
            words=words,
        )
        items.note(installation.partner_id, f"attention:{installation.pk}")
        jobs.schedule("tell", installation.pk, installation.partner_id)
        now = {"state": Status.ATTENTION, "problem": problem}
        announce("installation.needs_attention", installation=installation, data=now)
        return True


def works(installation: Installation, version: CredentialVersion) -> None:
    """Note that this version works, and where it did not before, that it does again."""
    with transaction.atomic():
        if installation.worked(version):
            works_again(installation)


def works_again(installation: Installation) -> None:
    """What needed attention needs none any more, without anybody having authorised it anew."""
    now = {"state": Status.CONNECTED, "problem": None, "again": True}
    announce("installation.connected", installation=installation, data=now)
