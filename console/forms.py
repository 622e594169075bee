import re
from urllib.parse import urlsplit

from django import forms
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError

from console import throttle
from console.middleware import client_address
from console.models import Account, Partner
from console.problems import ProblemError


class SignInForm(AuthenticationForm):
    """E-mail and password. Tries are counted by address and by e-mail before the password is looked at."""

    error_messages = {
        **AuthenticationForm.error_messages,
        "invalid_login": "This e-mail address and password do not belong together. Check both and try again.",
    }

    def clean(self):
        email = self.cleaned_data.get("username", "").lower()
        try:
            throttle.spend(f"sign-in:{client_address(self.request)}", per_minute=30)
            throttle.spend(f"sign-in:{email}", per_minute=10)
        except ProblemError as error:
            raise ValidationError(f"{error.problem.title}. {error.problem.what}") from error
        self.cleaned_data["username"] = email
        return super().clean()


class AccountForm(forms.ModelForm):
    class Meta:
        model = Account
        fields = ["name", "external_id"]


class PartnerForm(forms.ModelForm):
    """What a partner says of itself."""

    return_urls = forms.CharField(
        label="Return addresses",
        required=False,
        widget=forms.Textarea({"rows": 3, "spellcheck": "false"}),
        help_text="Where a finished setup may lead back to: exact https addresses, one on each line.",
    )

    class Meta:
        model = Partner
        fields = ["name", "domain"]

    field_order = ["name", "domain", "return_urls"]

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.initial["return_urls"] = "\n".join(self.instance.return_urls)

    def clean_return_urls(self) -> list[str]:
        urls = self.cleaned_data["return_urls"].split()
        for url in urls:
            if not is_return_url(url):
                raise ValidationError(
                    f"“{url[:100]}” is not an address such as https://app.example.com/connected: "
                    "https, a host name, a path, and nothing that hides another host."
                )
        return list(dict.fromkeys(urls))

    def save(self, commit=True):
        self.instance.return_urls = self.cleaned_data["return_urls"]
        return super().save(commit)


# A name whose last label is none of the many spellings of an IP address; percent-encoding hides dots.
_HOST = re.compile(r"([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z][a-z0-9-]*[a-z0-9]")


def is_return_url(url: str) -> bool:
    """Whether a browser and we read this address alike: plain ASCII, https, no user, no backslash."""
    if not url.isascii() or not url.isprintable() or any(c in url for c in "\\\"'<> @#") or len(url) > 500:
        return False
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises where it is not a number
    except ValueError:
        return False
    if not _HOST.fullmatch(parts.hostname or ""):
        return False
    return parts.scheme == "https" and ".." not in url and "//" not in parts.path
