"""Webhooks that providers send for an installation: proven, stored once, forwarded to the partner."""
