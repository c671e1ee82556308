"""flows.py serve PORT | open ADDRESS PORT COUNT SECONDS | fetch ADDRESS PORT SECONDS: connections, and who answers.

`serve` answers every line of every connection with the host's name. `open` keeps COUNT connections to ADDRESS and sends
a line on each twenty times a second. `fetch` makes one HTTP request after the other, each on its own connection. After
SECONDS both print a JSON object: by name of the answering host how many connections there were, and how many broke.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections import Counter

PAUSE = 0.05  # seconds between two lines
PATIENCE = 5.0  # seconds without an answer after which a connection is broken


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    name = socket.gethostname().encode() + b"\n"
    try:
        while await reader.readline():
            writer.write(name)
            await writer.drain()
    except OSError:
        pass
    writer.close()


async def serve(port: int) -> None:
    server = await asyncio.start_server(answer, port=port)
    await server.serve_forever()


async def flow(address: str, port: int, until: float) -> str:
    """The host that answered all the time. Raises OSError, TimeoutError when it broke."""
    reader, writer = await asyncio.wait_for(asyncio.open_connection(address, port), PATIENCE)
    names = set()
    try:
        while asyncio.get_running_loop().time() < until:
            writer.write(b"?\n")
            line = await asyncio.wait_for(reader.readline(), PATIENCE)
            if not line:
                raise ConnectionResetError
            names.add(line.decode().strip())
            await asyncio.sleep(PAUSE)
    finally:
        writer.close()
    (name,) = names
    return name


async def connections(address: str, port: int, count: int, seconds: float) -> None:
    until = asyncio.get_running_loop().time() + seconds
    tell(await asyncio.gather(*(flow(address, port, until) for _ in range(count)), return_exceptions=True))


async def request(address: str, port: int) -> str:
    """The last line of the answer. Raises OSError, TimeoutError, IndexError when there is none."""
    reader, writer = await asyncio.open_connection(address, port)
    try:
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        return (await reader.read()).decode().split()[-1]
    finally:
        writer.close()


async def requests(address: str, port: int, seconds: float) -> None:
    until = asyncio.get_running_loop().time() + seconds
    ended: list[str | BaseException] = []
    while asyncio.get_running_loop().time() < until:
        each = asyncio.wait_for(request(address, port), PATIENCE)
        ended += await asyncio.gather(each, return_exceptions=True)
    tell(ended)


def tell(ended: list[str | BaseException]) -> None:
    answered = Counter(each for each in ended if isinstance(each, str))
    print(json.dumps({"answered": answered, "broken": len(ended) - answered.total()}))  # noqa: T201 - what it is for


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve", port]:
            asyncio.run(serve(int(port)))
        case ["open", address, port, count, seconds]:
            asyncio.run(connections(address, int(port), int(count), float(seconds)))
        case ["fetch", address, port, seconds]:
            asyncio.run(requests(address, int(port), float(seconds)))
        case _:
            sys.exit(__doc__)
