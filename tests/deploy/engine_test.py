"""The Dockerfile, built and run by a real container engine (buildah, podman). In place of the image with the compiler there is a Debian
with stand-ins for its programs, which give the program that the tests have built."""

import json
import os
import re
import subprocess
import time

import pytest

from deployment import CONFIG, DEPLOY, PUBLIC, ROOTFS, TOP, free_port, get, ran, secret, until

HERE = TOP / "tests/deploy"


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """Runs a command of buildah or podman on a store of its own."""
    store = tmp_path_factory.mktemp("engine")
    environment = os.environ | {"BUILDAH_ISOLATION": "chroot"}
    more = {"buildah": [], "podman": ["--cgroup-manager", "cgroupfs", "--runtime", "runc", "--events-backend", "none"]}

    def run(program, *command, check=True):
        done = ran(program, "--root", store / "root", "--runroot", store / "run", "--storage-driver", "vfs", *more[program], *command, env=environment)
        assert done.returncode == 0 or not check, f"{command}: {done.stdout[-2000:]}{done.stderr[-4000:]}"
        return done

    yield run
    run("podman", "rm", "--all", "--force")
    run("buildah", "rm", "--all")
    subprocess.run(["rm", "-rf", store], check=True)


@pytest.fixture(scope="module")
def built(engine):
    """The image, and what it is."""
    (base,) = re.findall(r"^FROM (\S+) AS build$", (DEPLOY / "Dockerfile").read_text(), re.M)
    container = engine("buildah", "from", "scratch").stdout.strip()
    for source, target in [(os.environ["VESTIBULE_DEBIAN"], "/"), (HERE / "toolchain", "/usr/local/bin"), (ROOTFS / "usr/bin/vestibule", "/stand-in/vestibule")]:
        engine("buildah", "copy", "--quiet", container, source, target)
    engine("buildah", "commit", "--quiet", "--rm", container, base)
    how = ["--network", "host", "--pull-never", "--layers=false", "--format", "docker", "--ignorefile", DEPLOY / "Dockerfile.dockerignore"]
    engine("buildah", "build", *how, "--file", DEPLOY / "Dockerfile", "--tag", "vestibule:test", TOP)
    return json.loads(engine("podman", "image", "inspect", "localhost/vestibule:test").stdout)[0]


def test_the_image_is_one_layer_of_the_tree_with_a_numeric_user(built, engine):
    config = built["Config"]
    assert config["User"] == "65532:65532"
    assert (config["Entrypoint"], config["Cmd"]) == (["/usr/bin/vestibule"], ["run"])
    assert set(config["ExposedPorts"]) == {"4180/tcp", "4181/tcp"} and "Volumes" not in config
    assert len(built["RootFS"]["Layers"]) == 1
    container = engine("buildah", "from", "--pull-never", "localhost/vestibule:test").stdout.strip()
    inside = engine("buildah", "mount", container).stdout.strip()

    def files(root):
        return {os.path.relpath(os.path.join(folder, name), root) for folder, _, names in os.walk(root) for name in names}

    assert files(inside) == files(ROOTFS)


def test_it_runs_read_only_tells_its_health_and_stops_in_peace(built, engine, tmp_path):
    port, admin = free_port(), free_port()
    (tmp_path / "config").mkdir()
    (tmp_path / "config/vestibule.toml").write_text(CONFIG)
    (tmp_path / "secrets").mkdir()
    for name in ["client_secret", "session_key"]:
        file = tmp_path / "secrets" / name
        file.write_text(secret())
        os.chown(file, 65532, 65532)
        file.chmod(0o400)
    for folder in [tmp_path, *tmp_path.parents]:
        if folder.stat().st_uid == os.getuid() and str(folder).startswith("/tmp/"):
            folder.chmod(folder.stat().st_mode | 0o011)
    confined = ["--read-only", "--read-only-tmpfs=false", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--network", "host"]
    limits = ["--ulimit", "nofile=4096:4096", "--ulimit", "nproc=1024:1024"]
    mounts = ["-v", f"{tmp_path}/config:/etc/vestibule:ro", "-v", f"{tmp_path}/secrets:/run/secrets/vestibule:ro"]
    where = [*(f"--env={name}={value}" for name, value in PUBLIC.items()), "--env", f"VESTIBULE__SERVER__LISTEN=127.0.0.1:{port}", "--env", f"VESTIBULE__ADMIN__LISTEN=127.0.0.1:{admin}"]
    engine("podman", "run", "--detach", "--name", "gateway", *confined, *limits, *mounts, *where, "localhost/vestibule:test")
    until("the gateway to be ready", lambda: get(f"http://127.0.0.1:{admin}/readyz")[0] == 200)
    assert get(f"http://127.0.0.1:{port}/", {"Host": "wiki.example.com"})[0] == 204
    assert engine("podman", "healthcheck", "run", "gateway").returncode == 0
    start = time.monotonic()
    engine("podman", "stop", "--time", "20", "gateway")
    assert time.monotonic() - start < 10
    state = json.loads(engine("podman", "inspect", "gateway").stdout)[0]["State"]
    assert (state["Status"], state["ExitCode"]) == ("exited", 0)
