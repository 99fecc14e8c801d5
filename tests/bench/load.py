"""Load from wrk and h2load, and what it cost the program that was loaded."""

import os
import re
import statistics
import subprocess

from machine import CORES, REST

CONNECTIONS = 32
HEADERS = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language": "en-US,en;q=0.5",
    "Accept-Encoding": "gzip, deflate",
}
HERE = os.path.dirname(os.path.abspath(__file__))


class Load:
    """One row of the table: a target, and what is asked of it."""

    def __init__(self, label, target, path="/", cookie=None, scheme="http", script=None, arguments=(), status=200, h2=False, pinned=True):
        self.label, self.target, self.path, self.cookie, self.scheme = label, target, path, cookie, scheme
        self.script, self.arguments, self.status, self.h2, self.pinned = script, arguments, status, h2, pinned
        self.samples = []

    def run(self, seconds):
        before = self.target.program.cpu()
        sample = (h2load if self.h2 else wrk)(self, seconds)
        sample["cpu"] = (self.target.program.cpu() - before) / max(sample["requests"], 1) * 1e6
        if sample["failed"] and self.status == 200:
            raise RuntimeError(f"{self.label}: {sample['failed']} failed requests\n{self.target.program.said()}")
        return sample

    def median(self, what):
        return statistics.median(sample[what] for sample in self.samples)

    def headers(self):
        fields = dict(HEADERS)
        if self.cookie:
            fields["Cookie"] = self.cookie
        return [argument for name, value in fields.items() for argument in ("-H", f"{name}: {value}")]

    def url(self):
        return self.target.url(self.path, self.scheme)


def rounds(loads, count, seconds):
    """Loads each in turn, so that a noisy minute hits all alike. The first, short, turn only warms up."""
    for load in loads:
        load.run(0.5)
    for _ in range(count):
        for load in loads:
            load.samples.append(load.run(seconds))
    return loads


def tool(command, pinned):
    cores = REST if pinned else CORES
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, preexec_fn=lambda: os.sched_setaffinity(0, cores))
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:6])} …: {done.stdout}{done.stderr}")
    return done.stdout


def wrk(load, seconds):
    script = ["-s", os.path.join(HERE, load.script)] if load.script else []
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", "--latency", "--timeout", "10s", *script, *load.headers(), load.url()]
    text = tool(command + (["--", *load.arguments] if load.arguments else []), load.pinned)
    spans = {name: milliseconds(value) for name, value in re.findall(r"^\s+(50|99)%\s+(\S+)$", text, re.M)}
    sockets = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    other = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    requests = int(re.search(r"(\d+) requests in", text).group(1))
    failed = int(other.group(1)) if other else 0
    failed += sum(map(int, sockets.groups())) if sockets else 0
    return {"requests": requests, "rate": float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1)), "p50": spans["50"], "p99": spans["99"], "failed": failed}


def h2load(load, seconds):
    """HTTP/2: 32 connections with 4 requests in flight on each. h2load keeps no percentiles, so there are none."""
    command = ["h2load", "-t1", f"-c{CONNECTIONS}", "-m4", f"-D{max(1, round(seconds))}", *load.headers(), load.url()]
    text = tool(command, load.pinned)
    counts = dict((name, int(value)) for value, name in re.findall(r"(\d+) (2xx|succeeded|failed|errored|timeout)", text))
    seconds, rate = re.search(r"finished in ([\d.]+)s, ([\d.]+) req/s", text).groups()
    return {"requests": counts["2xx"], "rate": float(rate), "p50": 0.0, "p99": 0.0, "failed": counts["failed"] + counts["errored"] + counts["timeout"]}


def milliseconds(text):
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000, "m": 60000}[unit]
