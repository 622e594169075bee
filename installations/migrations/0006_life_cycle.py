import django.db.models.deletion
from django.db import migrations, models


def keep_to_support(apps, schema_editor):
    """So far nobody but support could switch one off."""
    rows = apps.get_model("installations", "Installation").objects.exclude(disabled_at=None)
    rows.update(disabled_by_support=True)


def name_clients(apps, schema_editor):
    """From the version in use; one that the account brought its own client for names none."""
    rows = apps.get_model("installations", "Installation").objects.exclude(stored__has_key="client_id")
    versions = apps.get_model("installations", "CredentialVersion").objects
    current = versions.filter(current_of__installation=models.OuterRef("pk")).exclude(client_digest="")
    found = current.values("client_digest")[:1]
    rows.filter(models.Exists(current)).update(client_digest=models.Subquery(found))


class Migration(migrations.Migration):

    dependencies = [
        ('connectors', '0005_background_work'),
        ('console', '0003_background_work'),
        ('installations', '0005_background_work'),
    ]

    operations = [
        migrations.AddField(
            model_name='installation',
            name='disabled_by_support',
            field=models.BooleanField(default=False, editable=False),
        ),
        migrations.AddField(
            model_name='installation',
            name='client_digest',
            field=models.CharField(blank=True, editable=False, max_length=64),
        ),
        migrations.AlterField(
            model_name='revocation',
            name='partner',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='console.partner'),
        ),
        migrations.AddIndex(
            model_name='installation',
            index=models.Index(condition=models.Q(('external_account_id', ''), _negated=True), fields=['partner', 'connector', 'external_account_id'], name='installation_by_external'),
        ),
        migrations.AddIndex(
            model_name='installation',
            index=models.Index(condition=models.Q(('client_digest', ''), _negated=True), fields=['partner', 'connector', 'client_digest', 'id', 'auth_method', 'is_tryout'], name='installation_by_client'),
        ),
        migrations.RunPython(name_clients, migrations.RunPython.noop),
        migrations.RunPython(keep_to_support, migrations.RunPython.noop),
    ]
