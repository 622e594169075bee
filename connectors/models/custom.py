"""A partner's own connectors."""

import uuid

from django.db import models

from connectors import registry
from connectors.manifest import BadManifest
from connectors.models.release import Release
from console.tenancy import PartnerOwned, TenantQuerySet


class CustomConnectorQuerySet(TenantQuerySet):
    def offered(self) -> "CustomConnectorQuerySet":
        """Those that can be installed."""
        return self.filter(live__isnull=False, deprecated_at=None)


class CustomConnector(PartnerOwned):
    """A connector of a partner's own: the draft that is worked on, and the release that is live.

    What is wrong with a text is said before it is stored; a later version of the product may read less.
    """

    # Of one partner.
    AT_MOST = 200

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    slug = models.CharField(max_length=67)
    manifest = models.TextField()
    guide = models.TextField()
    # Empty: its initials are drawn.
    logo = models.BinaryField(blank=True)
    # Texts by the names of their files. They came with a folder and go out with it; no release has them.
    samples = models.JSONField(default=dict, db_default=models.Value({}, models.JSONField()))
    live = models.ForeignKey(Release, models.PROTECT, null=True, related_name="+")
    # The draft that was last connected in a try-out.
    tried = models.ForeignKey(Release, models.SET_NULL, null=True, related_name="+")
    tried_at = models.DateTimeField(null=True)
    deprecated_at = models.DateTimeField(null=True)
    updated_by = models.CharField(max_length=254)
    updated_at = models.DateTimeField(auto_now=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = CustomConnectorQuerySet.as_manager()

    class Meta:
        ordering = ["slug"]
        constraints = [models.UniqueConstraint(fields=["partner", "slug"], name="one_custom_connector")]

    def __str__(self) -> str:
        return f"{self.slug} of {self.partner}"

    @property
    def files(self) -> registry.Files:
        return registry.Files(self.manifest, self.guide, bytes(self.logo))

    @property
    def draft(self) -> registry.Connector:
        """One that can no longer be read is none that anybody would install: see `fault`."""
        try:
            return registry.made(self.slug, self.files)
        except BadManifest:
            return registry.unreadable(self.slug)

    @property
    def fault(self) -> str:
        """Why the draft cannot be read any more, a line for each mistake."""
        try:
            registry.made(self.slug, self.files)
        except BadManifest as error:
            return str(error)
        return ""

    @property
    def released(self) -> registry.Connector | None:
        return self.live.connector_as_it_was() if self.live else None

    @property
    def state(self) -> str:
        """draft, changed, live or deprecated."""
        if self.live is None:
            return "draft"
        if self.deprecated_at:
            return "deprecated"
        return "live" if self.draft.digest == self.live_id else "changed"

    @property
    def was_tried(self) -> bool:
        """Whether the draft, whatever version it calls itself, was connected in a try-out."""
        if self.tried is None or self.fault:
            return False
        same = registry.with_version(self.files, self.tried.version)
        return registry.made(self.slug, same).digest == self.tried_id


class Publication(PartnerOwned):
    """One release of a custom connector, made live."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    custom = models.ForeignKey(CustomConnector, models.CASCADE)
    release = models.ForeignKey(Release, models.PROTECT)
    # Sentences: in what it differs from the release before it.
    changes = models.JSONField(default=list)
    published_by = models.CharField(max_length=254)
    published_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-published_at"]

    def __str__(self) -> str:
        return f"{self.release} on {self.published_at:%Y-%m-%d}"
