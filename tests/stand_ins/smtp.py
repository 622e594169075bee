"""A mail server (RFC 5321) that keeps what it takes, and refuses on demand."""

import socketserver
import threading
from email import message_from_bytes, policy
from email.message import EmailMessage


class _Handler(socketserver.StreamRequestHandler):
    def say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())

    def handle(self):
        server = self.server
        if server.down:
            return self.say("421 not now")
        self.say("220 stand-in")
        recipients = []
        while line := self.rfile.readline().decode().strip():
            verb = line.split(":")[0].upper()
            if verb == "RCPT TO":
                address = line.split("<")[1].split(">")[0]
                refused = server.refused.get(address)
                self.say(refused or "250 ok")
                recipients += [] if refused else [address]
            elif verb == "DATA":
                self.say("354 go on")
                text = b"".join(iter(self.rfile.readline, b".\r\n"))
                server.taken.append((recipients, text.replace(b"\r\n..", b"\r\n.")))
                recipients = []
                if server.silent:
                    return None
                self.say("250 taken")
            elif verb == "QUIT":
                return self.say("221 bye")
            else:
                self.say("250 ok")


class MailServer(socketserver.ThreadingTCPServer):
    """Listens on the loopback interface, on a free port, within `with`."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        # Everything it took: (recipients, the message as it came).
        self.taken: list[tuple[list[str], bytes]] = []
        # {"nobody@shop.example": "550 no such user"}
        self.refused: dict[str, str] = {}
        self.down = False
        # It takes a message and goes away before it has said so.
        self.silent = False

    @property
    def port(self) -> int:
        return self.server_address[1]

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *exception):
        self.shutdown()
        self.server_close()

    @property
    def mails(self) -> list[EmailMessage]:
        return [message_from_bytes(text, policy=policy.default) for _, text in self.taken]

    def to(self, address: str) -> list[EmailMessage]:
        return [mail for mail, (to, _) in zip(self.mails, self.taken, strict=True) if address in to]
