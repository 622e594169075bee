"""What the partner's own software sends to a provider by way of the console, and what comes back.

`asked` reads what the caller wants, `found` what is stored for the installation, `calling` sends it with the
credential, `answered` makes the answer to the caller.
"""
