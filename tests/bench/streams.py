"""What no load generator measures: events, WebSockets, large bodies, idle connections, bursts. A small application for streams and uploads."""

import concurrent.futures
import http.client
import resource
import socket
import statistics
import threading
import time

from load import HEADERS

# Seconds without a request after which connections count as idle, for every program alike.
SETTLED = 2


class Streams:
    """`/events`: 200 server-sent events, 10 ms apart, each with the time of its sending. `/socket`: gives every byte back after a 101.
    `/upload`: takes the whole body, then answers. (nginx as the application would answer at once, and nginx as the proxy then forwards nothing more.)"""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            connection, _ = self.listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection:
            head = read_head(connection)
            if b" /socket" in head.split(b"\r\n", 1)[0]:
                connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
                while data := connection.recv(65536):
                    connection.sendall(data)
            elif b" /upload" in head.split(b"\r\n", 1)[0]:
                left, buffer = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0]), bytearray(1 << 20)
                while left and (count := connection.recv_into(buffer)):
                    left -= count
                connection.sendall(b"HTTP/1.1 %d -\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % (400 if left else 200))
            else:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
                for _ in range(200):
                    connection.sendall(b"data: %d\n\n" % time.monotonic_ns())
                    time.sleep(0.01)


def events(target):
    """Milliseconds from an event's sending to its arrival: median, p99, longest."""
    connection = opened(target, "/events")
    text, delays = b"", []
    while len(delays) < 200 and (data := connection.recv(65536)):
        now = time.monotonic_ns()
        text += data
        *lines, text = text.split(b"\n")
        for line in lines:
            if b"data: " in line:
                delays.append((now - int(line.split(b"data: ")[1])) / 1e6)
    connection.close()
    if len(delays) != 200:
        raise RuntimeError(f"{target.label}: {len(delays)} of 200 events")
    return spread(delays)


def echo(target, count=1000):
    """Milliseconds there and back of 64 bytes over a WebSocket: median, p99, longest."""
    fields = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
    connection = opened(target, "/socket", fields)
    head = read_head(connection)
    if b" 101 " not in head.split(b"\r\n", 1)[0]:
        raise RuntimeError(f"{target.label}: no tunnel: {head!r}")
    delays, frame = [], bytes(range(64))
    for _ in range(count):
        before = time.monotonic_ns()
        connection.sendall(frame)
        left = len(frame)
        while left:
            left -= len(connection.recv(left))
        delays.append((time.monotonic_ns() - before) / 1e6)
    connection.close()
    return spread(delays)


def download(target, path, size):
    """GiB/s of one large answer, CPU seconds, and the most resident bytes meanwhile."""
    def run():
        connection = opened(target, path)
        buffer, got = bytearray(1 << 20), 0
        head = read_head(connection)
        if b" 200 " not in head.split(b"\r\n", 1)[0]:
            raise RuntimeError(f"{target.label}: {head!r}")
        while got < size:
            count = connection.recv_into(buffer)
            if not count:
                raise RuntimeError(f"{target.label}: cut after {got} bytes")
            got += count
        connection.close()
    return watched(target, run, size)


def upload(target, path, size):
    def run():
        connection = opened(target, path, {"Content-Length": str(size)}, method="POST")
        block = bytes(1 << 20)
        for _ in range(size >> 20):
            connection.sendall(block)
        head = read_head(connection)
        if b" 200 " not in head.split(b"\r\n", 1)[0]:
            raise RuntimeError(f"{target.label}: {head!r}")
        connection.close()
    return watched(target, run, size)


def watched(target, run, size):
    most, done = [target.program.memory()], threading.Event()

    def look():
        while not done.wait(0.02):
            most.append(target.program.memory())
    watcher = threading.Thread(target=look)
    watcher.start()
    cpu, begin = target.program.cpu(), time.monotonic()
    try:
        run()
    finally:
        took = time.monotonic() - begin
        done.set()
        watcher.join()
    return {"rate": size / took / (1 << 30), "cpu": target.program.cpu() - cpu, "memory": max(most) - most[0]}


def idle(target, count):
    """Resident bytes with so many open connections that have each had an answer, and then nothing for a moment."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    connections = []
    try:
        for number in range(count):
            # No address has more than a quarter of what vestibule takes.
            connection = opened(target, "/", source=f"127.0.0.{2 + number // 1000}")
            connections.append(connection)
            status = read_head(connection).split(b"\r\n", 1)[0]
            if b" 200 " not in status:
                raise RuntimeError(f"{target.label}: {status!r}")
        time.sleep(SETTLED)
        alive = sum(not is_closed(connection) for connection in connections)
        return target.program.memory(), alive
    finally:
        for connection in connections:
            connection.close()


def burst(target, count):
    """The statuses of so many requests at once."""
    barrier = threading.Barrier(count)

    def one(_):
        connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=30)
        connection.connect()
        barrier.wait()
        connection.request("GET", "/", headers={"Host": f"localhost:{target.port}", "Cookie": target.cookie, **HEADERS})
        return connection.getresponse().status
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def is_closed(connection):
    """Whether the other side has closed; the rest of the answer's body may be there too, and is taken."""
    connection.setblocking(False)
    try:
        while connection.recv(65536):
            pass
    except BlockingIOError:
        return False
    return True


def opened(target, path, fields=None, method="GET", source="127.0.0.1"):
    connection = socket.create_connection(("127.0.0.1", target.port), timeout=60, source_address=(source, 0))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    lines = {"Host": f"localhost:{target.port}", **HEADERS, **({"Cookie": target.cookie} if target.cookie else {}), **(fields or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    connection.sendall(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode())
    return connection


def read_head(connection):
    """The head, byte for byte, so that nothing behind it is taken."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        if not byte:
            break
        head += byte
    return head


def spread(delays):
    ordered = sorted(delays)
    return statistics.median(ordered), ordered[int(len(ordered) * 0.99)], ordered[-1]
