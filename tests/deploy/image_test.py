"""The image: deploy/Dockerfile, and the tree that deploy/image/rootfs makes of it where no container engine runs."""

import json
import os
import re
import stat

from deployment import CONFIG, DEPLOY, PUBLIC, ROOTFS, TOP, VERSION, get, ran, said, secret, until


def test_hadolint_has_nothing_against_the_dockerfile():
    said("hadolint", DEPLOY / "Dockerfile")


def dockerfile():
    text = re.sub(r"\\\n", " ", (DEPLOY / "Dockerfile").read_text())
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_the_second_stage_starts_from_nothing_and_runs_a_numeric_user():
    lines = dockerfile()
    second = lines[max(at for at, line in enumerate(lines) if line.startswith("FROM")) :]
    assert second[0] == "FROM scratch"
    assert "USER 65532:65532" in second
    assert [line for line in second if line.startswith("COPY")] == ["COPY --from=build /rootfs/ /"]
    assert not [line for line in second if line.startswith(("RUN", "ADD", "VOLUME"))], "no writable path"
    health = next(line for line in second if line.startswith("HEALTHCHECK"))
    assert health.endswith('CMD ["/usr/bin/vestibule", "health"]')


def test_what_the_build_needs_goes_into_it_and_nothing_else():
    rules = [line for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert rules[0] == "*"
    taken = {rule[1:] for rule in rules[1:]}
    assert all(list(TOP.glob(path)) for path in taken)
    manifest = (TOP / "Cargo.toml").read_text()
    named = {"tests/bench/*.rs" for path in re.findall(r'path = "([^"]+)"', manifest) if path.startswith("tests/bench/")}
    included = {f"deploy/{path}" for file in (TOP / "src").rglob("*.rs") for path in re.findall(r'include_str!\("(?:\.\./)+deploy/([^"]+)"\)', file.read_text())}
    assert taken == {"Cargo.toml", "Cargo.lock", "src", "deploy/image/rootfs"} | named | included


def test_the_tree_holds_the_program_the_roots_and_nobody_else():
    files = {str(path.relative_to(ROOTFS)) for path in ROOTFS.rglob("*") if not path.is_dir()}
    program = ROOTFS / "usr/bin/vestibule"
    libraries = {file for file in files if ".so" in file}
    if b"/lib64/ld-linux" not in program.read_bytes()[:4096]:
        assert libraries == set(), "a static program needs none"
    assert files - libraries == {"usr/bin/vestibule", "etc/ssl/certs/ca-certificates.crt", "etc/passwd", "etc/group"}
    for path in ROOTFS.rglob("*"):
        mode = path.lstat().st_mode
        assert not mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IWGRP | stat.S_IWOTH), f"{path}: {mode:o}"
    assert (ROOTFS / "etc/ssl/certs/ca-certificates.crt").read_text().count("BEGIN CERTIFICATE") > 50
    assert "root" not in (ROOTFS / "etc/passwd").read_text()


def test_the_gateway_runs_in_the_tree_read_only_and_tells_its_health(image, gateway):
    made = image(CONFIG, environment=PUBLIC)
    before = snapshot()
    running = gateway(made)
    status, _, _ = get(f"http://127.0.0.1:{running.port}/", {"Host": "wiki.example.com"})
    assert status == 204
    assert made.ran("health").returncode == 0
    assert made.ran("health", "--ready").returncode == 0
    assert snapshot() == before
    running.stop()
    assert made.ran("health").returncode == 1


def test_the_program_is_what_the_manifest_says_and_finds_the_roots(image):
    made = image(CONFIG)
    assert made.ran("--version").stdout.strip() == f"vestibule {VERSION}"
    assert made.checked()["redirect_uris"] == ["https://wiki.example.com/_vestibule/callback"]


def test_a_secret_that_kubernetes_swaps_is_taken_within_ten_seconds(image, gateway):
    made = image(CONFIG, environment={"VESTIBULE__LOG__AUDIT": "stdout"})
    secrets = {"client_secret": secret(), "session_key": secret()}
    made.mount("vestibule", secrets)
    running = gateway(made)
    made.mount("vestibule", secrets | {"client_secret": secret()})
    (line,) = until("the new secret to be taken", lambda: running.audited("config.reloaded"), within=10)
    assert "provider.corp.client_secret" in line["detail"] and "session.keys" not in line["detail"]
    # Half of what is needed is not taken, and what is in force stays.
    made.mount("vestibule", secrets | {"session_key": "no key"})
    until("the new key to be refused", lambda: running.audited("config.rejected"), within=10)
    assert running.ready()
    assert all(value not in running.output() for value in secrets.values())


def test_each_line_of_the_audit_log_is_one_of_the_schema(image, gateway, application, tmp_path):
    made = image(CONFIG, environment=PUBLIC | {"VESTIBULE__ROUTE__WIKI__UPSTREAM": application().url, "VESTIBULE__LOG__AUDIT": "stdout"})
    running = gateway(made)
    page = {"Host": "wiki.example.com", "X-Forwarded-For": "192.0.2.7", "X-Forwarded-User": "root", "Accept": "text/html", "Sec-Fetch-Mode": "navigate"}
    for path in ["/", "/_vestibule/callback?code=c&state=s"]:
        get(f"http://127.0.0.1:{running.port}{path}", page)
    (made.secrets / "vestibule/session_key").chmod(0o640)
    (made.secrets / "vestibule/session_key").write_text(secret())
    until("the new key to be taken", lambda: running.audited("config.reloaded"), within=10)
    lines = running.audited()
    assert {"login.failed", "header.spoof_attempt", "config.reloaded"} <= {line["event"] for line in lines}, lines
    files = []
    for number, line in enumerate([*lines, lines[0] | {"token": "t"}]):
        files.append(tmp_path / f"{number}.json")
        files[-1].write_text(json.dumps(line))
    schema = ["check-jsonschema", "--schemafile", DEPLOY / "schema/audit.schema.json"]
    said(*schema, *files[:-1])
    assert ran(*schema, files[-1]).returncode != 0, "a field that is not in it"


def test_a_tree_is_never_made_where_something_is(tmp_path):
    (tmp_path / "mine").write_text("")
    done = ran(DEPLOY / "image/rootfs", "--binary", "/bin/true", tmp_path)
    assert done.returncode == 73 and "not empty" in done.stderr
    assert os.listdir(tmp_path) == ["mine"]


def snapshot():
    return {str(path): (path.lstat().st_mtime_ns, path.lstat().st_size) for path in ROOTFS.rglob("*")}
