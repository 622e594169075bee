"""The wizard's pages, for a console user and for a customer with a setup link."""

from collections.abc import Callable

from csp.constants import SELF
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from connectors.forms import PropertiesForm
from console import http, throttle
from console.models import Event
from console.problems import PROBLEMS, ProblemError, problem_page
from installations import authorization, connecting, links, verification
from installations.auth import Token
from installations.connecting import ChoiceNeeded
from installations.entrances import console_user, customer
from installations.refused import PARTNERS
from installations.values import fill_scopes
from installations.verification import AddressUnknown
from installations.wizard import Walk


def start(request: HttpRequest, walk: Walk) -> HttpResponse:
    return redirect(walk.url(walk.first_unfinished().slug))


def step(request: HttpRequest, walk: Walk, slug: str) -> HttpResponse:
    if slug not in PAGES:
        raise Http404(f"no step {slug}")
    if request.method == "POST" and walk.setup and walk.method and walk.setup.auth_method != walk.method.key:
        # Where only one way is offered nobody chooses it.
        connecting.choose_method(walk.setup, walk.method.key)
    if not walk.may_see(slug):
        return start(request, walk)
    try:
        if request.method == "POST" and _asks_the_provider(walk, slug):
            # A link is no place to try out keys.
            throttle.spend(f"verify:{walk.installation.pk}", per_minute=20)
        # What is connected is shown whatever the partner has taken away since.
        if slug not in ("review", "done") and walk.method:
            _refuse_if_partner_is_due(walk)
        return PAGES[slug](request, walk)
    except ProblemError as error:
        return problem(request, walk, error)


def _asks_the_provider(walk: Walk, slug: str) -> bool:
    if slug == "consent":
        # OAuth 1.0a begins with a request of ours (RFC 5849, section 2.1).
        return walk.is_interactive and walk.method.type == "oauth1_redirection"
    return slug in ("details", "address", "choose", "check")


def _refuse_if_partner_is_due(walk: Walk) -> None:
    missing = connecting.missing_from_partner(walk.manifest, walk.settings, walk.method.key)
    if missing:
        raise ProblemError("partner_values_missing", words=", ".join(prop.label for prop in missing))


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


ABOUT_A_SETUP = ("setup.problem", "consent.refused")


def problem_shown(request: HttpRequest, walk: Walk, reference: str) -> HttpResponse:
    # One request may leave several lines, and these alone are about a setup.
    mine = Event.objects.visible_to(walk.principal).filter(kind__in=ABOUT_A_SETUP)
    event = get_object_or_404(mine, subject_id=walk.installation.pk, reference=reference)
    code = event.details.get("code", "")
    if code not in PROBLEMS:
        raise Http404(f"no problem {code}")
    request.reference = reference
    # Whoever typed the application's credentials here can mend them here.
    client = walk.manifest.client_registration(walk.method.key) if walk.method else set()
    own = code == "invalid_client" and any(prop.name in client for prop in walk.asked)
    onward = "details" if own and walk.may_see("details") else walk.first_unfinished().slug
    return problem_page(
        request,
        ProblemError(code, words=event.details.get("words", "")),
        connector=walk.connector.name,
        partner=walk.partner.name,
        own=own,
        settings_url="" if own or walk.principal.is_customer or code not in PARTNERS else _settings_of(walk),
        action_url=walk.url(onward),
        base_template=walk.base_template,
        walk=walk,
        installation=walk.installation,
        may_switch=code == "wrong_account" and not walk.principal.is_customer and walk.setup,
    )


def _settings_of(walk: Walk) -> str:
    return reverse("connector-settings", args=[walk.connector.slug])


def review(request: HttpRequest, walk: Walk) -> HttpResponse:
    if request.method == "POST":
        if walk.link:
            links.opened(walk.link)
        setup = connecting.begin(walk.installation, walk.principal)
        setup.reviewed_at = timezone.now()
        setup.save(update_fields=["reviewed_at"])
        walk.setup, walk.reviewed = setup, True
        onward = start(request, walk)
        return links.remember(onward, walk.link, reviewed=True) if walk.link else onward
    return page(request, walk, "review")


def method(request: HttpRequest, walk: Walk) -> HttpResponse:
    """Which way to connect: a choice of the ways themselves, or of the property that leads to them."""
    by = walk.manifest.method_property
    ways = {method.key: (method, method.label) for method in walk.offered}
    checked = walk.method and walk.method.key
    if by:
        prop = walk.manifest.property_named(by)
        leads_to = {value: method for method in walk.offered for value in method.chosen_by}
        ways = {c.value: (leads_to[c.value], c.label) for c in prop.choices if c.value in leads_to}
        checked = walk.method and walk.known.get(by)
    chosen = request.POST.get("auth_method", "")
    if request.method == "POST" and chosen in ways:
        key = ways[chosen][0].key
        if by or key != walk.setup.auth_method:
            connecting.choose_method(walk.setup, key, **({by: chosen} if by else {}))
        following = [found.slug for found in walk.steps()]
        return redirect(walk.url(following[following.index("method") + 1]))
    missing = request.method == "POST"
    choices = [(value, label, method.summary) for value, (method, label) in ways.items()]
    context = {"choices": choices, "checked": checked, "missing": missing}
    if by:
        context |= {"question": prop.label, "explanation": prop.description}
    return page(request, walk, "method", status=422 if missing else 200, **context)


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
        known=walk.known,
    )
    if request.method == "POST" and form.is_valid():
        if walk.is_interactive:
            connecting.take_values(setup, form.changes(), walk.principal)
            return redirect(walk.url("consent"))
        try:
            connecting.connect_with_values(
                walk.manifest, walk.settings, setup, form.changes(), walk.principal, walk.link
            )
            return redirect(walk.url("done"))
        except (AddressUnknown, ChoiceNeeded):
            return start(request, walk)
        except ProblemError as error:
            if error.code not in ("credential_rejected", "invalid_grant", "invalid_client") or not walk.asked:
                raise
            _note(request, walk, error)
            _say_refused(form, walk)
    anchors = {anchor for prop in walk.asked for anchor in prop.help_anchors}
    return page(request, walk, "details", 422 if form.errors else 200, form=form, anchors=anchors)


def _say_refused(form: PropertiesForm, walk: Walk) -> None:
    """Beside the one field that it can be, else above all of them."""
    if len(walk.asked) == 1:
        prop = walk.asked[0]
        said = f"does not accept this {prop.label}. Copy it again, or generate a new one."
        form.add_error(prop.name, f"{walk.connector.name} {said}")
    else:
        said = "does not accept this. Check each value; secrets must be entered again."
        form.add_error(None, f"{walk.connector.name} {said}")


def consent(request: HttpRequest, walk: Walk) -> HttpResponse:
    if request.method == "POST":
        return authorization.ask(
            walk.setup, walk.principal, lambda url: HttpResponse(status=303, headers={"Location": url})
        )
    labels, known = walk.method.scope_labels, walk.values()
    scopes = [
        (shown, labels.get(scope, ""))
        for scope in walk.settings.scopes_for(walk.method)
        for shown in fill_scopes([scope], known)
    ]
    response = page(
        request,
        walk,
        "consent",
        scopes=scopes,
        anchors=set(walk.method.help_anchors),
    )
    # Browsers hold a form's redirects against form-action as well, and a provider may lead on to the
    # sign-in of another origin: this one page, which shows nothing that others wrote, allows https.
    response._csp_update = {"form-action": [SELF, "https:", *sorted(set(settings.STAND_IN_ORIGINS.values()))]}
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
                walk.manifest,
                walk.settings,
                walk.setup,
                token,
                walk.principal,
                walk.link,
                **form.cleaned_data,
            )
            return redirect(walk.url("done"))
        except ChoiceNeeded:
            return start(request, walk)
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


def choose(request: HttpRequest, walk: Walk) -> HttpResponse:
    """What the provider offers now that it knows who asks: a list that only it has."""
    token = Token.from_json(walk.setup.token)
    open_choices = connecting.lookups(walk.manifest, walk.setup)
    known = walk.values(token)
    offered = {
        prop.name: verification.options(walk.manifest, walk.method, token, known, prop.lookup)
        for prop in open_choices
    }
    form = PropertiesForm(
        request.POST if request.method == "POST" else None, properties=open_choices, choices=offered
    )
    if request.method == "POST" and form.is_valid():
        walk.setup.set_values(form.changes(), walk.principal.actor)
        walk.setup.save(update_fields=["values", "stored"])
        connecting.connect(walk.manifest, walk.settings, walk.setup, token, walk.principal, walk.link)
        return redirect(walk.url("done"))
    anchors = {anchor for prop in open_choices for anchor in prop.help_anchors}
    return page(request, walk, "choose", 422 if form.errors else 200, form=form, anchors=anchors)


def check(request: HttpRequest, walk: Walk) -> HttpResponse:
    """A credential that is there, and could not be checked when it came."""
    if request.method == "POST" and request.POST.get("then") == "another":
        connecting.choose_method(walk.setup, walk.setup.auth_method)
        return start(request, walk)
    if request.method == "POST":
        try:
            token = Token.from_json(walk.setup.token)
            connecting.connect(walk.manifest, walk.settings, walk.setup, token, walk.principal, walk.link)
            return redirect(walk.url("done"))
        except (AddressUnknown, ChoiceNeeded):
            return start(request, walk)
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
    "choose": choose,
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
