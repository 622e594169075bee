"""A grant that is still to be ended at the provider."""

import uuid

from django.db import models

from console.sealed import SealedField
from console.tenancy import PartnerOwned


class Revocation(PartnerOwned):
    """A token that nobody uses any more, kept only until its provider has revoked it (RFC 7009).

    It stands by itself: the installation may be gone. The row goes when it is done or given up.
    """

    # A partner is not deleted while a grant of its customers is still to be ended.
    partner = models.ForeignKey("console.Partner", models.PROTECT)
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    connector = models.CharField(max_length=100)
    release = models.ForeignKey("connectors.Release", models.PROTECT, null=True, editable=False)
    auth_method = models.CharField(max_length=50)
    installation_id = models.UUIDField()
    # {"token": {…}, "values": {…}, "account": "…"}: the token, what fills the manifest's templates, and the
    # external account, "" where the grant is to end whatever lives by it.
    grant = SealedField()
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"revocation of {self.created_at:%Y-%m-%d %H:%M}"
