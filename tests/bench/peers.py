"""vestibule beside oauth2-proxy, the gateway that most people know: what each takes of the machine, and how it fares in a storm.

Both keep the whole session in the browser's cookie, use one core, write an access log, and stand before the same application; nobody
else is on the machine."""

import time

import programs
import report
import slow
import streams
from load import Load, rounds
from machine import free_port
from provider import Provider

CONNECTIONS, SIGN_INS, STORM = 1_000, 10_000, 200


class Vestibule:
    label = "vestibule"

    def __init__(self, bench):
        self.bench = bench

    def start(self, name, issuer):
        return programs.vestibule(self.bench.house, self.bench.options.vestibule, self.bench.application, None, name, issuer=issuer)

    def start_for_storm(self, name):
        return programs.vestibule(self.bench.house, self.bench.options.vestibule, self.bench.application, self.bench.logins, name,
                                  session='refresh_before = "5s"', access_life=8)


class Oauth2Proxy:
    label = "oauth2-proxy"

    def __init__(self, bench):
        self.bench = bench

    def start(self, name, issuer):
        return programs.oauth2_proxy(self.bench.house, self.bench.options.oauth2_proxy, self.bench.application, issuer, "bench", name=name)

    def start_for_storm(self, name):
        port = free_port()
        provider = self.bench.logins.provider(name, f"http://localhost:{port}", 8)
        return programs.oauth2_proxy(self.bench.house, self.bench.options.oauth2_proxy, self.bench.application, provider["issuer"], programs.CLIENT,
                                     provider["secret"], refresh="3s", name=name, port=port)


def compare(bench):
    """The table; a column for each program that is there."""
    peers = [Vestibule(bench)] + ([Oauth2Proxy(bench)] if bench.options.oauth2_proxy else [])
    provider = Provider()
    rows = [("", *(peer.label for peer in peers))]
    requests, challenges = [], []
    for peer in peers:
        target = peer.start(f"{peer.label}-requests", provider.issuer)
        target.cookie = slow.sign_in(target, provider, "ada")
        requests.append(Load(peer.label, target, cookie=target.cookie))
        challenges.append(Load(peer.label, target, status=302))
    for loads, label in ((requests, "signed in, CPU µs a request"), (challenges, "302 for a stranger, CPU µs")):
        rounds(loads, bench.options.rounds, bench.options.seconds)
        rows.append((label, *(f"{load.median('cpu'):.1f}" for load in loads)))
    rows.append(("cookie of a session, bytes", *(str(len(load.target.cookie)) for load in requests)))
    for load in requests:
        load.target.program.stop()
    columns = [measured(peer, provider) for peer in peers]
    rows += [(label, *(column[label] for column in columns)) for label in columns[0]]
    rows.append((f"token requests for {STORM} at once on a session that is due", *(storm(bench, peer) for peer in peers)))
    text = report.plain("Beside oauth2-proxy", rows)
    return text if len(peers) > 1 else f"{text}\n  oauth2-proxy is missing here: it is built with Go, which this machine does not have"


def measured(peer, provider):
    """What a program takes for itself, each time started afresh."""
    found, spans = {}, []
    for turn in range(5):
        begin = time.monotonic()
        target = peer.start(f"{peer.label}-start-{turn}", provider.issuer)
        with target.connect() as connection:
            connection.sendall(target.request("/"))
            connection.recv(4096)
        spans.append((time.monotonic() - begin) * 1000)
        target.program.stop()
    found["start to the first answer, ms"] = f"{sorted(spans)[2]:.0f}"

    target = peer.start(f"{peer.label}-idle", provider.issuer)
    found["memory at rest, MiB"] = f"{slow.resident(target):.1f}"
    target.cookie = slow.sign_in(target, provider, "ada")
    memory, alive = streams.idle(target, CONNECTIONS)
    if alive != CONNECTIONS:
        raise RuntimeError(f"{peer.label}: {alive} of {CONNECTIONS} connections are left")
    found["with 1 000 idle connections, MiB"] = f"{memory / slow.MIB:.1f}"
    target.program.stop()

    target = peer.start(f"{peer.label}-slow", provider.issuer)
    target.cookie = slow.sign_in(target, provider, "ada")
    _, most, _ = slow.slow(target, slow.PEERS, slow.download)
    found[f"with {slow.PEERS} slow downloads of 16 MiB, MiB"] = f"{most:.1f}"
    target.program.stop()

    target = peer.start(f"{peer.label}-sign-ins", provider.issuer)
    _, after, _, cpu = slow.sign_ins(target, provider, SIGN_INS)
    found["after 10 000 sign-ins, MiB"] = f"{after:.1f}"
    found["CPU ms a sign-in (redirect, callback, first page)"] = f"{cpu * 1000:.2f}"
    target.program.stop()
    return found


def storm(bench, peer):
    """Requests to the token endpoint that renew, and how many of the storm's requests were not answered by the application. The
    provider gives a new refresh token each time and takes an old one for stolen."""
    name = f"{peer.label}-storm"
    target = bench.logins.sign_in(peer.start_for_storm(name))
    time.sleep(4)
    failed = sum(status != 200 for status in streams.burst(target, STORM))
    refreshes = len(bench.logins.refreshes(name))
    target.program.stop()
    return f"{refreshes}, {failed} not answered"
