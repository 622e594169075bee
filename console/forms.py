from django import forms
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError

from console import throttle
from console.middleware import client_address, network_of
from console.models import Account, Membership, Partner
from console.problems import ProblemError
from console.return_urls import RETURN_URLS_AT_MOST, is_return_url


class SignInForm(AuthenticationForm):
    """E-mail and password. Tries are counted, by address and by e-mail, before the password is looked at."""

    error_messages = {
        **AuthenticationForm.error_messages,
        "invalid_login": "This e-mail address and password do not belong together. Check both and try again.",
    }

    def clean(self):
        email = self.cleaned_data.get("username", "").lower()
        if not self.cleaned_data.get("password"):
            return super().clean()
        address = network_of(client_address(self.request))
        try:
            throttle.spend(f"sign-in from:{address}", per_minute=30)
            throttle.spend(f"sign-in from and as:{address} {email}", per_minute=10)
            # So many that a stranger does not keep somebody out by wrong guesses from one place.
            throttle.spend(f"sign-in as:{email}", per_minute=100)
        except ProblemError as error:
            raise ValidationError(f"{error.problem.title}. {error.problem.what}") from error
        self.cleaned_data["username"] = email
        return super().clean()


class AccountForm(forms.ModelForm):
    class Meta:
        model = Account
        fields = ["name", "external_id", "email"]


class PreferencesForm(forms.ModelForm):
    """What one person is told by e-mail."""

    class Meta:
        model = Membership
        fields = ["wants_digest"]


class PartnerForm(forms.ModelForm):
    """What a partner says of itself."""

    return_urls = forms.CharField(
        label="Return addresses",
        required=False,
        max_length=RETURN_URLS_AT_MOST * 501,
        widget=forms.Textarea({"rows": 3, "spellcheck": "false"}),
        help_text="Where a finished setup may lead back to: exact https addresses, one on each line.",
    )

    class Meta:
        model = Partner
        fields = ["name", "domain", "tells_customers"]

    field_order = ["name", "domain", "return_urls", "tells_customers"]

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.initial["return_urls"] = "\n".join(self.instance.return_urls)
        self.fields["tells_customers"].label = "Mail customers when their connection needs them"
        self.fields["tells_customers"].help_text = (
            "Where only the customer can mend it, or it ends soon, the account's contact e-mail gets a link: "
            "at most once a week for each connection."
        )
        # Customers trust it, so nobody says it of himself.
        self.fields["domain"].disabled = True
        self.fields[
            "domain"
        ].help_text = "Your customers see it beside the name. Support checks and changes it."

    def clean_return_urls(self) -> list[str]:
        urls = self.cleaned_data["return_urls"].split()
        for url in urls:
            if not is_return_url(url):
                raise ValidationError(
                    f"“{url[:100]}” is not an address such as https://app.example.com/connected: "
                    "https, a host name, a path, and nothing that hides another host."
                )
        urls = list(dict.fromkeys(urls))
        if len(urls) > RETURN_URLS_AT_MOST:
            raise ValidationError(f"At most {RETURN_URLS_AT_MOST} addresses.")
        return urls

    def save(self, commit=True):
        self.instance.return_urls = self.cleaned_data["return_urls"]
        return super().save(commit)
