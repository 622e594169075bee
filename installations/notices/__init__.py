"""What people are told without asking: a partner's people by a digest, its customers by a mail of their own.

`items` notes what is to be told, `digest` and `customers` tell it, `endings` looks ahead, `mailing` sends.
"""
