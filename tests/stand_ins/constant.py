"""`python -m tests.stand_ins.constant`: an API that answers every request alike, 2 KB of JSON, at once."""

import argparse
import asyncio
import json

BODY = json.dumps({"items": ["x" * 61] * 32}).encode()
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY


class Constant(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.pending = transport, b""

    def data_received(self, data):
        # Requests without a body: each ends with an empty line.
        *asked, self.pending = (self.pending + data).split(b"\r\n\r\n")
        self.transport.write(ANSWER * len(asked))


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Constant, "127.0.0.1", port)
    print(f"constant is ready on http://127.0.0.1:{port}/", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    asyncio.run(serve(parser.parse_args().port))
