"""The release of a connector that an installation was made with stays with it.

A library's folder changes with the product; what has been installed goes on by the manifest it was installed
with, until it is upgraded.
"""

from functools import lru_cache

from connectors import registry
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
    return of(digest) or current


def of(digest: str) -> Connector | None:
    """The connector of a release, None where there is none that can be read."""
    try:
        return _kept(digest)
    except Release.DoesNotExist:
        return None


@lru_cache(maxsize=1000)
def _kept(digest: str) -> Connector | None:
    return Release.objects.get(digest=digest).connector_as_it_was()
