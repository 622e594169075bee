import uuid

from django.db import migrations

from console import crypto
from console.sealed import Sealed


def seal_canary(apps, schema_editor):
    """Seal a known value with the keys in use, so that a later start notices other ones."""
    canary = apps.get_model("console", "KeyCanary")
    row_id = uuid.uuid4()
    # A migration's model has no partner_id to bind to, so the value arrives sealed.
    context = crypto.Context(canary._meta.db_table, "value", "", str(row_id))
    canary.objects.create(id=row_id, value=Sealed(crypto.seal("partner-console", context)))


class Migration(migrations.Migration):
    dependencies = [("console", "0001_initial")]
    operations = [migrations.RunPython(seal_canary, migrations.RunPython.noop)]
