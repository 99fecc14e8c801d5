"""Slow clients, and people who sign in by the thousand: what `memory` and the comparison with peers share.

A target has a `port`, a `program`, `connect(window)` and `request(path)`."""

import concurrent.futures
import http.client
import selectors
import ssl
import time

from load import HEADERS

MIB = 1 << 20
PEERS, LARGE = 200, 16 * MIB
# Seconds during which slow clients go on, and what each reads every quarter of a second.
SLOW_FOR, SIP = 6, 4096
NAVIGATION = {**HEADERS, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "none"}
REDIRECTS = (302, 303)


def resident(target):
    return target.program.memory() / MIB


def slow(target, count, begin):
    """MiB before, and the most while so many clients read a sip now and then."""
    warm_up(target)
    before, most, selector, connections = resident(target), 0, selectors.DefaultSelector(), []
    try:
        for _ in range(count):
            connection = begin(target)
            connection.setblocking(False)
            selector.register(connection, selectors.EVENT_READ)
            connections.append(connection)
        end = time.monotonic() + SLOW_FOR
        while time.monotonic() < end:
            for key, _ in selector.select(0.25):
                try:
                    key.fileobj.recv(SIP)
                except (BlockingIOError, ssl.SSLWantReadError):
                    pass
            most = max(most, resident(target))
            time.sleep(0.25)
    finally:
        for connection in connections:
            connection.close()
    return before, most, most - before


def warm_up(target):
    with target.connect() as connection:
        connection.sendall(target.request(target.large))
        read(connection, LARGE)
    time.sleep(0.5)


def read(connection, size):
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(65536)
    size -= len(head.split(b"\r\n\r\n", 1)[1])
    buffer = bytearray(MIB)
    while size > 0:
        count = connection.recv_into(buffer)
        if not count:
            raise RuntimeError("cut off")
        size -= count


def download(target):
    connection = target.connect(window=4096)
    connection.sendall(target.request(target.large))
    return connection


def sign_in(target, provider, person):
    """The Cookie header of somebody who went to sign in, came back, and saw the page."""
    connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=30)
    host = {"Host": f"localhost:{target.port}"}
    connection.request("GET", target.private, headers={**NAVIGATION, **host})
    sent = connection.getresponse()
    sent.read()
    if sent.status not in REDIRECTS:
        raise RuntimeError(f"not sent to sign in: {sent.status}\n{target.program.said()}")
    connection.request("GET", provider.code(person, sent.headers["Location"]), headers={**NAVIGATION, **host, "Cookie": cookies(sent)})
    back = connection.getresponse()
    back.read()
    if back.status not in REDIRECTS:
        raise RuntimeError(f"not signed in: {back.status}\n{target.program.said()}")
    session = cookies(back)
    connection.request("GET", target.private, headers={**NAVIGATION, **host, "Cookie": session})
    page = connection.getresponse()
    page.read()
    connection.close()
    if page.status != 200:
        raise RuntimeError(f"not let in: {page.status}\n{target.program.said()}")
    return session


def cookies(answer):
    """What a browser keeps of an answer's cookies; one that is to be forgotten is empty."""
    pairs = (value.split(";")[0] for value in answer.headers.get_all("Set-Cookie"))
    return "; ".join(pair for pair in pairs if pair.partition("=")[2])


def sign_ins(target, provider, count):
    """MiB after a hundred sign-ins, MiB after so many more, how many a second, and CPU seconds of each."""
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: sign_in(target, provider, f"person{number}"), range(100)))
        before, cpu, begin = resident(target), target.program.cpu(), time.monotonic()
        list(pool.map(lambda number: sign_in(target, provider, f"person{number}"), range(100, 100 + count)))
        took = time.monotonic() - begin
    return before, resident(target), count / took, (target.program.cpu() - cpu) / count
