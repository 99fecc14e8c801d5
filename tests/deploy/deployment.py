"""What every test of deploy/ needs: its folder, the gateway in the image's tree, stand-ins for secrets, and programs that end."""

import base64
import contextlib
import http.server
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import yaml

TOP = Path(__file__).resolve().parents[2]
DEPLOY = TOP / "deploy"
ROOTFS = Path(os.environ["VESTIBULE_ROOTFS"])
VERSION = next(line.split('"')[1] for line in (TOP / "Cargo.toml").read_text().splitlines() if line.startswith("version ="))
CONFIG_FILE = "/etc/vestibule/vestibule.toml"
SECRETS = "/run/secrets"

# A gateway without an application, and what lets strangers pass it.
CONFIG = """
[server]
public_url = "https://wiki.example.com"
trusted_proxies = ["10.0.0.0/8"]

[provider.corp]
issuer = "https://login.example.com/realms/corp"
client_id = "wiki"
client_secret = { file = "/run/secrets/vestibule/client_secret" }

[session]
keys = [{ file = "/run/secrets/vestibule/session_key" }]

[route.wiki]
upstream = "static:204"
"""
PUBLIC = {"VESTIBULE__ROUTE__WIKI__ACCESS": "public"}


def ran(*command, text=None, **options):
    """Runs a program to its end."""
    return subprocess.run([str(part) for part in command], input=text, text=True, capture_output=True, timeout=300, **options)


def said(*command, **options):
    """The standard output of a program that has to succeed."""
    done = ran(*command, **options)
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def documents(text):
    """The objects of a YAML stream."""
    return [one for one in yaml.safe_load_all(text) if one]


def secret():
    """A stand-in for a secret, which does as a session key too."""
    return base64.b64encode(os.urandom(32)).decode()


class Image:
    """The tree of the image with a configuration and stand-ins for its secrets."""

    def __init__(self, folder, config, secrets=("vestibule/client_secret", "vestibule/session_key"), environment=None):
        self.config, self.secrets, self.environment = folder / "config", folder / "secrets", environment or {}
        self.config.mkdir(parents=True)
        (self.config / "vestibule.toml").write_text(config)
        for name in secrets:
            file = self.secrets / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(secret())
            # As the kubelet mounts them, with `defaultMode: 0440` and the group of the pod.
            file.chmod(0o440)
        self.secrets.mkdir(exist_ok=True)

    def mount(self, volume, values):
        """Puts secrets into a volume as the kubelet does: each is a link through `..data`, which it swaps for another folder in one step."""
        mounted = self.secrets / volume
        mounted.mkdir(parents=True, exist_ok=True)
        data = Path(tempfile.mkdtemp(prefix="..", dir=mounted))
        data.chmod(0o755)
        for name, value in values.items():
            (data / name).write_text(value)
            (data / name).chmod(0o440)
            link = mounted / name
            if not link.is_symlink():
                link.unlink(missing_ok=True)
                link.symlink_to(f"..data/{name}")
        before = (mounted / "..data").resolve() if (mounted / "..data").is_symlink() else None
        (mounted / "..data_tmp").symlink_to(data.name)
        (mounted / "..data_tmp").rename(mounted / "..data")
        if before:
            shutil.rmtree(before)

    def command(self, *arguments):
        environment = [part for name, value in self.environment.items() for part in ("--env", f"{name}={value}")]
        return [DEPLOY / "image/rootfs", "--run", ROOTFS, "--config", self.config, "--secrets", self.secrets, *environment, *arguments]

    def ran(self, *arguments):
        """A command of the program to its end."""
        return ran(*self.command(*arguments))

    def checked(self):
        """What `check` says of the configuration, warnings counted as errors."""
        done = self.ran("check", "--offline", "--deny-warnings", "--format", "json")
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)


class Gateway:
    """`vestibule run` in the tree of the image, until the test ends."""

    def __init__(self, image):
        self.port, self.admin_port = free_port(), free_port()
        image.environment |= {
            "VESTIBULE__SERVER__LISTEN": f"127.0.0.1:{self.port}",
            "VESTIBULE__ADMIN__LISTEN": f"127.0.0.1:{self.admin_port}",
        }
        self.image = image
        self.started = time.monotonic()
        # To a file: nobody reads a pipe while the gateway runs, and it fills.
        self.written = image.config.parent / "output"
        with self.written.open("w") as output:
            self.process = subprocess.Popen([str(part) for part in image.command()], stdout=output, stderr=subprocess.STDOUT)

    def wait_ready(self):
        until("the gateway to be ready", lambda: self.process.poll() is not None or self.ready())
        assert self.process.poll() is None, self.output()
        return self

    def output(self):
        """What it has written so far."""
        return self.written.read_text()

    def audited(self, event=None):
        """The lines of the audit log so far, of one event or all."""
        lines = [json.loads(line) for line in self.output().splitlines() if '"log":"audit"' in line and line.endswith("}")]
        return [line for line in lines if event in (None, line["event"])]

    def ready(self):
        return self.admin("/readyz")[0] == 200

    def admin(self, path):
        return get(f"http://127.0.0.1:{self.admin_port}{path}")

    def terminate(self):
        """SIGTERM to the gateway itself: bwrap, which started it, does not pass signals on."""
        (child,) = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        inner = Path(f"/proc/{child}/task/{child}/children").read_text().split()
        os.kill(int(inner[0] if inner else child), 15)

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def get(url, headers=None, timeout=10):
    """Status, headers and text of an answer; status 0 and the reason where there is none."""
    opener = urllib.request.build_opener(NoRedirects, urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url, headers=headers or {}), timeout=timeout) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as answer:
        return answer.code, answer.headers, answer.read().decode()
    except OSError as cause:
        return 0, {}, str(cause)


class Application:
    """An application on loopback; `/slow` takes its time."""

    def __init__(self, slow=2.0):
        connections = self.connections = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                super().setup()
                connections.append(self.connection)

            def do_GET(self):
                if self.path == "/slow":
                    time.sleep(slow)
                body = b"the application"
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


GIVEN = set()


def free_port():
    """A port that is free, and that no other test gets."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        if port not in GIVEN:
            GIVEN.add(port)
            return port


def until(what, check, within=30.0):
    """Waits until `check` gives something."""
    end = time.monotonic() + within
    while not (found := check()):
        assert time.monotonic() < end, f"not within {within} s: {what}"
        time.sleep(0.02)
    return found
