"""What a release may do to tables that are large and in use, all at once."""

from pathlib import Path

import installations.migrations
from console import expanding
from django.db import migrations, models

LAST = max(path.stem for path in Path(installations.migrations.__path__[0]).glob("[0-9]*.py"))


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("installations", LAST)]
    operations = [
        migrations.AddField("installation", "colour", models.CharField(max_length=20, db_default="grey")),
        migrations.AddField("credentialversion", "colour", models.CharField(max_length=20, db_default="grey")),
        migrations.CreateModel(
            "Shade",
            [
                ("id", models.BigAutoField(primary_key=True)),
                ("installation", models.ForeignKey("installations.Installation", models.CASCADE)),
            ],
        ),
        expanding.AddIndex("installation", models.Index(fields=["partner", "colour", "id"], name="by_colour")),
    ]
