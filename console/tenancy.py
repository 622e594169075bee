"""Who asks, and what belongs to them.

A console user, an API key and a setup link all become a Principal. Views may write
`.objects.visible_to(principal)` and nothing else after `.objects`; a test reads that from the
syntax tree.
"""

from dataclasses import dataclass, replace
from functools import wraps
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.db import models
from django.shortcuts import redirect

from console.problems import ProblemError


@dataclass(frozen=True)
class Principal:
    """Somebody acting for one partner.

    A setup link's principal is confined to one installation and sees nothing else of the partner. That of
    an API key sees either try-outs or the rest, and perhaps one account alone.
    """

    partner_id: UUID
    actor: str
    user_id: int | None = None
    setup_link_id: UUID | None = None
    installation_id: UUID | None = None
    api_key_id: UUID | None = None
    account_id: UUID | None = None
    is_test: bool = False

    def of_all_accounts(self) -> "Principal":
        """For rows that know no account, once it is known that what they are about is the caller's."""
        return replace(self, account_id=None)

    @property
    def is_customer(self) -> bool:
        return self.setup_link_id is not None


class TenantQuerySet(models.QuerySet):
    def visible_to(self, principal: Principal) -> "TenantQuerySet":
        rows = self.filter(partner_id=principal.partner_id)
        if principal.api_key_id:
            return rows.reached_by(principal)
        if not principal.is_customer:
            return rows
        path = self.model.installation_path
        return rows.filter(**{path: principal.installation_id}) if path else rows.none()

    def reached_by(self, principal: Principal) -> "TenantQuerySet":
        """Of a partner's rows those that an API key may reach."""
        rows = self.none() if principal.is_test and self.model.is_live else self
        if path := self.model.tryout_path:
            rows = rows.filter(**{path: principal.is_test})
        if principal.account_id is None:
            return rows
        path = self.model.account_path
        return rows.filter(**{path: principal.account_id}) if path else rows.none()

    def held(self, hold: bool) -> "TenantQuerySet":
        """Where `hold` is true, nobody else changes what is read before the transaction ends."""
        return self.select_for_update(of=["self"]) if hold else self


class PartnerOwned(models.Model):
    """A tenant table: each row carries its partner, so that no join decides who sees it."""

    # How a row leads to its installation; None hides the table from setup links altogether.
    installation_path: str | None = None
    # How it leads to its account; None hides the table from API keys that are confined to one.
    account_path: str | None = None
    # How it leads to whether it is about a try-out, where it is about an installation.
    tryout_path: str | None = None
    # Whether it is about what customers have installed alone, so that no test key sees it.
    is_live = False

    partner = models.ForeignKey("console.Partner", models.CASCADE)

    objects = TenantQuerySet.as_manager()

    class Meta:
        abstract = True


def partner_member(view):
    """Let a signed-in member of an active partner in, with `request.principal` set.

    Raises ProblemError "no_partner" or "partner_disabled" for anybody else who is signed in.
    """

    @login_required
    @wraps(view)
    def wrapper(request, *args, **kwargs):
        # Not cached in the session: an ended membership or a disabled partner counts at once.
        partner = request.user.partner()
        if partner is None and request.user.is_staff and request.path == "/":
            return redirect("admin:index")
        if partner is None:
            raise ProblemError("no_partner")
        if not partner.is_active:
            raise ProblemError("partner_disabled")
        request.partner = partner
        request.principal = Principal(
            partner_id=partner.pk, actor=request.user.email, user_id=request.user.pk
        )
        return view(request, *args, **kwargs)

    wrapper.is_partner_page = True
    return wrapper
