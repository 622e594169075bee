"""The release of a connector that an installation was made with stays with it.

A library's folder changes with the product; what has been installed goes on by the manifest it was installed
with, until it is upgraded.
"""

from functools import lru_cache

from connectors import registry
from connectors.manifest import BadManifest
from connectors.models import Release
from connectors.registry import Connector


def keep(connector: Connector) -> str:
    """Remember this release; its digest, which is its name."""
    files = connector.files
    Release.objects.get_or_create(
        digest=connector.digest,
        defaults={
            "connector": connector.slug,
            "version": connector.manifest.version,
            "manifest": files.manifest,
            "guide": files.guide,
            "logo": files.logo,
        },
    )
    return connector.digest


def find(slug: str, digest: str | None) -> Connector | None:
    """The connector of this release; today's where none is named, None where it is gone."""
    current = registry.get(slug)
    if not digest or (current and current.digest == digest):
        return current
    return _released(digest) or current


@lru_cache(maxsize=1000)
def _released(digest: str) -> Connector | None:
    row = Release.objects.filter(digest=digest).first()
    if row is None:
        return None
    files = registry.Files(row.manifest, row.guide, bytes(row.logo))
    try:
        return registry.made_of(row.connector, files)
    except BadManifest:
        # Written for an older form of manifests, which this version of the product no longer reads.
        return None
