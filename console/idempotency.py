"""Idempotency-Key: a request that is sent twice is done once.

draft-ietf-httpapi-idempotency-key-header. What was done is answered again for a day, word for word; what
was refused changed nothing, so it is tried anew.
"""

import re
from collections.abc import Callable
from contextlib import nullcontext
from datetime import timedelta
from functools import wraps

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from console import crypto
from console.models import ApiCall
from console.problems import ProblemError
from console.tidying import daily, throw_away

KEPT = timedelta(days=1)
# Longer than any call takes; the call of a process that was killed is done anew afterwards.
HELD = timedelta(minutes=5)
_REPEATED = ("Content-Type", "Location", "ETag")


def idempotent(operation: Callable | None = None, *, whole: bool = True):
    """Do it once for each Idempotency-Key. `whole`: with its answer in one transaction, so it asks nobody."""
    if operation is None:
        return lambda function: idempotent(function, whole=whole)

    @wraps(operation)
    def wrapper(request: HttpRequest, *args, **kwargs) -> HttpResponse:
        key = request.headers.get("Idempotency-Key")
        if key is None:
            return operation(request, *args, **kwargs)
        call = _begin(request, key)
        if call.answer:
            return _again(call.answer)
        try:
            with transaction.atomic() if whole else nullcontext():
                response = operation(request, *args, **kwargs)
                _keep(call, response)
        except BaseException:
            ApiCall.objects.filter(pk=call.pk, answer__isnull=True).delete()
            raise
        return response

    return wrapper


def _begin(request: HttpRequest, key: str) -> ApiCall:
    """The call with this key, to be done by us or answered already. Raises ProblemError."""
    if not re.fullmatch(r"[\x21-\x7e]{1,200}", key):
        raise ProblemError("idempotency_key_unusable")
    asked = crypto.digest(f"{request.method}\n{request.get_full_path()}\n{crypto.digest_of(request.body)}")
    now = timezone.now()
    ApiCall.objects.filter(
        api_key=request.api_key, key_digest=crypto.digest(key), created_at__lt=now - KEPT
    ).delete()
    call, is_ours = ApiCall.objects.get_or_create(
        api_key=request.api_key,
        key_digest=crypto.digest(key),
        defaults={
            "partner_id": request.principal.partner_id,
            "request_digest": asked,
            "held_until": now + HELD,
        },
    )
    if is_ours:
        return call
    if call.request_digest != asked:
        raise ProblemError("idempotency_key_reused")
    if not call.answer:
        abandoned = ApiCall.objects.filter(pk=call.pk, answer__isnull=True, held_until=call.held_until)
        if call.held_until > now or not abandoned.update(held_until=now + HELD):
            raise ProblemError("idempotency_under_way", retry_after=timedelta(seconds=2))
    return call


def _keep(call: ApiCall, response: HttpResponse) -> None:
    call.answer = {
        "status": response.status_code,
        "headers": {name: response[name] for name in _REPEATED if name in response},
        "body": response.content.decode(),
    }
    call.save(update_fields=["answer"])


def _again(kept: dict) -> HttpResponse:
    response = HttpResponse(kept["body"].encode(), status=kept["status"])
    for name, value in kept["headers"].items():
        response[name] = value
    response["Idempotent-Replayed"] = "true"
    return response


@daily
def forget_calls() -> None:
    throw_away(ApiCall.objects.filter(created_at__lt=timezone.now() - KEPT))
