"""A pod is deleted: a stand-in for the kubelet and for the balancer does what Kubernetes does, in its order and at its pace, with the
times of the manifests, and nobody's request fails.

Deletion marks the endpoint at once, balancers stop using it LAG later, and meanwhile containers are told to end: ordinary ones all
together, each after its own preStop; a native sidecar once the others have ended.
"""

import http.client
import threading
import time

import pytest

from deployment import DEPLOY, PUBLIC, get, until
from kubernetes_test import containers, gateway_of, is_native, of_kind, pods

# How long balancers go on sending requests to a pod that is being deleted.
LAG = 3.0
SLOW = 4.0
HOST = {"Host": "wiki.example.com"}


class Balancer:
    """Sends requests for as long as the endpoint is there: new connections, and one that is kept."""

    def __init__(self, port):
        self.port, self.there, self.answers = port, threading.Event(), []
        self.there.set()
        self.threads = [threading.Thread(target=work) for work in (self.anew, self.kept, self.slowly)]
        for thread in self.threads:
            thread.start()

    def anew(self):
        while self.there.is_set():
            self.answers.append(get(f"http://127.0.0.1:{self.port}/", HOST)[0])

    def slowly(self):
        while self.there.is_set():
            self.answers.append(get(f"http://127.0.0.1:{self.port}/slow", HOST, timeout=30)[0])

    def kept(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        while self.there.is_set():
            try:
                connection.request("GET", "/", headers=HOST)
                answer = connection.getresponse()
                answer.read()
                self.answers.append(answer.status)
            except (OSError, http.client.HTTPException):
                self.answers.append(0)
                connection.close()
        connection.close()

    def finish(self):
        for thread in self.threads:
            thread.join()
        return self.answers


def pre_stop(container):
    """How long a container's preStop takes, in seconds."""
    command = container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", ["sleep", "0"])
    assert command[0] == "sleep"
    return float(command[1])


def deleted(gateway, application, native, times):
    """Deletes the pod; gives what the balancer saw, and how long the pod took to end."""
    balancer = Balancer(gateway.port)
    until("requests to be answered", lambda: len(balancer.answers) > 20)
    start = time.monotonic()
    threading.Timer(LAG, balancer.there.clear).start()
    ending = threading.Timer(times["application"], application.stop) if times["application"] is not None else None
    if ending:
        ending.start()
        if native:
            ending.join()
    gateway.terminate()
    until("the readiness to be gone", lambda: gateway.admin("/readyz")[0] in (0, 503), within=0.5)
    code = gateway.process.wait(timeout=times["grace"])
    took = time.monotonic() - start
    if ending:
        ending.join()
    return balancer.finish(), code, max(took, times["application"] or 0.0)


@pytest.mark.parametrize("name", ["central.yaml", "sidecar.yaml", "sidecar-1.25.yaml"])
def test_nobody_notices_that_a_pod_is_deleted(name, image, gateway, application):
    source = DEPLOY / "kubernetes" / name
    (pod,) = pods(source)
    native = is_native(source)
    beside = [one for one in containers(pod) if one["name"] != "vestibule"]
    assert pre_stop(gateway_of(pod)) == 0
    times = {"application": pre_stop(beside[0]) if beside else None, "grace": pod["spec"]["terminationGracePeriodSeconds"]}
    (config,) = of_kind(source, "ConfigMap")
    upstream = application(slow=SLOW)
    running = gateway(image(config["data"]["vestibule.toml"], environment=PUBLIC | {"VESTIBULE__ROUTE__WIKI__UPSTREAM": upstream.url}))
    answers, code, took = deleted(running, upstream, native, times)
    assert set(answers) == {200}, {status: answers.count(status) for status in set(answers)}
    assert len(answers) > 100
    assert code == 0, running.output()
    assert took < times["grace"], "the kubelet would have killed it"


def test_without_the_delay_somebody_would(image, gateway, application):
    (config,) = of_kind(DEPLOY / "kubernetes/central.yaml", "ConfigMap")
    upstream = application(slow=SLOW)
    environment = PUBLIC | {"VESTIBULE__ROUTE__WIKI__UPSTREAM": upstream.url, "VESTIBULE__SERVER__DRAIN__DELAY": "0s"}
    answers, _, _ = deleted(gateway(image(config["data"]["vestibule.toml"], environment=environment)), upstream, False, {"application": None, "grace": 30})
    assert 0 in answers


def test_a_gateway_that_drains_after_its_application_has_ended_asks_to_come_back(image, gateway, application):
    (config,) = of_kind(DEPLOY / "kubernetes/sidecar.yaml", "ConfigMap")
    upstream = application()
    running = gateway(image(config["data"]["vestibule.toml"], environment=PUBLIC | {"VESTIBULE__ROUTE__WIKI__UPSTREAM": upstream.url}))
    assert get(f"http://127.0.0.1:{running.port}/", HOST)[0] == 200
    upstream.stop()
    running.terminate()
    until("the drain to begin", lambda: running.admin("/readyz")[0] == 503)
    status, headers, _ = get(f"http://127.0.0.1:{running.port}/", HOST)
    assert status == 503, "not 502: the pod is going, and another one answers"
    assert headers["Retry-After"]
