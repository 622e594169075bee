"""What there is to tell, and why an endpoint may be told nothing any more."""

TEST = "webhook.test"

# Of each, what has happened.
TYPES = {
    "installation.created": "A connector was installed in an account.",
    "installation.connected": "An installation works, for the first time or again.",
    "installation.needs_attention": "An installation stopped working, and a person has to mend it.",
    "installation.reauthorised": "A connected installation was given a new credential.",
    "installation.disconnected": "An installation's credential was destroyed.",
    "installation.deleted": "An installation was deleted.",
    "setup_link.opened": "A customer began with a setup link.",
    "setup_link.completed": "A customer finished with a setup link: its installation is connected.",
    "setup_link.expired": "A setup link ended without having been used.",
    "webhook.received": "A provider sent a webhook for an installation.",
}

BY_HAND, GONE, FAILING = "by_hand", "gone", "failing"
REASONS = {
    BY_HAND: "Switched off by one of your people.",
    GONE: "It answered 410 Gone: it wants nothing any more.",
    FAILING: "Nothing but failures for days.",
}

# Why a try had no answer: kinds of console.http.Unreachable, and our own.
WHY = {
    "timeout": "No answer within 15 seconds.",
    "address": "The name leads to an address or a port that we do not connect to.",
    "dns": "The name is not known.",
    "tls": "The certificate is not valid.",
    "too_large": "The answer was larger than 1 MB.",
    "scheme": "Only https is allowed.",
    "connection": "The connection failed.",
    "secret": "The secret of this endpoint cannot be read. Rotate it.",
}
