"""`access = "journald"`: a real journald, in a mount namespace of its own, finds each record by its fields."""

import json
import os
import subprocess

import pytest

from deployment import ROOTFS, free_port, ran

JOURNALD = "/lib/systemd/systemd-journald"
CONFIG = """
server.listen = "127.0.0.1:{port}"
server.public_url = "http://wiki.example"
admin.listen = []
log = {{ access = "journald", audit = "journald" }}
session.keys = ["{key}"]
provider.idp = {{ issuer = "http://127.0.0.1:9", client_id = "wiki", client_secret = "only for tests" }}
route.app = {{ upstream = "static:204", access = "public" }}
"""
# Journald has /run for itself; what it has taken is printed when all of it is there.
SCRIPT = """
set -eu
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/journal /run/log/journal
{journald} & journald=$!
trap 'kill $journald $gateway' EXIT
until [ -S /run/systemd/journal/socket ]; do kill -0 $journald; sleep 0.05; done
{vestibule} run -c {config} & gateway=$!
ask() {{ curl --silent --output /dev/null --retry 50 --retry-delay 1 --retry-connrefused --header 'Host: wiki.example' "http://127.0.0.1:{port}$1"; }}
ask '/page?a=b'
ask '/_vestibule/callback?code=c0de'
found() {{ journalctl --directory=/run/log/journal --no-pager --output=json "$@"; }}
for _ in $(seq 200); do [ "$(found VESTIBULE_LOG=access | wc -l)" -ge 2 ] && found VESTIBULE_EVENT=login.failed | grep -q . && break; sleep 0.05; done
found VESTIBULE_LOG=access VESTIBULE_STATUS=204
found VESTIBULE_EVENT=login.failed
"""


def test_the_journal_finds_requests_and_events_by_their_fields(tmp_path):
    if not os.access(JOURNALD, os.X_OK):
        pytest.fail("no systemd-journald: apt-get install systemd")
    vestibule = ROOTFS / "usr/bin/vestibule"
    config, port = tmp_path / "vestibule.toml", free_port()
    config.write_text(CONFIG.format(port=port, key=ran(vestibule, "keys", "new").stdout.strip()))
    script = SCRIPT.format(journald=JOURNALD, vestibule=vestibule, config=config, port=port)
    done = subprocess.run(["unshare", "--mount", "bash", "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    request, event = [json.loads(line) for line in done.stdout.splitlines()]
    assert (request["VESTIBULE_PATH"], request["VESTIBULE_ROUTE"], request["PRIORITY"]) == ("/page?a=b", "app", "6")
    assert (event["VESTIBULE_REASON"], event["PRIORITY"], event["SYSLOG_IDENTIFIER"]) == ("state_missing", "4", "vestibule")
    assert event["MESSAGE"].startswith("login.failed failure state_missing ")
    assert "c0de" not in done.stdout
