import django.db.models.deletion
from django.db import migrations, models


def keep_to_support(apps, schema_editor):
    """So far nobody but support could switch one off."""
    rows = apps.get_model("installations", "Installation").objects.exclude(disabled_at=None)
    rows.update(disabled_by_support=True)


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
        migrations.RunPython(keep_to_support, migrations.RunPython.noop),
        migrations.AlterField(
            model_name='revocation',
            name='partner',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='console.partner'),
        ),
        migrations.AddIndex(
            model_name='credentialversion',
            index=models.Index(fields=['partner', 'client_digest'], name='version_by_client'),
        ),
        migrations.AddIndex(
            model_name='installation',
            index=models.Index(condition=models.Q(('external_account_id', ''), _negated=True), fields=['partner', 'connector', 'external_account_id'], name='installation_by_external'),
        ),
    ]
