"""Installations from before there was background work get the jobs that a new connection gets."""

import random
from datetime import timedelta

from django.db import migrations
from django.utils import timezone

BATCH = 2_000


def schedule(apps, schema_editor):
    Job = apps.get_model("console", "Job")
    Credential = apps.get_model("installations", "Credential")
    now = timezone.now()

    def spread():
        # Over a day, so that the providers are not asked about all of them at once.
        return now + timedelta(days=random.random())

    def add(jobs):
        Job.objects.bulk_create(jobs, batch_size=BATCH, ignore_conflicts=True)

    jobs = []
    held = Credential.objects.filter(installation__status__in=["connected", "needs_attention"])
    for credential in held.select_related("current").defer("current__token").iterator(BATCH):
        of = {"partner_id": credential.partner_id, "subject_id": credential.installation_id}
        jobs.append(Job(kind="check", due_at=spread(), **of))
        if credential.current.expires_at:
            # Whether it can be renewed, and when, is found out then; most have long run out.
            due = max(credential.current.expires_at - timedelta(minutes=15), now)
            jobs.append(Job(kind="renew", due_at=due, **of))
        if len(jobs) >= BATCH:
            add(jobs)
            jobs = []
    for pk, partner_id in apps.get_model("connectors", "ConnectorSettings").objects.values_list("pk", "partner_id"):
        jobs.append(Job(kind="scopes", due_at=now, partner_id=partner_id, subject_id=pk))
    add(jobs)


class Migration(migrations.Migration):

    dependencies = [
        ("connectors", "0005_background_work"),
        ("console", "0003_background_work"),
        ("installations", "0008_health"),
    ]

    operations = [migrations.RunPython(schedule, migrations.RunPython.noop)]
