"""Runs the rows of the comparison; `run` installs what it needs and calls this. See README.md."""

import argparse
import datetime
import os
import socket
import subprocess
import sys
import time

import machine
import peers
import programs
import report
import streams
from load import HERE, Load, rounds
from machine import REST, House, free_port

MIB = 1 << 20


class Bench:
    def __init__(self, house, options):
        self.house, self.options = house, options
        self.streams = streams.Streams()
        self.application = programs.Application(house, self.streams.port)
        self.logins = programs.Logins(house)
        self.made = {}
        self.tables = []
        # The loads of the chart.
        self.compared = []

    # Programs, each started when the first row wants it.

    def target(self, name, make):
        if name not in self.made:
            self.made[name] = make()
        return self.made[name]

    def gateway(self, name="vestibule", scheme="http", **settings):
        def make():
            made = programs.vestibule(self.house, self.options.vestibule, self.application, self.logins, name, **settings)
            return self.logins.sign_in(made, scheme)
        return self.target(name, make)

    def nginx(self):
        return self.target("nginx", lambda: programs.nginx_proxy(self.house, self.application))

    def haproxy(self):
        return self.target("haproxy", lambda: programs.haproxy(self.house, self.application))

    def apache(self):
        return self.target("apache", lambda: self.logins.sign_in(programs.apache(self.house, self.application, self.logins)))

    def envoy(self):
        return self.target("envoy", lambda: self.logins.sign_in(programs.envoy(self.house, self.options.envoy, self.application, self.logins)))

    def padded(self, cookie=""):
        """A cookie that makes every request as large as the gateway's."""
        missing = len(self.gateway().cookie) - len(cookie)
        filling = "pad=" + "x" * (missing - len("; pad="))
        return "; ".join(part for part in (cookie, filling) if part) if missing > len("; pad=") else cookie

    def measure(self, title, loads, base=None, count=None, seconds=None):
        rounds(loads, count or self.options.rounds, seconds or self.options.seconds)
        self.tell(report.comparison(title, loads, base))
        return loads

    def tell(self, text):
        self.tables.append(text)
        print(f"\n{text}", flush=True)

    # Rows.

    def requests(self):
        gateway, apache, envoy = self.gateway(), self.apache(), self.envoy()
        loads = [
            Load("nginx proxy_pass, bare", self.nginx(), cookie=self.padded()),
            Load("HAProxy, bare", self.haproxy(), cookie=self.padded()),
            Load("vestibule, public", gateway, "/public", gateway.cookie),
            Load("vestibule, signed in", gateway, cookie=gateway.cookie),
            Load(f"{envoy.label}, signed in", envoy, cookie=self.padded(envoy.cookie)),
            Load(f"{apache.label}, signed in", apache, cookie=self.padded(apache.cookie)),
        ]
        self.measure(f"Requests: 100-byte answer, {len(gateway.cookie)} bytes of Cookie to each (Envoy has {len(envoy.cookie)} of its own), one worker each", loads)
        nginx, _, public, warm, of_envoy, of_apache = (load.median("cpu") for load in loads)
        self.tell(report.plain("Against the targets", [
            ("", "measured", "target"),
            ("signed in / nginx bare", f"{warm / nginx:.2f}", "at most 1.00"),
            ("Apache mod_auth_openidc / signed in", f"{of_apache / warm:.1f}", "at least 12"),
            ("Envoy OAuth2 filter / signed in", f"{of_envoy / warm:.1f}", "at least 7.5"),
            ("signed in - public, µs", f"{warm - public:.2f}", "at most 1.5"),
            ("requests/s / nginx", f"{loads[3].median('rate') / loads[0].median('rate'):.2f}", "at least 1.00"),
            ("p50 / nginx", f"{loads[3].median('p50') / loads[0].median('p50'):.2f}", "at most 1.10"),
            ("p99 / nginx", f"{loads[3].median('p99') / loads[0].median('p99'):.2f}", "at most 1.20"),
        ]))
        self.compared = loads

    def sealed(self, gateway, count):
        """A file with the cookies of so many people, sealed with the gateway's key."""
        file = self.house.path(f"{count}-cookies")
        with open(file, "wb") as out:
            subprocess.run([self.options.seal, gateway.key, gateway.cookie, programs.CLIENT, str(count)], stdout=out, check=True)
        return file

    def cold(self):
        # A cache that holds a hundred sessions or so: no cookie is found in it when its turn comes again.
        gateway = self.gateway("vestibule-cold", session='cache_bytes = "1MiB"')
        file = self.sealed(gateway, 20_000)
        public = Load("vestibule, public, other cookies", gateway, "/public", script="cookies.lua", arguments=[file])
        cold = Load("vestibule, cold session", gateway, script="cookies.lua", arguments=[file])
        warm = Load("vestibule, warm session", gateway, cookie=gateway.cookie)
        self.measure("A session cookie never seen before in each request (target: at most 15 µs more than public)", [public, warm, cold])

    def challenge(self):
        loads = [Load("nginx proxy_pass, bare", self.nginx())]
        loads += [Load(f"{target.label}, 302", target, status=302) for target in (self.gateway(), self.envoy(), self.apache())]
        self.measure("A browser without a session is sent to sign in", loads, count=3)

    def bodies(self):
        gateway = self.gateway()
        for name in ("1k", "100k"):
            path = f"/files/{name}"
            loads = [Load(label, target, path, cookie) for label, target, cookie in (
                ("nginx proxy_pass, bare", self.nginx(), self.padded()), ("HAProxy, bare", self.haproxy(), self.padded()), ("vestibule, signed in", gateway, gateway.cookie))]
            self.measure(f"Answers of {name}", loads, count=3)

    def large(self):
        size, rows = 1 << 30, [("", "GiB/s", "CPU s", "memory grew by MiB")]
        for target in (self.nginx(), self.gateway(), self.nginx(), self.gateway()):
            for way, run, path in (("down", streams.download, "/files/1g"), ("up", streams.upload, "/upload")):
                found = run(target, path, size)
                rows.append((f"{target.label}, {way}", f"{found['rate']:.2f}", f"{found['cpu']:.2f}", f"{found['memory'] / MIB:.1f}"))
        self.tell(report.plain("1 GiB (nginx with buffering off)", rows))

    def latency(self):
        rows = [("", "median ms", "p99 ms", "longest ms")]
        for name, run in (("server-sent event", streams.events), ("WebSocket echo", streams.echo)):
            for target in (self.nginx(), self.gateway()):
                rows.append((f"{name}, {target.label}", *(f"{value:.3f}" for value in run(target))))
        self.tell(report.plain("Latency of streams (target: each event within 5 ms)", rows))

    def idle(self):
        fresh = programs.vestibule(self.house, self.options.vestibule, self.application, None, "vestibule-fresh", issuer=f"http://127.0.0.1:{free_port()}")
        rows = [("", "MiB", "target"), ("vestibule, just started", f"{fresh.program.memory() / MIB:.1f}", "8")]
        for target, wanted in ((programs.nginx_proxy(self.house, self.application, name="nginx-idle"), ""), (self.gateway("vestibule-idle", log=False), "80")):
            rows.append((f"{target.label}, no connection{', after a sign-in' if wanted else ''}", f"{target.program.memory() / MIB:.1f}", ""))
            memory, alive = streams.idle(target, 10_000)
            rows.append((f"{target.label}, {alive} idle connections", f"{memory / MIB:.1f}", wanted))
        self.tell(report.plain("Memory: idle connections", rows))

    def sessions(self):
        gateway = self.gateway("vestibule-sessions", log=False, session='cache_bytes = "64MiB"')
        file, before = self.sealed(gateway, 100_000), gateway.program.memory()
        load = Load("vestibule", gateway, script="cookies.lua", arguments=[file])
        sent, rows = 0, [("", "MiB"), ("before", f"{before / MIB:.1f}")]
        # Twice round the file: the second time must not make it grow.
        for turn in ("once", "twice"):
            while sent < (100_000 if turn == "once" else 200_000):
                sent += load.run(2)["requests"]
            rows.append((f"100 000 sessions, {turn}, cache of 64 MiB", f"{gateway.program.memory() / MIB:.1f}"))
        self.tell(report.plain("Memory: sessions", rows))

    def storm(self):
        gateway = self.gateway("vestibule-storm", session='refresh_before = "5s"', access_life=8)
        time.sleep(4)
        statuses = streams.burst(gateway, 200)
        refreshes = self.logins.refreshes("vestibule-storm")
        rows = [("", "measured", "target"), ("token requests", str(refreshes), "[200]"), ("failed requests", str(sum(status != 200 for status in statuses)), "0")]
        self.tell(report.plain("200 requests at once on a session that is due; the provider rotates refresh tokens and detects reuse", rows))

    def peers(self):
        self.tell(peers.compare(self))

    def tls(self):
        files = programs.certificate(self.house)
        gateway = self.gateway("vestibule-tls", "https", tls=files)
        nginx = self.target("nginx-tls", lambda: programs.nginx_proxy(self.house, self.application, files, name="nginx-tls"))
        haproxy = self.target("haproxy-tls", lambda: programs.haproxy(self.house, self.application, files, name="haproxy-tls"))
        cookie = "pad=" + "x" * (len(gateway.cookie) - 4)
        for version, h2 in (("HTTP/1.1", False), ("HTTP/2", True)):
            loads = [Load(label, target, cookie=value, scheme="https", h2=h2) for label, target, value in (
                ("nginx proxy_pass, bare", nginx, cookie), ("HAProxy, bare", haproxy, cookie), ("vestibule, signed in", gateway, gateway.cookie))]
            self.measure(f"TLS 1.3, {programs.CIPHER}, P-256, {version}", loads, count=3)

    def workers(self):
        gateway = self.gateway("vestibule-2", workers=2)
        nginx = self.target("nginx-2", lambda: programs.nginx_proxy(self.house, self.application, workers=2, name="nginx-2"))
        one = self.gateway()
        loads = [Load("nginx, 1 worker", self.nginx(), cookie=self.padded()), Load("nginx, 2 workers", nginx, cookie=self.padded(), pinned=False),
                 Load("vestibule, 1 worker", one, cookie=one.cookie), Load("vestibule, 2 workers", gateway, cookie=gateway.cookie, pinned=False)]
        self.measure("Two workers share two cores with client and application: the cost of a request should stay", loads, count=3)

    def start(self):
        spans = []
        for turn in range(5):
            issuer = f"http://127.0.0.1:{free_port()}"
            begin = time.monotonic()
            gateway = programs.vestibule(self.house, self.options.vestibule, self.application, None, f"vestibule-start-{turn}", issuer=issuer)
            with socket.create_connection(("127.0.0.1", gateway.port)) as connection:
                connection.sendall(f"GET /public HTTP/1.1\r\nHost: localhost:{gateway.port}\r\n\r\n".encode())
                answer = connection.recv(4096)
            spans.append((time.monotonic() - begin) * 1000)
            if b" 200 " not in answer:
                raise RuntimeError(f"not started: {answer!r}\n{gateway.program.said()}")
            gateway.program.stop()
        size = os.path.getsize(self.options.vestibule) / MIB
        self.tell(report.plain("Start and size", [
            ("", "measured", "target"), ("exec to first answer, provider unreachable, ms", f"{sorted(spans)[2]:.0f}", "under 50"), ("binary, MiB", f"{size:.1f}", "")]))


ROWS = ["requests", "cold", "challenge", "bodies", "large", "latency", "idle", "sessions", "storm", "peers", "tls", "workers", "start"]
QUICK = ["requests", "cold", "start"]


def main():
    parser = argparse.ArgumentParser(prog="tests/bench/run", description="vestibule beside nginx, HAProxy, Envoy, Apache and oauth2-proxy.")
    parser.add_argument("row", nargs="*", help=f"of {', '.join(ROWS)}; all without")
    parser.add_argument("--quick", action="store_true", help=f"{', '.join(QUICK)} with short rounds; under 3 minutes")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--chart", default=os.path.join(HERE, "chart.svg"))
    parser.add_argument("--output", default=os.path.join(HERE, "table.txt"))
    for program in ("vestibule", "seal", "envoy"):
        parser.add_argument(f"--{program}", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--oauth2-proxy", help=argparse.SUPPRESS)
    options = parser.parse_args()
    rows = options.row or (QUICK if options.quick else ROWS)
    if unknown := set(rows) - set(ROWS):
        parser.error(f"no such row: {', '.join(sorted(unknown))}")
    if options.quick:
        options.rounds, options.seconds = 3, 2
    os.sched_setaffinity(0, REST)
    with House() as house:
        bench = Bench(house, options)
        for row in rows:
            getattr(bench, row)()
        head = f"{datetime.date.today()}, {len(machine.CORES)} cores, load {os.getloadavg()[0]:.1f}; medians of {options.rounds} rounds of {options.seconds:g} s in turn"
        if rows == ROWS:
            with open(options.output, "w", encoding="utf-8") as file:
                file.write("\n\n".join([head, *bench.tables]) + "\n")
            report.chart(options.chart, "CPU time of one request, signed in where it says so (less is better)", bench.compared)
        print(f"\n{head}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("interrupted; everything is stopped")
