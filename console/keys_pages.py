"""The pages of API keys: make, change, rotate, revoke. What is written is shown once."""

from copy import copy
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from console import crypto
from console.keys_forms import ApiKeyForm, NewApiKeyForm, RotateForm
from console.models import ApiKey, Event
from console.paging import LongPaginator
from console.tenancy import partner_member

PAGE_SIZE = 50


@require_safe
@partner_member
def api_keys(request: HttpRequest) -> HttpResponse:
    rows = ApiKey.objects.visible_to(request.principal)
    page = LongPaginator(rows, PAGE_SIZE, joined=["account"]).get_page(request.GET.get("page"))
    return render(request, "console/api_keys.html", {"page": page})


@require_http_methods(["GET", "HEAD", "POST"])
@partner_member
def add(request: HttpRequest) -> HttpResponse:
    """Make one. Its secret is shown once, in the answer to this very request."""
    new = ApiKey(partner=request.partner, created_by=request.user.email)
    form = NewApiKeyForm(
        request.POST if request.method == "POST" else None, instance=new, principal=request.principal
    )
    if request.method == "POST" and form.is_valid():
        new.pk, new.expires_at = form.cleaned_data["id"], form.expires_at()
        written = new.issue()
        try:
            with transaction.atomic():
                new.save(force_insert=True)
                said = f"The API key “{new.name}” was made"
                Event.objects.record("api_key.made", request.principal, said, subject=new, scopes=new.scopes)
        except IntegrityError:  # the same form, sent before
            messages.info(request, "That key was made already, and its secret is shown only once.")
            return redirect("api-keys")
        return _shown_once(request, new, written, title=f"{new.name} is ready")
    return render(request, "console/api_key_add.html", {"form": form}, status=422 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@partner_member
def api_key(request: HttpRequest, key_id: UUID) -> HttpResponse:
    row = _key(request, key_id)
    if request.method == "POST" and row.revoked_at:
        return _over(request, row)
    form = ApiKeyForm(request.POST if request.method == "POST" else None, instance=copy(row))
    if request.method == "POST" and form.is_valid():
        with transaction.atomic():
            # These alone: somebody may have revoked it since this request began.
            form.instance.save(update_fields=["name", "scopes", "networks", "credentials_per_minute"])
            said = f"The API key “{form.instance.name}” was changed"
            names = ("scopes", "networks", "credentials_per_minute")
            facts = {name: getattr(form.instance, name) for name in names}
            Event.objects.record("api_key.changed", request.principal, said, subject=row, **facts)
        messages.success(request, "Saved.")
        return redirect("api-key", row.pk)
    context = {
        "key": row,
        "form": form,
        "events": Event.objects.visible_to(request.principal).filter(subject_id=row.pk)[:10],
    }
    return render(request, "console/api_key.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@partner_member
def rotate(request: HttpRequest, key_id: UUID) -> HttpResponse:
    """A new secret in place of the one until now, shown once."""
    row = _key(request, key_id)
    if row.state != "active":
        return _over(request, row)
    # Says nothing of the secret, and is another one once that was replaced.
    now = crypto.digest(row.digest)
    form = RotateForm(request.POST if request.method == "POST" else None, initial={"of": now})
    if request.method == "POST" and form.is_valid():
        overlap = form.cleaned_data["overlap"]
        with transaction.atomic():
            written = row.rotate(overlap) if form.cleaned_data["of"] == now else ""
            if written:
                facts = {"overlap_hours": int(overlap.total_seconds() // 3600)}
                said = f"The API key “{row.name}” was rotated"
                Event.objects.record("api_key.rotated", request.principal, said, subject=row, **facts)
        if not written:
            messages.info(request, "That was done already, and the new secret is shown only once.")
            return redirect("api-key", row.pk)
        row.refresh_from_db()
        return _shown_once(request, row, written, title=f"{row.name} has a new secret")
    context = {"key": row, "form": form}
    return render(request, "console/api_key_rotate.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@partner_member
def revoke(request: HttpRequest, key_id: UUID) -> HttpResponse:
    row = _key(request, key_id)
    if row.revoked_at:
        return _over(request, row)
    if request.method == "POST":
        with transaction.atomic():
            if row.revoke():
                said = f"The API key “{row.name}” was revoked"
                Event.objects.record("api_key.revoked", request.principal, said, subject=row)
        messages.success(request, f"{row.name} opens nothing any more.")
        return redirect("api-keys")
    return render(request, "console/api_key_revoke.html", {"key": row})


def _key(request: HttpRequest, key_id: UUID) -> ApiKey:
    rows = ApiKey.objects.visible_to(request.principal).select_related("account")
    return get_object_or_404(rows, pk=key_id)


def _over(request: HttpRequest, row: ApiKey) -> HttpResponse:
    was = "was revoked" if row.revoked_at else "has expired"
    messages.info(request, f"{row.name} {was}. Make another key in its place.")
    return redirect("api-key", row.pk)


def _shown_once(request: HttpRequest, row: ApiKey, written: str, *, title: str) -> HttpResponse:
    call = f'curl -H "Authorization: Bearer $API_KEY" "{settings.BASE_URL}/api/v1/installations?limit=5"'
    context = {"key": row, "written": written, "title": title, "call": call if row.may("read") else ""}
    response = render(request, "console/api_key_made.html", context)
    response["Cache-Control"] = "no-store"
    return response
