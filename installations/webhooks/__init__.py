"""What the partner's own software is told, by webhooks (Standard Webhooks, www.standardwebhooks.com).

outbox.py writes a message where something happens, in the same transaction; delivery.py sends it, for days
where need be; endpoints.py is what people and programs may do with the addresses it goes to.
"""
