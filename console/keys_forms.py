"""The forms around API keys."""

import re
import uuid
from datetime import UTC, datetime, time, timedelta

from django import forms
from django.core.exceptions import ValidationError
from django.core.signing import BadSignature, Signer
from django.utils import timezone
from django.utils.html import format_html

from console.models import Account, ApiKey
from console.models.api_key import SCOPES
from console.tenancy import Principal

ONCE = "console.api-key-form"
NEVER, ON = "never", "on"
# What most keys are made without.
ADVANCED = ("account", "networks", "credentials_per_minute")


class ApiKeyForm(forms.ModelForm):
    """What may be changed of a key at any time."""

    scopes = forms.MultipleChoiceField(
        label="What it may do",
        choices=[
            (name, format_html("<span><code>{}</code>: {}</span>", name, said))
            for name, said in SCOPES.items()
        ],
        widget=forms.CheckboxSelectMultiple,
        help_text="As little as its work needs.",
        error_messages={"required": "Choose at least one: a key without any opens nothing."},
    )
    networks = forms.CharField(
        label="From where it may be used",
        required=False,
        max_length=50 * 50,
        widget=forms.Textarea({"rows": 3, "spellcheck": "false"}),
        help_text="Addresses or networks such as 203.0.113.7 or 203.0.113.0/24, one on each line. "
        "Empty: from anywhere.",
    )

    class Meta:
        model = ApiKey
        fields = ["name", "scopes", "networks", "credentials_per_minute"]

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.initial["networks"] = "\n".join(self.instance.networks)

    @property
    def main_fields(self) -> list[forms.BoundField]:
        return [field for field in self.visible_fields() if field.name not in ADVANCED]

    @property
    def advanced_fields(self) -> list[forms.BoundField]:
        return [field for field in self.visible_fields() if field.name in ADVANCED]

    def clean_networks(self) -> list[str]:
        return list(dict.fromkeys(re.findall(r"[^\s,]+", self.cleaned_data["networks"])))


class NewApiKeyForm(ApiKeyForm):
    """A key that is to be made for whoever asks."""

    # The id of the key to be, signed: a form that is sent twice makes one key.
    id = forms.CharField(widget=forms.HiddenInput, required=False)
    environment = forms.ChoiceField(
        choices=[
            (ApiKey.Environment.LIVE, "Live: what your customers have installed"),
            (ApiKey.Environment.TEST, "Test: try-outs alone"),
        ],
        initial=ApiKey.Environment.LIVE,
        widget=forms.RadioSelect,
        help_text="A test key sees and makes try-outs alone, which no customer is told of. "
        "This cannot be changed afterwards.",
    )
    account = forms.CharField(
        label="For one account only",
        required=False,
        max_length=100,
        widget=forms.TextInput({"autocomplete": "off", "spellcheck": "false"}),
        help_text="The external ID of the account, or the ID at the end of its page's address. Empty: all "
        "accounts.",
    )
    expires = forms.ChoiceField(
        label="Expires",
        choices=[
            ("30", "After 30 days"),
            ("90", "After 90 days"),
            ("365", "After 365 days"),
            (ON, "On a certain day"),
            (NEVER, "Never"),
        ],
        initial="90",
    )
    expires_on = forms.DateField(
        label="Its last day",
        required=False,
        widget=forms.DateInput({"type": "date", "data-visible-if": '{"expires": ["on"]}'}),
        help_text="It counts to the end of that day, in UTC.",
    )

    class Meta(ApiKeyForm.Meta):
        fields = [*ApiKeyForm.Meta.fields, "environment", "account"]

    field_order = ["name", "environment", "scopes", "account", "networks", "expires", "expires_on", "id"]

    def __init__(self, *args, principal: Principal, **kwargs):
        super().__init__(*args, **kwargs)
        self.principal = principal
        self.signer = Signer(salt=f"{ONCE}:{principal.partner_id}")
        self.initial["id"] = self.signer.sign(uuid.uuid4().hex)

    def clean_id(self) -> uuid.UUID:
        try:
            return uuid.UUID(self.signer.unsign(self.cleaned_data["id"]))
        except BadSignature:
            return uuid.uuid4()

    def clean_account(self) -> Account | None:
        text = self.cleaned_data["account"]
        if not text:
            return None
        rows = Account.objects.visible_to(self.principal)
        found = rows.filter(external_id=text).first()
        if found is None:
            try:
                found = rows.filter(pk=uuid.UUID(text)).first()
            except ValueError:
                found = None
        if found is None:
            raise ValidationError("You have no account with this ID.")
        return found

    def clean(self):
        cleaned = super().clean()
        if cleaned.get("expires") == ON and "expires_on" in cleaned:
            day = cleaned["expires_on"]
            if day is None:
                self.add_error("expires_on", "Say which day.")
            elif not timezone.now().date() <= day <= timezone.now().date() + timedelta(days=3660):
                self.add_error("expires_on", "A day from today on, within ten years.")
        return cleaned

    def expires_at(self) -> datetime | None:
        expires = self.cleaned_data["expires"]
        if expires == NEVER:
            return None
        if expires == ON:
            after = self.cleaned_data["expires_on"] + timedelta(days=1)
            return datetime.combine(after, time.min, UTC)
        return timezone.now() + timedelta(days=int(expires))


class RotateForm(forms.Form):
    """How long the secret before counts on."""

    overlap = forms.TypedChoiceField(
        label="The secret until now counts on for",
        choices=[(24, "24 hours"), (1, "1 hour"), (168, "7 days"), (0, "No time: it ends at once")],
        coerce=lambda hours: timedelta(hours=int(hours)),
        empty_value=None,
    )
    # The secret that is to be replaced, by a digest of its digest: a form that is sent twice rotates once.
    of = forms.CharField(widget=forms.HiddenInput, max_length=64)
