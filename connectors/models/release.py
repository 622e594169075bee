"""A connector as it was when something was installed with it."""

from django.db import models

from connectors import registry
from connectors.manifest import BadManifest


class Release(models.Model):
    """A connector as it was when something was installed with it: the library's folder, at that time."""

    # Of what it is made of; the same content is the same release.
    digest = models.CharField(max_length=64, primary_key=True)
    connector = models.CharField(max_length=100, db_index=True)
    version = models.CharField(max_length=9)
    manifest = models.TextField()
    guide = models.TextField()
    logo = models.BinaryField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["connector", "-created_at"]

    def __str__(self) -> str:
        return f"{self.connector} {self.version}"

    def connector_as_it_was(self) -> registry.Connector | None:
        """None where it was written for an older form of manifests, which this product no longer reads."""
        try:
            files = registry.Files(self.manifest, self.guide, bytes(self.logo))
            return registry.made(self.connector, files)
        except BadManifest:
            return None
