"""An SSH server in a thread of its own: one user with a password and a key, in an empty folder."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import asyncssh

USERNAME, PASSWORD = "transfer", "correct horse battery staple"


class _Users(asyncssh.SSHServer):
    def __init__(self, key: asyncssh.SSHKey, username: str, password: str):
        self._key, self._username, self._password = key, username, password

    def begin_auth(self, username):
        return True

    def password_auth_supported(self):
        return True

    def validate_password(self, username, password):
        return (username, password) == (self._username, self._password)

    def public_key_auth_supported(self):
        return True

    def validate_public_key(self, username, key):
        return username == self._username and key == self._key


@contextmanager
def sftp_server(
    key: asyncssh.SSHKey, username: str = USERNAME, password: str = PASSWORD, *, files: bool = True
) -> Iterator[int]:
    """The port; the user's public key is `key`. Without `files` it lets nobody at them."""
    loop, ready, found = asyncio.new_event_loop(), threading.Event(), {}

    async def listen():
        found["server"] = await asyncssh.create_server(
            lambda: _Users(key.convert_to_public(), username, password),
            "127.0.0.1",
            0,
            server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
            sftp_factory=files,
        )
        found["port"] = found["server"].get_port()
        ready.set()

    async def stop():
        found["server"].close()
        await found["server"].wait_closed()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def run():
        loop.run_until_complete(listen())
        loop.run_forever()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield found["port"]
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
