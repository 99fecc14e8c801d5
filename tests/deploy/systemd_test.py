"""The units: read by this machine's systemd without starting anything, and started, reloaded, watched and stopped by a real one, in a
Debian 13 that systemd-nspawn boots."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from deployment import DEPLOY, VERSION, ran, said

FOLDER = DEPLOY / "systemd"
UNITS = ["vestibule.service", "vestibule@.service", "vestibule.socket"]
# systemd before 253 does not know this type, says so and goes on; it is there below the one that it knows.
OLD = re.compile(r"Failed to parse service type, ignoring: notify-reload")


@pytest.mark.parametrize("unit", ["vestibule.service", "vestibule@.service"])
def test_units_expose_at_most_one_and_a_half(unit):
    done = ran("systemd-analyze", "security", "--offline=true", "--threshold=15", "--no-pager", FOLDER / unit)
    assert done.returncode == 0, done.stdout
    assert "exposure level" in done.stdout
    assert ran("systemd-analyze", "security", "--offline=true", "--threshold=5", "--no-pager", FOLDER / unit).returncode != 0


def root_with_units(root):
    """A root with what the units name, for `systemd-analyze --root`; gives the folder of the units."""
    units = root / "etc/systemd/system"
    shutil.copytree(FOLDER, units, ignore=shutil.ignore_patterns("*.md"))
    for folder in ["usr/lib/systemd/system", "lib/systemd/system"]:
        if Path("/", folder).exists() and not (root / folder).exists():
            shutil.copytree(Path("/", folder), root / folder, symlinks=True)
    program = root / "usr/bin/vestibule"
    program.parent.mkdir(parents=True)
    shutil.copy("/bin/true", program)
    shutil.copy("/bin/kill", root / "usr/bin/kill")
    if not (root / "bin").exists():
        (root / "bin").symlink_to("usr/bin")
    return units


def complaints(root):
    """What systemd has against the units. It ends 0 for keys that it does not know, too: what it prints counts."""
    done = ran("systemd-analyze", f"--root={root}", "--man=no", "verify", *UNITS)
    return [line for line in (done.stdout + done.stderr).splitlines() if "vestibule" in line and not OLD.search(line)]


def test_systemd_understands_every_line(tmp_path):
    units = root_with_units(tmp_path)
    assert complaints(tmp_path) == []
    with (units / "vestibule.service").open("a") as file:
        file.write("[Service]\nProtectNonsense=yes\n")
    assert any("ProtectNonsense" in line for line in complaints(tmp_path))


def test_older_systemd_finds_a_type_that_it_knows_first():
    for unit in UNITS[:2]:
        lines = (FOLDER / unit).read_text().splitlines()
        types = [line for line in lines if line.startswith("Type=")]
        assert types == ["Type=notify", "Type=notify-reload"]


@pytest.fixture(scope="module")
def booted(tmp_path_factory):
    """What tests/deploy/booted found."""
    test = tmp_path_factory.mktemp("booted")
    shutil.copy(Path(__file__).parent / "booted", test)
    (test / "test.service").write_text("[Service]\nType=oneshot\nExecStart=/test/booted\nTimeoutStartSec=120\nFailureAction=poweroff-immediate\n")
    (test / "test.target").write_text("[Unit]\nRequires=multi-user.target\nAfter=multi-user.target\nWants=test.service\n")
    shutil.copy(os.environ["VESTIBULE_DEB"], test / "vestibule.deb")
    units = [test / "test.service", test / "test.target"]
    given = [f"--bind-ro={unit}:/usr/lib/systemd/system/{unit.name}" for unit in units]
    given.append(f"--bind={test}:/test")
    # What it writes is gone with it.
    how = ["--quiet", "--register=no", "--keep-unit", "--private-network", "--volatile=overlay", "--boot"]
    command = ["systemd-nspawn", *how, *given, "-D", os.environ["VESTIBULE_DEBIAN"], "--", "systemd.unit=test.target"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        console, _ = process.communicate(timeout=180)
    except subprocess.TimeoutExpired:
        # SIGKILL to nspawn alone would leave the container.
        process.terminate()
        console, _ = process.communicate()
    results = test / "results"
    found = dict(line.split(" ", 1) if " " in line else (line, "") for line in results.read_text().splitlines()) if results.exists() else {}
    assert found.get("end") == "yes", f"{found}\n{console[-4000:]}"
    return found


def test_the_package_holds_what_the_page_says_and_says_what_it_is():
    deb = os.environ["VESTIBULE_DEB"]
    fields = dict(line.split(": ", 1) for line in said("dpkg-deb", "--field", deb).splitlines() if re.match(r"\S+: ", line))
    assert (fields["Package"], fields["Version"].split("-")[0]) == ("vestibule", VERSION)
    listed = [line.split() for line in said("dpkg-deb", "--contents", deb).splitlines()]
    files = {name.removeprefix("."): (mode, owner) for mode, owner, *_, name in listed if mode[0] != "d"}
    assert all(owner == "0/0" for _, owner in files.values())
    assert files["/usr/bin/vestibule"][0] == "-rwxr-xr-x"
    assert {"/etc/vestibule/vestibule.toml", "/usr/share/doc/vestibule/copyright", "/usr/share/doc/vestibule/config.example.toml"} <= set(files)
    assert {f"/usr/lib/systemd/system/{unit}" for unit in UNITS} <= set(files)


def test_the_package_has_a_page_for_each_command_and_completions(tmp_path):
    said("dpkg-deb", "--extract", os.environ["VESTIBULE_DEB"], tmp_path)
    share = tmp_path / "usr/share"
    pages = {path.name for path in share.glob("man/man?/*.gz")}
    commands = re.findall(r"^  (\w+) ", said(tmp_path / "usr/bin/vestibule", "--help").split("Commands:")[1].split("Options:")[0], re.M)
    assert {"vestibule.1.gz", "vestibule.toml.5.gz"} | {f"vestibule-{name}.1.gz" for name in commands if name != "help"} <= pages
    for unit in UNITS[:2]:
        named = re.search(r"^Documentation=(.*)$", (FOLDER / unit).read_text(), re.M)[1]
        assert {f"{page[4:-3]}.{page[-2]}.gz" for page in named.split() if page.startswith("man:")} <= pages
    assert (share / "zsh/vendor-completions/_vestibule").read_text().startswith("#compdef vestibule")
    assert "complete -c vestibule" in (share / "fish/vendor_completions.d/vestibule.fish").read_text()
    bash = 'source "$1" && COMP_WORDS=(vestibule gen) COMP_CWORD=1 && _vestibule vestibule gen vestibule && echo "${COMPREPLY[@]}"'
    assert said("bash", "-c", bash, "bash", share / "bash-completion/completions/vestibule").strip() == "generate"


def test_lintian_finds_no_error():
    done = ran("lintian", "--fail-on", "error", os.environ["VESTIBULE_DEB"])
    assert done.returncode == 0, done.stdout + done.stderr


def test_its_configuration_is_all_comments_and_becomes_one_without_them():
    text = (FOLDER / "debian/vestibule.toml").read_text()
    assert all(not line or line.startswith("#") for line in text.splitlines())


def test_it_is_installed_and_not_started(booted):
    assert booted["install.exit"] == "0"
    assert booted["install.state"] == "inactive disabled disabled"
    assert booted["install.conffiles"] == "/etc/vestibule/vestibule.toml"
    assert booted["install.mode"] == "root 755 root 644"


def test_it_does_not_start_until_it_is_configured(booted):
    assert booted["unconfigured.exit"] != "0" and booted["unconfigured.state"] == "failed 0", "without secrets"
    assert booted["unwritten.exit"] != "0" and booted["unwritten.state"] == "failed 78 0", "without a configuration"
    assert booted["check.exit"] == "0"


def test_a_newcomer_answers_a_few_questions_fills_in_the_secret_and_starts_it(booted):
    assert (booted["init.exit"], booted["init.mode"]) == ("0", "root 644 root 600 root 600")
    assert booted["init.check"] == "0"
    assert booted["init.state"] == "active enabled"
    assert booted["init.answer"] == "401", "nobody is signed in"


def test_an_upgrade_restarts_it_with_the_configuration_that_is_there(booted):
    assert (booted["upgrade.restarted"], booted["upgrade.configuration"]) == ("active", "204")


def test_a_removal_leaves_the_configuration_and_a_purge_nothing(booted):
    assert (booted["remove.exit"], booted["purge.exit"]) == ("0", "0")
    assert booted["remove.state"] == "inactive inactive rc"
    assert booted["remove.left"] == "/etc/vestibule/vestibule.toml"
    assert booted["purge.left"] in ("", "un")


def test_it_starts_and_says_so_with_its_secrets_as_credentials(booted):
    assert (booted["start.exit"], booted["start.state"], booted["start.type"]) == ("0", "active", "notify-reload")
    assert booted["start.answer"] == "204"
    assert booted["start.health"] == "ok"
    assert booted["start.status_text"]


def test_it_is_confined(booted):
    assert booted["confined"] == "CapEff: 0000000000000000 CapBnd: 0000000000000000 NoNewPrivs: 1 Seccomp: 2"
    assert booted["confined.uid"] == "1"
    assert booted["confined.files"] == "1", "what it may open is what it has: raising it is not allowed here"
    assert float(re.search(r"exposure level for vestibule.service: ([\d.]+)", booted["exposure"])[1]) <= 1.5


def test_a_reload_is_over_when_systemctl_ends_and_a_bad_one_changes_nothing(booted):
    assert (booted["reload.exit"], booted["reload.answer"], booted["reload.same_process"]) == ("0", "202", "yes")
    assert (booted["bad_reload.state"], booted["bad_reload.answer"]) == ("active", "202")
    assert int(booted["bad_reload.log"]) >= 1


def test_a_mistake_in_the_configuration_is_not_tried_again(booted):
    assert booted["bad_start.exit"] != "0"
    assert (booted["bad_start.state"], booted["bad_start.code"], booted["bad_start.restarts"]) == ("failed", "78", "0")


def test_a_process_that_hangs_is_started_again_by_the_watchdog(booted):
    assert booted["watchdog.alive"] == "0", "one that lives is left alone"
    assert (booted["watchdog.restarts"], booted["watchdog.answer"]) == ("1", "204")
    assert int(booted["watchdog.log"]) == 1


def test_it_stops_in_peace(booted):
    assert (booted["stop.result"], booted["stop.code"]) == ("success", "0")


def test_the_socket_starts_it_and_stays_open_while_it_restarts(booted):
    assert (booted["socket.before"], booted["socket.answer"], booted["socket.after"]) == ("inactive", "204", "active")
    assert booted["socket.restart"].split() == ["20", "204"], "each of twenty"


def test_there_may_be_one_for_each_site(booted):
    assert (booted["instance.exit"], booted["instance.state"], booted["instance.answer"]) == ("0", "active", "203")


def test_errors_are_errors_in_the_journal(booted):
    assert booted["journal"] == '"PRIORITY":"3"'
