"""The wizard's pages, for a console user and for a customer with a setup link."""

from collections.abc import Callable
from uuid import UUID

from csp.constants import SELF
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_safe

from connectors.forms import PropertiesForm
from console import throttle
from console.models import Event
from console.problems import PROBLEMS, ProblemError, problem_page
from console.tenancy import partner_member
from installations import authorization, connecting, http, links
from installations.auth import Token
from installations.models import Installation
from installations.verification import AddressUnknown
from installations.wizard import Walk, walk_of


def quiet(view, policy: str = "no-referrer"):
    """Pages on which a link's token, a code or a state may have been: nothing of their address leaves."""

    def wrapper(request, *args, **kwargs):
        response = view(request, *args, **kwargs)
        response["Referrer-Policy"] = policy
        return response

    wrapper.__name__ = view.__name__
    return wrapper


# ── ways in ─────────────────────────────────────────────────────────────────────────────────────


@require_safe
@quiet
def open_setup_link(request: HttpRequest, token: str) -> HttpResponse:
    link = None
    try:
        link = links.open_link(request, token)
        links.refuse_closed(link)
    except ProblemError as error:
        # The same address again: to name it would echo what a guesser sent.
        known = {"partner": link.partner.name} if link else {}
        return problem_page(request, error, action_url="", **known)
    _, reviewed = links.remembered(request, link.pk)
    return links.remember(redirect("setup", link.pk, permanent=False), link, reviewed=reviewed)


def customer(view):
    """A page of a setup link. The browser must have opened the link; the link must be live or completed."""

    def wrapper(request: HttpRequest, link_id: UUID, *args, **kwargs):
        opened, reviewed = links.remembered(request, link_id)
        if not opened:
            return problem_page(request, ProblemError("link_closed_browser"), action_url="")
        link = links.find(link_id)
        if link is None:
            raise Http404("no such link")
        try:
            links.refuse_closed(link)
        except ProblemError as error:
            return problem_page(request, error, partner=link.partner.name, action_url=request.path)
        walk = Walk(authorization.link_principal(link), link.installation, link, reviewed=reviewed)
        return view(request, walk, *args, **kwargs)

    # These have forms: under "no-referrer" a browser says `Origin: null` when it sends one, and the
    # check of where it came from fails. Their addresses hold no secret.
    page = quiet(wrapper, policy="same-origin")
    page.is_customer_page = True
    return page


def console_user(view):
    @partner_member
    def wrapper(request: HttpRequest, installation_id: UUID, *args, **kwargs):
        installation = get_object_or_404(
            Installation.objects.visible_to(request.principal).select_related("account", "partner"),
            pk=installation_id,
        )
        if installation.disabled_at:
            raise ProblemError("installation_disabled")
        return view(request, Walk(request.principal, installation), *args, **kwargs)

    return wrapper


# ── one step ────────────────────────────────────────────────────────────────────────────────────


def start(request: HttpRequest, walk: Walk) -> HttpResponse:
    return redirect(walk.url(walk.first_unfinished().slug))


def step(request: HttpRequest, walk: Walk, slug: str) -> HttpResponse:
    if slug not in PAGES:
        raise Http404(f"no step {slug}")
    if request.method == "POST" and walk.setup and walk.method and walk.setup.auth_method != walk.method.type:
        # Where only one way is offered nobody chooses it.
        connecting.choose_method(walk.setup, walk.method.type)
    if not walk.may_see(slug):
        return start(request, walk)
    try:
        if request.method == "POST" and slug in ("details", "address", "check"):
            # Each of these asks the provider; a link is no place to try out keys.
            throttle.spend(f"verify:{walk.installation.pk}", per_minute=20)
        return PAGES[slug](request, walk)
    except ProblemError as error:
        return problem(request, walk, error)


def page(request: HttpRequest, walk: Walk, slug: str, status: int = 200, **context) -> HttpResponse:
    values = {"redirect_uri": walk.redirect_uri, "partner": walk.partner.name}
    anchors = context.pop("anchors", ())
    sections = [
        (section, section.render(**values))
        for section in walk.connector.guide.half("customer")
        if section.anchor in anchors
    ]
    context |= {
        "walk": walk,
        "connector": walk.connector,
        "installation": walk.installation,
        "base_template": walk.base_template,
        "progress": walk.progress(slug),
        "back": walk.previous(slug),
        "sections": sections,
        "slug": slug,
    }
    return render(request, f"installations/steps/{slug}.html", context, status=status)


def problem(request: HttpRequest, walk: Walk, error: ProblemError) -> HttpResponse:
    """Put the problem on the record and show its page under an address that can be loaded again."""
    Event.objects.record(
        "setup.problem",
        walk.principal,
        error.sentence(connector=walk.connector.name, partner=walk.partner.name),
        subject=walk.installation,
        reference=request.reference,
        code=error.code,
        words=error.words,
    )
    return redirect(walk.url(f"problem-{request.reference}"))


def problem_shown(request: HttpRequest, walk: Walk, reference: str) -> HttpResponse:
    event = get_object_or_404(
        Event.objects.visible_to(walk.principal).filter(subject_id=walk.installation.pk), reference=reference
    )
    code = event.details.get("code", "")
    if code not in PROBLEMS:
        raise Http404(f"no problem {code}")
    request.reference = reference
    # Whoever typed the application's credentials here can mend them here.
    own = code == "invalid_client" and any(prop.name == "client_secret" for prop in walk.asked)
    onward = "details" if own and walk.may_see("details") else walk.first_unfinished().slug
    return problem_page(
        request,
        ProblemError(code, words=event.details.get("words", "")),
        connector=walk.connector.name,
        partner=walk.partner.name,
        own=own,
        action_url=walk.url(onward),
        base_template=walk.base_template,
        walk=walk,
        installation=walk.installation,
        may_switch=code == "wrong_account" and not walk.principal.is_customer and walk.setup,
    )


def review(request: HttpRequest, walk: Walk) -> HttpResponse:
    if request.method == "POST":
        if walk.link:
            walk.link.start()
        setup = connecting.begin(walk.installation, walk.principal)
        setup.reviewed_at = timezone.now()
        setup.save(update_fields=["reviewed_at"])
        walk.setup, walk.reviewed = setup, True
        onward = start(request, walk)
        return links.remember(onward, walk.link, reviewed=True) if walk.link else onward
    return page(request, walk, "review")


def method(request: HttpRequest, walk: Walk) -> HttpResponse:
    chosen = request.POST.get("auth_method", "")
    if request.method == "POST" and chosen in [offered.type for offered in walk.offered]:
        if chosen != walk.setup.auth_method:
            connecting.choose_method(walk.setup, chosen)
        following = [found.slug for found in walk.steps()]
        return redirect(walk.url(following[following.index("method") + 1]))
    missing = request.method == "POST"
    return page(request, walk, "method", status=422 if missing else 200, missing=missing)


def details(request: HttpRequest, walk: Walk) -> HttpResponse:
    setup = walk.setup
    stored = setup.stored if walk.is_interactive else {}
    if walk.principal.is_customer:
        # Who works at the partner is nobody else's business.
        stored = {name: {"at": entry["at"]} for name, entry in stored.items()}
    form = PropertiesForm(
        request.POST if request.method == "POST" else None,
        properties=walk.asked,
        values=setup.values,
        stored=stored,
    )
    if request.method == "POST" and form.is_valid():
        if walk.is_interactive:
            connecting.take_values(setup, form.changes(), walk.principal)
            return redirect(walk.url("consent"))
        try:
            connecting.connect_with_key(walk.manifest, setup, form.changes(), walk.principal, walk.link)
            return redirect(walk.url("done"))
        except AddressUnknown:
            return redirect(walk.url("address"))
        except ProblemError as error:
            if error.code != "credential_rejected":
                raise
            _note(request, walk, error)
            form.add_error(
                walk.asked[0].name,
                f"{walk.connector.name} does not accept this {walk.asked[0].label}. "
                "Copy it again, or generate a new one.",
            )
    anchors = {anchor for prop in walk.asked for anchor in prop.help_anchors}
    return page(request, walk, "details", 422 if form.errors else 200, form=form, anchors=anchors)


def consent(request: HttpRequest, walk: Walk) -> HttpResponse:
    endpoint = http.browser_url(walk.method.authorization_endpoint)
    if request.method == "POST":
        return authorization.ask(
            walk.setup, walk.principal, lambda url: HttpResponse(status=303, headers={"Location": url})
        )
    labels = walk.method.scope_labels
    response = page(
        request,
        walk,
        "consent",
        scopes=[(scope, labels.get(scope, "")) for scope in walk.settings.scopes_for(walk.manifest)],
        anchors=set(walk.method.help_anchors),
    )
    # Browsers hold a form's redirects against form-action as well, and a provider may lead on to the
    # sign-in of another origin: this one page, which shows nothing that others wrote, allows https.
    origin = "/".join(endpoint.split("/")[:3])
    response._csp_update = {"form-action": [SELF, "https:", origin]}
    return response


def address(request: HttpRequest, walk: Walk) -> HttpResponse:
    fallbacks = [prop for prop in walk.manifest.properties if prop.fallback]
    form = PropertiesForm(
        request.POST if request.method == "POST" else None,
        properties=fallbacks,
        values=walk.installation.values,
    )
    if request.method == "POST" and form.is_valid():
        token = Token.from_json(walk.setup.token)
        try:
            connecting.connect(
                walk.manifest, walk.setup, token, walk.principal, walk.link, **form.cleaned_data
            )
            return redirect(walk.url("done"))
        except AddressUnknown:
            form.add_error(fallbacks[0].name, "No account was found at this address.")
        except ProblemError as error:
            # A mistyped address has no server, or another's.
            nobody_there = isinstance(error.__cause__, http.Unreachable) and error.__cause__.kind in (
                "address",
                "connection",
                "dns",
                "tls",
            )
            if not nobody_there and error.code not in ("credential_rejected", "provider_answer_unreadable"):
                raise
            _note(request, walk, error)
            form.add_error(
                fallbacks[0].name,
                f"No {walk.connector.name} account that accepts your credential was found at this address.",
            )
    anchors = {anchor for prop in fallbacks for anchor in prop.help_anchors}
    return page(request, walk, "address", 422 if form.errors else 200, form=form, anchors=anchors)


def check(request: HttpRequest, walk: Walk) -> HttpResponse:
    """A credential that is there, and could not be checked when it came."""
    if request.method == "POST" and request.POST.get("then") == "another":
        connecting.choose_method(walk.setup, walk.setup.auth_method)
        return start(request, walk)
    if request.method == "POST":
        try:
            token = Token.from_json(walk.setup.token)
            connecting.connect(walk.manifest, walk.setup, token, walk.principal, walk.link)
            return redirect(walk.url("done"))
        except AddressUnknown:
            return redirect(walk.url("address"))
        except ProblemError as error:
            if error.code == "credential_rejected":
                connecting.choose_method(walk.setup, walk.setup.auth_method)
            raise
    return page(request, walk, "check")


def done(request: HttpRequest, walk: Walk) -> HttpResponse:
    return_url = walk.link.return_url if walk.link else ""
    # Looked up now, not when the link was made: an address that was taken off the list leads nowhere.
    return page(
        request, walk, "done", return_url=return_url if return_url in walk.partner.return_urls else ""
    )


def _note(request: HttpRequest, walk: Walk, error: ProblemError) -> None:
    Event.objects.record(
        "credential.refused",
        walk.principal,
        "A credential was not accepted",
        subject=walk.installation,
        reference=request.reference,
        code=error.code,
        words=error.words,
    )


def switch(request: HttpRequest, walk: Walk) -> HttpResponse:
    """Console users only: from now on this setup may lead to another account than before."""
    if walk.principal.is_customer or not walk.setup:
        raise Http404("nothing to switch")
    walk.setup.switch_account = True
    walk.setup.save(update_fields=["switch_account"])
    Event.objects.record(
        "setup.switch_account",
        walk.principal,
        "Switching to another account was allowed",
        subject=walk.installation,
    )
    return start(request, walk)


PAGES: dict[str, Callable[[HttpRequest, Walk], HttpResponse]] = {
    "review": review,
    "method": method,
    "details": details,
    "consent": consent,
    "address": address,
    "check": check,
    "done": done,
}
METHODS = ["GET", "HEAD", "POST"]
setup = require_safe(customer(start))
setup_step = require_http_methods(METHODS)(customer(step))
setup_problem = require_safe(customer(problem_shown))
installation_start = require_safe(console_user(start))
installation_step = require_http_methods(METHODS)(console_user(step))
installation_problem = require_safe(console_user(problem_shown))
installation_switch = require_http_methods(["POST"])(console_user(switch))


# ── the answer about consent ────────────────────────────────────────────────────────────────────


@require_GET
@quiet
def oauth_callback(request: HttpRequest, registration_id: UUID) -> HttpResponse:
    """Whatever comes, the way on is a 303 to an address without code and state."""
    try:
        row = authorization.answer(request, registration_id)
    except authorization.Refused as refused:
        authorization.record_refusal(refused, registration_id, request.reference)
        walk = refused.row and walk_of(refused.row)
        if walk is None:
            return _see_other(f"/oauth/problem/{refused.code}/{request.reference}/")
        if refused.code == "attempt_used" and walk.is_finished:
            return _see_other(walk.url("done"))
        return _see_other(walk.url(f"problem-{request.reference}"))
    walk = walk_of(row)
    # The cookie stays its ten minutes: whoever sends the answer twice is told how it ended.
    return _see_other(walk.url(walk.first_unfinished().slug))


def _see_other(url: str) -> HttpResponse:
    return HttpResponse(status=303, headers={"Location": url})


@require_safe
@quiet
def oauth_problem(request: HttpRequest, code: str, reference: str) -> HttpResponse:
    """For an answer whose setup we do not know, or must not tell this browser."""
    if code not in ("attempt_unknown", "attempt_other_browser", "attempt_revoked"):
        raise Http404(f"no problem {code}")
    request.reference = reference
    return problem_page(request, ProblemError(code))
