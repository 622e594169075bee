from django import forms
from django.conf import settings

from console.models import Partner
from installations.models import Installation, SetupLink


class InstallationForm(forms.ModelForm):
    class Meta:
        model = Installation
        fields = ["name", "description"]
        widgets = {"description": forms.Textarea({"rows": 3})}


class SetupLinkForm(forms.ModelForm):
    """To whom a link goes, and where its last page leads."""

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


class ReauthoriseForm(forms.Form):
    switch_account = forms.BooleanField(
        required=False,
        label="Switch account",
        help_text="Allow another account than before. "
        "Without this, signing in to another account is refused.",
    )
