"""A demonstration partner for a developer's machine: an admin, an account, an API key and a staff user."""

import secrets

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from console.models import Account, ApiKey, Membership, Partner, User
from console.models.api_key import SCOPES


class Command(BaseCommand):
    help = "Make the demonstration partner and its people once, and keep their passwords in var/demo.txt."

    def handle(self, *args, **options):
        if not settings.DEVELOPMENT:
            raise CommandError(
                "The demonstration is for DEVELOPMENT=1 only. In production: manage.py createsuperuser"
            )
        kept = settings.DEMO_FILE
        if not User.objects.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.touch(mode=0o600)
            kept.write_text(self._make(), encoding="utf-8")
        self.stdout.write(
            kept.read_text(encoding="utf-8")
            if kept.exists()
            else "The demonstration's passwords were deleted."
        )

    @transaction.atomic
    def _make(self) -> str:
        partner = Partner.objects.create(name="Northwind Software", domain="northwind.example")
        Account.objects.create(partner=partner, name="Harbor Street Outfitters", external_id="cust-1001")
        admin, staff = (secrets.token_urlsafe(12) for _ in range(2))
        user = User.objects.create_user("admin@northwind.example", admin)
        Membership.objects.create(user=user, partner=partner)
        User.objects.create_superuser("staff@console.example", staff)
        key = ApiKey(partner=partner, name="Demonstration", scopes=list(SCOPES), created_by=user.email)
        written = key.issue()
        key.save()
        return (
            f"Partner admin  {settings.BASE_URL}/        admin@northwind.example   {admin}\n"
            f"Staff          {settings.BASE_URL}/staff/  staff@console.example     {staff}\n"
            f"API key        {settings.BASE_URL}/api/v1/  {written}\n"
        )
