"""A mail server, a partner with customers, and jobs that are done when a test says so."""

import re
from datetime import datetime, timedelta

import pytest

from connectors import registry, releases
from console import clock, jobs
from console.models import Account, Job, Partner
from console.tenancy import Principal
from installations import attention
from installations.models import Credential, CredentialVersion, Installation, Status
from tests.stand_ins.smtp import MailServer

SLUG = "heartland-retail"


@pytest.fixture
def mails(settings) -> MailServer:
    with MailServer() as server:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.port
        settings.EMAIL_HOST_USER = settings.EMAIL_HOST_PASSWORD = ""
        settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
        yield server


def customer(partner: Partner, of: str = "Harbor Street Outfitters", /, **fields) -> Installation:
    """A connected installation in an account of its own, which has an e-mail address."""
    number = Account.objects.count()
    email = fields.pop("email", f"shop-{number}@customer.example")
    account = Account.objects.create(partner=partner, name=of, email=email)
    row = Installation.objects.create(
        partner=partner,
        account=account,
        connector=SLUG,
        release_id=releases.keep(registry.get(SLUG)),
        auth_method="api_key",
        status=Status.CONNECTED,
        **{"external_account_name": "Harbor Stores", **fields},
    )
    version = CredentialVersion.objects.create(
        partner=partner, installation=row, token={"access_token": "canary-token", "granted_scopes": None}
    )
    Credential.objects.create(partner=partner, installation=row, current=version)
    return row


def breaks(*rows: Installation, problem: str = "credential_rejected") -> None:
    for row in rows:
        row.refresh_from_db()
        assert attention.need(row, row.current_version(), problem)


def mends(row: Installation) -> None:
    assert row.worked(row.current_version())


def do(kind: str, after: timedelta = timedelta(0)) -> int:
    """Do the jobs of this kind that are due by then, now; how many that were. The others wait."""
    others = list(Job.objects.exclude(kind=kind))
    Job.objects.exclude(kind=kind).update(due_at=clock.now() + timedelta(days=1))
    now = clock.now()
    rows = Job.objects.filter(kind=kind, due_at__lte=now + after)
    rows.update(due_at=now - timedelta(seconds=1))
    done = 0
    while held := jobs.claim():
        jobs.run(held)
        done += 1
    for job in others:
        Job.objects.filter(pk=job.pk).update(due_at=job.due_at)
    return done


def due(kind: str) -> datetime | None:
    return Job.objects.filter(kind=kind).values_list("due_at", flat=True).first()


def body(mail) -> str:
    return mail.get_content().replace("\r\n", "\n")


def addresses(text: str) -> set[str]:
    """What a mail program makes a link of: addresses with and without a scheme, shares, mail addresses."""
    return set(
        re.findall(
            r"(?:\w+://|\\\\)\S+|[\w.+-]+@[\w-]+\.\w[\w.-]*|(?<![\w/@])(?:[\w-]+[.。．｡])+\w{2,}\S*", text
        )
    )


def actor(partner: Partner) -> Principal:
    return Principal(partner_id=partner.pk, actor="owner@northwind.example")
