"""The wizard's steps, derived from the manifest and from the saved rows.

Nothing about the walk is kept but what the rows say: a step applies or not, is done or not, and one
gate leads to the first that is not. The same steps serve a console user and a setup link.
"""

from collections.abc import Callable
from dataclasses import dataclass

from django.urls import reverse

from connectors.manifest import AuthMethod, Property, holds
from connectors.models import ConnectorSettings
from console.problems import ProblemError
from console.tenancy import Principal
from installations import authorization, connecting
from installations.auth import Token
from installations.models import AuthorizationRequest, Installation, Setup, SetupLink, Status
from installations.values import resolve


class Walk:
    """One person's way through the setup of one installation."""

    def __init__(
        self,
        principal: Principal,
        installation: Installation,
        link: SetupLink | None = None,
        *,
        reviewed: bool = True,
    ):
        self.principal = principal
        self.installation = installation
        self.link = link
        # Whether this person has: what a mail scanner or a colleague pressed is not for them.
        self.reviewed = reviewed
        self.partner = installation.partner
        self.settings = ConnectorSettings.objects.for_connector(
            installation.partner_id, installation.connector
        )
        setup = installation.open_setup()
        # Another's is taken over, without their secrets, when this person begins.
        self.setup: Setup | None = setup if setup and setup.setup_link_id == principal.setup_link_id else None
        if self.setup:
            self.setup.installation = installation
        today = installation.current or installation.definition
        self.connector = self.setup.definition if self.setup else today
        if self.connector is None:
            raise ProblemError("connector_gone")
        self.manifest = self.connector.manifest

    @property
    def base_template(self) -> str:
        return "base_customer.html" if self.link else "base_console.html"

    def url(self, step: str) -> str:
        if self.link:
            return reverse("setup-step", args=[self.link.pk, step])
        return reverse("installation-setup", args=[self.installation.pk, step])

    @property
    def offered(self) -> list[AuthMethod]:
        return [self.manifest.method(type) for type in self.settings.offered_methods(self.manifest)]

    @property
    def method(self) -> AuthMethod | None:
        """The auth method chosen, or the only one there is."""
        offered = {method.key: method for method in self.offered}
        if self.is_finished and self.installation.auth_method in offered:
            return offered[self.installation.auth_method]
        if self.setup and self.setup.auth_method in offered:
            return offered[self.setup.auth_method]
        return next(iter(offered.values())) if len(offered) == 1 else None

    @property
    def known(self) -> dict[str, str]:
        """What conditions ask for beyond this page: the partner's values and the choice of method."""
        stored = self.settings.values or {}
        public = {prop.name: stored.get(prop.name, "") for prop in self.manifest.properties}
        chosen = self.manifest.method_property
        if chosen and self.method and self.method.chosen_by:
            entered = (self.setup.values or {}) if self.setup else {}
            public[chosen] = entered.get(chosen) or self.method.chosen_by[0]
        return {name: value for name, value in public.items() if value}

    def values(self, token: Token | None = None) -> dict[str, str]:
        """Every value known for this setup, the credential's own among them."""
        setup, stored = self.setup, self.settings.values_for(self.manifest, self.method.key)
        own = token.values if token else {}
        return resolve(self.manifest, self.method.key, stored, setup.values or {}, setup.found, own)

    @property
    def asked(self) -> list[Property]:
        return connecting.asked(self.manifest, self.settings, self.method.key) if self.method else []

    @property
    def is_interactive(self) -> bool:
        return bool(self.method) and self.method.is_interactive

    @property
    def redirect_uri(self) -> str:
        """What to register at the provider for the application that this setup uses."""
        interactive = next((method.key for method in self.manifest.auth_methods if method.is_interactive), "")
        setup = self.setup or Setup(installation=self.installation)
        if not self.is_interactive:
            setup = Setup(installation=self.installation, auth_method=interactive)
        return authorization.registration(self.manifest, self.settings, setup).redirect_uri

    @property
    def is_finished(self) -> bool:
        """Connected, and nothing begun since. A link is finished for good once it led there."""
        if self.link and self.link.completed_at:
            return True
        return not self.link and not self.setup and self.installation.status == Status.CONNECTED

    def steps(self) -> list["Step"]:
        return [step for step in STEPS if step.applies(self)]

    def first_unfinished(self) -> "Step":
        if self.is_finished:
            return STEPS[-1]
        return next((step for step in self.steps() if not step.is_done(self)), STEPS[-1])

    def may_see(self, slug: str) -> bool:
        """Steps that are done, and the first that is not, while the setup is open."""
        if self.is_finished or slug == STEPS[-1].slug:
            return self.is_finished and slug == STEPS[-1].slug
        for step in self.steps():
            if step.slug == slug:
                return True
            if not step.is_done(self):
                return False
        return False

    def previous(self, slug: str) -> str | None:
        slugs = [step.slug for step in self.steps()]
        place = slugs.index(slug) if slug in slugs else 0
        return self.url(slugs[place - 1]) if place else None

    def progress(self, slug: str) -> list[tuple[str, str]]:
        """Each step's title with "done", "current" or "ahead".

        The address, rarely asked, is not drawn ahead.
        """
        steps = self.steps()
        place = next((index for index, step in enumerate(steps) if step.slug == slug), len(steps))
        return [
            (step.title, "done" if index < place else "current" if index == place else "ahead")
            for index, step in enumerate(steps)
        ]


def walk_of(row: AuthorizationRequest) -> Walk | None:
    """The walk in which consent was asked for; None where its installation is deleted by now."""
    rows = Installation.objects.select_related("account", "partner")
    installation = rows.filter(pk=row.installation_id).first()
    if installation is None:
        return None
    link = SetupLink.objects.get(pk=row.setup_link_id) if row.setup_link_id else None
    return Walk(authorization.principal_of(row), installation, link)


@dataclass(frozen=True)
class Step:
    slug: str
    title: str
    applies: Callable[[Walk], bool]
    is_done: Callable[[Walk], bool]


def _details_done(walk: Walk) -> bool:
    setup = walk.setup
    if not setup:
        return False
    if setup.token is not None:
        return True
    entered = {**(setup.values or {}), **walk.known}
    needed = [
        prop
        for prop in walk.asked
        if holds(prop.visible_if, entered)
        and (prop.required or (prop.required_if and holds(prop.required_if, entered)))
    ]
    return walk.is_interactive and all(prop.name in setup.stored for prop in needed)


def _has_token(walk: Walk) -> bool:
    return bool(walk.setup and walk.setup.token is not None)


def _choices(walk: Walk) -> list[Property]:
    return connecting.lookups(walk.manifest, walk.setup)


STEPS = [
    Step(
        "review",
        "Review",
        lambda walk: True,
        lambda walk: bool(walk.reviewed and walk.setup and walk.setup.reviewed_at),
    ),
    Step("method", "Choose how", lambda walk: len(walk.offered) > 1, lambda walk: walk.method is not None),
    Step(
        "details",
        "Details",
        lambda walk: walk.method is None or bool(walk.asked) or not walk.is_interactive,
        _details_done,
    ),
    Step(
        "consent",
        "Allow access",
        lambda walk: walk.is_interactive,
        lambda walk: bool(walk.setup and walk.setup.token is not None),
    ),
    Step(
        "address", "Address", lambda walk: bool(walk.setup and walk.setup.address_needed), lambda walk: False
    ),
    Step(
        "choose",
        "Choose",
        lambda walk: _has_token(walk) and not walk.setup.address_needed and bool(_choices(walk)),
        lambda walk: False,
    ),
    Step(
        "check",
        "Check",
        lambda walk: _has_token(walk) and not walk.setup.address_needed and not _choices(walk),
        lambda walk: False,
    ),
    Step("done", "Connected", lambda walk: True, lambda walk: walk.is_finished),
]
