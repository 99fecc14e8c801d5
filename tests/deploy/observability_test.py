"""Alerts and dashboard: promtool takes them, and every metric that they name is one that a running gateway has."""

import json
import re

import pytest
import yaml

from deployment import CONFIG, DEPLOY, get, ran, said

RULES = DEPLOY / "prometheus/rules.yaml"
DASHBOARD = json.loads((DEPLOY / "grafana/vestibule.json").read_text())
ALERTS = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
TESTS = yaml.safe_load((DEPLOY / "prometheus/rules.test.yaml").read_text())["tests"]
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [target["expr"] for panel in PANELS for target in panel["targets"]] + [one["expr"] for one in DASHBOARD["annotations"]["list"]]


def test_promtool_takes_the_rules_and_their_tests_pass():
    assert f"{len(ALERTS)} rules found" in said("promtool", "check", "rules", RULES)
    said("promtool", "test", "rules", DEPLOY / "prometheus/rules.test.yaml")


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_each_alert_fires_in_one_case_and_is_quiet_in_another(alert):
    cases = [one["exp_alerts"] for test in TESTS for one in test["alert_rule_test"] if one["alertname"] == alert["alert"]]
    assert [bool(case) for case in cases] == [True, False]
    assert alert["labels"]["severity"] in {"page", "ticket"}
    assert set(alert["annotations"]) == {"summary", "description"}


def test_the_readme_says_what_to_do_about_each_alert():
    rows = re.findall(r"^\| `(\w+)` \|", (DEPLOY / "prometheus/README.md").read_text(), re.M)
    assert rows == [alert["alert"] for alert in ALERTS]


def test_a_rule_test_notices_an_alert_that_never_fires(tmp_path):
    (tmp_path / "rules.yaml").write_text(RULES.read_text().replace("vestibule_config_last_reload_successful == 0", "vestibule_config_last_reload_successful == 2"))
    (tmp_path / "rules.test.yaml").write_text((DEPLOY / "prometheus/rules.test.yaml").read_text())
    assert ran("promtool", "test", "rules", tmp_path / "rules.test.yaml").returncode != 0


def test_promtool_takes_each_expression_of_the_dashboard(tmp_path):
    def plain(expression):
        return expression.replace("$__rate_interval", "5m").replace("$job", "vestibule").replace("$instance", ".*")

    rules = [{"record": f"panel:{at}", "expr": plain(expression)} for at, expression in enumerate(EXPRESSIONS)]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = ran("promtool", "check", "rules", "--lint=none", file)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(EXPRESSIONS)} rules found" in done.stdout


def test_panels_fit_the_grid_and_have_units_and_the_data_source_of_the_variable():
    assert [one["name"] for one in DASHBOARD["templating"]["list"]] == ["datasource", "job", "instance"]
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    taken = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken and at["x"] + at["w"] <= 24, panel["title"]
        taken |= cells
    for panel in PANELS:
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == panel["datasource"]["uid"] == "${datasource}"
            assert not re.search(r"(rate|increase)\([^)]*\[(?!\$__rate_interval)", target["expr"]), target["expr"]
            assert 'job="$job"' in target["expr"] and 'instance=~"$instance"' in target["expr"]


def names_in(text):
    found = set(re.findall(r"\b(?:vestibule|http_server|http_client|process)_[a-z0-9_]+\b", text))
    # `vestibule_peer` is a label.
    return {name for name in found if not name.endswith("_")} - {"vestibule_peer"}


def families(exposition):
    """The names of samples that a family of this exposition in OpenMetrics may have."""
    found = set()
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", exposition, re.M):
        found |= {"counter": {f"{name}_total"}, "info": {f"{name}_info"}, "histogram": {f"{name}_bucket", f"{name}_count", f"{name}_sum"}}.get(kind, {name})
    return found


def reference():
    """The families of the reference, which a test of the program holds against what it registers."""
    section = (DEPLOY / "REFERENCE.md").read_text().split("## Metrics")[1].split("\n## ")[0]
    return {name for row in re.findall(r"^\| (`.*?) \|", section, re.M) for name in re.findall(r"`(\w+)`", row)}


def test_each_metric_that_alerts_dashboard_and_readme_name_is_one_of_the_gateways():
    known = reference()
    texts = [RULES.read_text(), (DEPLOY / "prometheus/rules.test.yaml").read_text(), (DEPLOY / "prometheus/README.md").read_text(), json.dumps(DASHBOARD)]
    named = {re.sub(r"_seconds_(bucket|count|sum)$", "_seconds", re.sub(r"_bytes_bucket$", "_bytes", name)) for text in texts for name in names_in(text)}
    assert len(named) > 20
    assert named <= known, named - known


def test_a_running_gateway_has_the_metrics_of_the_reference_as_soon_as_there_is_something_to_count(image, gateway):
    running = gateway(image(CONFIG))
    get(f"http://127.0.0.1:{running.port}/", {"Host": "wiki.example.com", "Cookie": "__Host-vestibule=nonsense"})
    metrics = f"http://127.0.0.1:{running.admin_port}/metrics"
    found = families(get(metrics, {"Accept": "application/openmetrics-text; version=1.0.0"})[2])
    known = reference() | {f"{name}_{end}" for name in reference() for end in ("bucket", "count", "sum")}
    assert found <= known, found - known
    assert {"http_server_request_duration_seconds_bucket", "vestibule_auth_decisions_total", "vestibule_build_info", "process_open_fds"} <= found
    # The older form, for whoever does not ask for this one, has no suffix of its own.
    older = {name.removesuffix("_total") for name in re.findall(r"^# TYPE (\S+)", get(metrics)[2], re.M)}
    assert older <= {name.removesuffix("_total") for name in known} and len(older) > 20, older - known
