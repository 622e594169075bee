"""What a connector begins with, for people who write its texts themselves."""

MANIFEST = """\
version = "1.0"
name = "{name}"
summary = "What {name} is, in one sentence."
website = "https://{key}.example"
categories = ["developer tools"]
# The provider's own pages that this was written from.
source = ["https://{key}.example/developers"]
base_url = "https://api.{key}.example/v1"

[[auth_methods]]
type = "api_key"
label = "API Key"
summary = "You create a key in {name} and paste it here."
help_anchors = ["create-a-key"]
inject = {{ headers = {{ Authorization = "Bearer ${{api_key}}" }} }}

[[properties]]
name = "api_key"
label = "API Key"
description = "The key that you created in {name}."
level = "account"
help_anchors = ["create-a-key"]

[verification]
url = "https://api.{key}.example/v1/me"
account_id = "id"
account_name = ["name"]
"""
GUIDE = """\
# Partner

## Nothing to prepare

Each customer creates a key in {name}; there is nothing to store here.

# Customer

## Create a key

1. Sign in to {name}.
2. Create a key and copy it.
"""

# As tests/test_library.py holds the connector against: what is sent, and what comes back.
REQUEST = """\
GET https://api.{key}.example/v1/me
Authorization: Bearer example-api_key
"""
ANSWER = """\
{{"id": "1", "name": "Example Outfitters"}}
"""


def samples(key: str) -> dict[str, str]:
    """The texts of samples/ for what `begin` gives, to be put right from the provider's pages."""
    return {"verification.http": REQUEST.format(key=key), "verification.json": ANSWER.format()}


def begin(key: str) -> tuple[str, str]:
    """The texts of manifest.toml and guide.md."""
    texts = {"name": key.replace("-", " ").title(), "key": key}
    return MANIFEST.format(**texts), GUIDE.format(**texts)
