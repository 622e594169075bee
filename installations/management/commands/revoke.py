"""For an incident: who is affected, and the end of all their access, here and at the providers."""

from contextlib import suppress
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from django.db.models import Q

from console.models import Partner
from console.tenancy import Principal
from installations import incident
from installations.models import Installation, Status


class Command(BaseCommand):
    help = "List whose access is stored, and with --yes end it all. Workers do it; this ends at once."

    def add_arguments(self, parser):
        parser.add_argument("--partner", help="its name, domain or id; left out: every partner")
        parser.add_argument("--connector", help="its slug; left out: every connector of the partner")
        parser.add_argument(
            "--yes", action="store_true", help="end the access; without it nothing is changed"
        )
        parser.add_argument("--by", default="", help="who does it, for the record")

    def handle(self, *args, partner: str, connector: str, yes: bool, by: str, **options):
        if not partner and not connector:
            raise CommandError("Say --partner, --connector or both.")
        rows = Installation.objects.filter(status__in=[Status.CONNECTED, Status.ATTENTION])
        if partner:
            rows = rows.filter(partner=self._partner(partner))
        if connector:
            rows = rows.filter(connector=connector)
        number, pairs = 0, {}
        found = rows.select_related("partner", "account").order_by(
            "partner__name", "connector", "account__name"
        )
        for row in found.iterator():
            # One on each line, with tabs between, to be sorted and sent on.
            told = (row.partner.name, row.account.name, row.account.external_id, row.connector, str(row.pk))
            self.stdout.write("\t".join(told))
            pairs[row.partner_id, row.connector] = row.partner.name
            number += 1
        self.stdout.write(f"Installations: {number}. Partners: {len({pair[0] for pair in pairs})}.")
        if not yes:
            self.stdout.write("Nothing was changed. With --yes their access is ended.")
            return
        for (partner_id, slug), name in pairs.items():
            principal = Principal(partner_id=partner_id, actor=f"{by} (staff)" if by else "staff")
            self.stdout.write(f"{name}, {slug}: {incident.begin(principal, slug)} are being disconnected.")

    def _partner(self, text: str) -> Partner:
        same = Q(name__iexact=text) | Q(domain__iexact=text)
        with suppress(ValueError):
            same |= Q(pk=UUID(text))
        found = list(Partner.objects.filter(same)[:2])
        if len(found) != 1:
            raise CommandError(f"{len(found) or 'No'} partner{'s are' if found else ' is'} called {text}.")
        return found[0]
