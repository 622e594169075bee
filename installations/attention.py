"""An installation that a person has to look at: noted once, on the record, and told."""

from django.db import transaction

from console import jobs
from console.models import Event
from console.problems import PROBLEMS
from installations.alerts import itself
from installations.models import CredentialVersion, Installation
from installations.notices import items


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
        return True
