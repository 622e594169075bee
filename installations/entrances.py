"""Ways into the wizard: a setup link for a customer, the console for a partner's people."""

from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_safe

from console.problems import ProblemError, problem_page
from console.tenancy import partner_member
from installations import authorization, links
from installations.models import Installation
from installations.wizard import Walk


def quiet(view, policy: str = "no-referrer"):
    """Pages on which a link's token, a code or a state may have been: nothing of their address leaves."""

    def wrapper(request, *args, **kwargs):
        response = view(request, *args, **kwargs)
        response["Referrer-Policy"] = policy
        return response

    wrapper.__name__ = view.__name__
    return wrapper


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
