import uuid
from datetime import timedelta

from django import forms
from django.core.signing import BadSignature, Signer
from django.utils.html import format_html

from installations.models import WebhookEndpoint
from installations.webhooks import endpoints
from installations.webhooks.types import TYPES

ONCE = "installations.webhook-endpoint-form"
ALL, SOME = "all", "some"


class EndpointForm(forms.ModelForm):
    """An address, and what is told there."""

    # The id of the endpoint to be, signed: a form that is sent twice makes one.
    id = forms.CharField(
        widget=forms.HiddenInput, initial=lambda: Signer(salt=ONCE).sign(uuid.uuid4().hex), required=False
    )
    which = forms.ChoiceField(
        label="What it is told",
        widget=forms.RadioSelect,
        choices=[(ALL, "Everything, and what is added later"), (SOME, "Only what is chosen here")],
        initial=ALL,
    )
    types = forms.MultipleChoiceField(
        label="Events",
        required=False,
        widget=forms.CheckboxSelectMultiple({"data-visible-if": '{"which": ["some"]}'}),
        choices=[
            (name, format_html("<span><code>{}</code>: {}</span>", name, what))
            for name, what in TYPES.items()
        ],
        help_text="They count for “Only what is chosen here”.",
    )

    class Meta:
        model = WebhookEndpoint
        fields = ["url", "description", "types"]

    field_order = ["url", "description", "which", "types"]

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["url"].widget = forms.URLInput(
            {"placeholder": "https://app.example.com/webhooks", "spellcheck": "false"}
        )
        self.fields[
            "url"
        ].help_text = "https, on port 443 or 8443. In development plain http to 127.0.0.1 works as well."
        self.initial["which"] = SOME if self.instance.types else ALL

    def clean_id(self) -> uuid.UUID:
        try:
            return uuid.UUID(Signer(salt=ONCE).unsign(self.cleaned_data["id"]))
        except BadSignature:
            return uuid.uuid4()

    def clean_url(self) -> str:
        endpoints.check_url(self.cleaned_data["url"])
        return self.cleaned_data["url"]

    def clean(self):
        super().clean()
        if self.cleaned_data.get("which") == ALL:
            self.cleaned_data["types"] = []
        elif not self.cleaned_data.get("types"):
            self.add_error("types", "Choose at least one.")
        return self.cleaned_data

    def endpoint_fields(self) -> dict:
        return {name: self.cleaned_data[name] for name in ("url", "description", "types")}


class RotateForm(forms.Form):
    overlap = forms.TypedChoiceField(
        label="The current secret also signs for",
        coerce=lambda hours: timedelta(hours=int(hours)),
        choices=[
            (24, "one day"),
            (72, "three days"),
            (168, "a week"),
            (0, "stop at once: it has leaked"),
        ],
        initial=24,
        help_text="Until then each message carries both signatures, so that you can store the new secret "
        "without losing one.",
    )


class ReplayForm(forms.Form):
    since = forms.TypedChoiceField(
        label="How far back",
        coerce=lambda hours: timedelta(hours=int(hours)),
        choices=[
            (1, "in the last hour"),
            (24, "in the last day"),
            (72, "in the last three days"),
            (168, "in the last week"),
            (720, "in the last 30 days"),
        ],
        initial=72,
    )
