"""What a token says about how long a grant goes on."""

from datetime import UTC, datetime, timedelta

import pytest

from connectors import registry
from installations import standing
from installations.auth import Token, following
from tests.rotating import rotating, rotating_process  # noqa: F401 - fixtures

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


@pytest.fixture
def method(rotating):  # noqa: F811
    return registry.get("rotating-test").manifest.method("strict")


def token(name: str, ends_in: timedelta | None) -> Token:
    return Token(access_token=name, refresh_token=name, refresh_expires_at=ends_in and NOW + ends_in)


def test_the_end_of_the_refresh_token_is_the_end_of_the_grant(method):
    assert standing.grant_expires_at(method, token("a", timedelta(days=90))) == NOW + timedelta(days=90)


def test_an_end_that_each_renewal_puts_off_is_no_end(method):
    first, second = token("a", timedelta(hours=24)), token("b", timedelta(hours=25))
    assert standing.grant_expires_at(method, second, first) is None


def test_an_end_that_stays_where_it_is_counts_after_a_renewal_too(method):
    # A provider that counts in whole seconds from each request.
    first, second = token("a", timedelta(days=90)), token("b", timedelta(days=90, seconds=2))
    assert standing.grant_expires_at(method, second, first) == second.refresh_expires_at


def test_a_refresh_token_that_stays_keeps_its_end():
    kept = following(token("a", timedelta(days=90)), Token(access_token="b"))
    assert (kept.refresh_token, kept.refresh_expires_at) == ("a", NOW + timedelta(days=90))


def test_a_new_refresh_token_does_not_inherit_the_end_of_the_old_one():
    assert following(token("a", timedelta(days=90)), token("b", None)).refresh_expires_at is None
