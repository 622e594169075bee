import uuid

from django import forms
from django.conf import settings
from django.core.signing import BadSignature, Signer

from console.models import Partner
from installations.models import Installation, SetupLink

ONCE = "installations.setup-link-form"


class InstallationForm(forms.ModelForm):
    class Meta:
        model = Installation
        fields = ["name", "description"]
        widgets = {"description": forms.Textarea({"rows": 3})}


class SetupLinkForm(forms.ModelForm):
    """To whom a link goes, and where its last page leads."""

    # The id of the link to be, signed: a form that is sent twice makes one link and sends one mail.
    id = forms.CharField(
        widget=forms.HiddenInput, initial=lambda: Signer(salt=ONCE).sign(uuid.uuid4().hex), required=False
    )

    class Meta:
        model = SetupLink
        fields = ["email", "return_url"]

    def __init__(self, *args, partner: Partner, **kwargs):
        super().__init__(*args, **kwargs)
        # Exact addresses of the partner's list and nothing else (RFC 9700, section 4.11).
        self.fields["return_url"] = forms.ChoiceField(
            label="When finished, lead back to",
            required=False,
            choices=[("", "Our own closing page"), *((url, url) for url in partner.return_urls)],
        )
        if not partner.return_urls:
            del self.fields["return_url"]
        if not settings.CAN_MAIL:
            del self.fields["email"]

    def clean_id(self) -> uuid.UUID:
        try:
            return uuid.UUID(Signer(salt=ONCE).unsign(self.cleaned_data["id"]))
        except BadSignature:
            return uuid.uuid4()


class ReauthoriseForm(forms.Form):
    switch_account = forms.BooleanField(
        required=False,
        label="Switch account",
        help_text="Allow another account than before. "
        "Without this, signing in to another account is refused.",
    )
