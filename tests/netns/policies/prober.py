"""Both ends of every connection in a namespace: echo servers, and a client that tries many targets at once.

A program of its own, without imports from the project. One line of JSON in, one out, in the order asked:
["probe", SECONDS, [[PROTOCOL, ADDRESS, PORT], ...]] -> ["open" | "refused" | "timeout", ...]
["hold", NAME, PROTOCOL, ADDRESS, PORT] -> what became of it; an open one stays open under its name
["say", NAME, SECONDS] -> whether the other end answers on the connection that is held
["listen", PROTOCOL, ADDRESS, PORT] -> true
"""

from __future__ import annotations

import errno
import json
import select
import socket
import sys
import time
from contextlib import suppress

KINDS = {"TCP": socket.SOCK_STREAM, "UDP": socket.SOCK_DGRAM}
AGAIN = 0.2
"""Seconds after which an unanswered datagram is sent again."""

servers: dict[int, socket.socket] = {}
clients: dict[int, socket.socket] = {}
held: dict[str, tuple[str, socket.socket]] = {}
poll = select.epoll()


def family_of(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def listen(protocol: str, address: str, port: int) -> bool:
    server = socket.socket(family_of(address), KINDS[protocol])
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.setblocking(False)
    server.bind((address, port))
    if protocol == "TCP":
        server.listen(256)
    servers[server.fileno()] = server
    poll.register(server, select.EPOLLIN)
    return True


def serve(fileno: int) -> None:
    """Answers what came to a server."""
    with suppress(OSError):
        if fileno in clients:
            echo(clients[fileno])
        elif fileno in servers and servers[fileno].type == socket.SOCK_DGRAM:
            data, peer = servers[fileno].recvfrom(100)
            servers[fileno].sendto(data, peer)
        elif fileno in servers:
            client, _ = servers[fileno].accept()
            client.setblocking(False)
            clients[client.fileno()] = client
            poll.register(client, select.EPOLLIN)


def echo(client: socket.socket) -> None:
    try:
        data = client.recv(100)
    except OSError:
        data = b""
    if data:
        client.send(data)
    else:
        poll.unregister(client)
        del clients[client.fileno()]
        client.close()


def connect(protocol: str, address: str, port: int) -> socket.socket:
    client = socket.socket(family_of(address), KINDS[protocol])
    client.setblocking(False)
    with suppress(BlockingIOError, ConnectionError):
        client.connect((address, port))
    if protocol == "UDP":
        ask(client)
    return client


def ask(client: socket.socket) -> None:
    with suppress(OSError):
        client.send(b"?")


def result(protocol: str, client: socket.socket) -> str:
    """What became of it, empty while nobody knows."""
    number = client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if number in (errno.ETIMEDOUT, errno.EINPROGRESS):
        return ""
    if number:
        return "refused"
    try:
        if protocol == "TCP":
            client.getpeername()
        else:
            client.recv(100)
    except (BlockingIOError, OSError) as error:
        waits = isinstance(error, BlockingIOError) or error.errno == errno.ENOTCONN
        return "" if waits else "refused"
    return "open"


def settle(waiting: dict[int, tuple[int, str, socket.socket]], seconds: float) -> dict[int, str]:
    """What became of each, by number; serves meanwhile."""
    found: dict[int, str] = {}
    started = last = time.monotonic()
    while waiting and time.monotonic() < started + seconds:
        if time.monotonic() > last + AGAIN:
            last = time.monotonic()
            for _, protocol, client in waiting.values():
                if protocol == "UDP":
                    ask(client)
        for fileno, _ in poll.poll(0.05):
            if fileno in waiting:
                number, protocol, client = waiting[fileno]
                if became := result(protocol, client):
                    found[number] = became
                    del waiting[fileno]
                    poll.unregister(fileno)
            else:
                serve(fileno)
    for fileno, (number, _, _) in waiting.items():
        found[number] = "timeout"
        poll.unregister(fileno)
    return found


def watch(clients: list[tuple[str, socket.socket]]) -> dict[int, tuple[int, str, socket.socket]]:
    for protocol, client in clients:
        poll.register(client, select.EPOLLIN | (select.EPOLLOUT if protocol == "TCP" else 0))
    return {client.fileno(): (number, protocol, client) for number, (protocol, client) in enumerate(clients)}


def probe(seconds: float, targets: list[tuple[str, str, int]]) -> list[str]:
    made = [(target[0], connect(*target)) for target in targets]
    found = settle(watch(made), seconds)
    for _, client in made:
        with suppress(OSError):
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
    return [found[number] for number in range(len(targets))]


def hold(name: str, protocol: str, address: str, port: int) -> str:
    client = connect(protocol, address, port)
    became = settle(watch([(protocol, client)]), 2.0)[0]
    held[name] = (protocol, client)
    return became


def say(name: str, seconds: float) -> bool:
    protocol, client = held[name]
    with suppress(OSError):
        while client.recv(100):
            pass  # answers to questions before
    ask(client)
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        if select.select([client], [], [], min(left, 0.05))[0]:
            with suppress(OSError):
                return client.recv(100) != b""
            return False
        for fileno, _ in poll.poll(0):
            serve(fileno)
        if protocol == "UDP":
            ask(client)
    return False


COMMANDS = {"probe": probe, "hold": hold, "say": say, "listen": listen}

poll.register(sys.stdin, select.EPOLLIN)
while True:
    for ready, _ in poll.poll():
        if ready != sys.stdin.fileno():
            serve(ready)
            continue
        line = sys.stdin.buffer.readline()
        if not line:
            raise SystemExit
        command, *arguments = json.loads(line)
        print(json.dumps(COMMANDS[command](*arguments)), flush=True)
