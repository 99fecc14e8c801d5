"""Everything that Kubernetes is given: the plain manifests, what kustomize makes of the overlays, and what helm makes of the chart.

Each object is held against the schemas of Kubernetes and of the makers of other kinds, each pod against Pod Security, and each
configuration against `vestibule check`.
"""

import copy
import json
import os
import re
from functools import cache
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import yaml

from deployment import DEPLOY, TOP, VERSION, documents, ran, said, secret

# The oldest versions that are promised, with a native sidecar and without, and the newest that there are schemas of.
NATIVE, ORDINARY, NEWEST = "1.29", "1.25", "1.37"
CHART = DEPLOY / "helm/vestibule"
PLAIN = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
OVERLAYS = sorted(path.parent for path in (DEPLOY / "kustomize").glob("*/**/kustomization.yaml"))
VALUES = sorted(CHART.glob("ci/*-values.yaml"))
EVERYTHING = [*PLAIN, *OVERLAYS, *VALUES]


@cache
def rendered(source):
    """The objects of a manifest, an overlay, or the chart with a values file."""
    if source.is_dir():
        return documents(said("kubectl", "kustomize", source))
    if source.name.endswith("-values.yaml"):
        return documents(said("helm", "template", "wiki", CHART, "--namespace", "wiki", "-f", source))
    return documents(source.read_text())


def of_kind(source, kind):
    return [one for one in rendered(source) if one["kind"] == kind]


def name_of(source):
    return str(Path(source).relative_to(DEPLOY))


def pods(source):
    """The pod templates."""
    return [one["spec"]["template"] for one in rendered(source) if "template" in one.get("spec", {})]


def containers(pod):
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def gateway_of(pod):
    return next(one for one in containers(pod) if one["name"] == "vestibule")


def is_native(source):
    return any("initContainers" in pod["spec"] for pod in pods(source))


every_source = pytest.mark.parametrize("source", EVERYTHING, ids=name_of)


def test_there_is_what_the_readme_promises():
    assert [path.name for path in PLAIN] == ["central.yaml", "sidecar-1.25.yaml", "sidecar.yaml"]
    assert {path.name for path in OVERLAYS} == {"base", "central", "sidecar"}
    assert len(VALUES) >= 4


@every_source
def test_each_object_is_one_of_its_kind(source):
    foreign = {"ServiceMonitor": service_monitor_schema, "HTTPRoute": http_route_schema}
    for one in rendered(source):
        if one["kind"] in foreign:
            jsonschema.Draft7Validator(foreign[one["kind"]]()).validate(one)
            continue
        for version in [NATIVE if is_native(source) else ORDINARY, NEWEST]:
            kubernetes_validate.validate(one, version, strict=True)


def test_the_schemas_refuse_what_is_wrong():
    deployment = copy.deepcopy(of_kind(PLAIN[0], "Deployment")[0])
    deployment["spec"]["replicaCount"] = 2
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, NEWEST, strict=True)
    for schema, wrong in [(http_route_schema(), {"spec": {"rules": [{"backends": []}]}}), (service_monitor_schema(), {"spec": {"endpoints": [], "selector": {}, "ports": []}})]:
        assert not jsonschema.Draft7Validator(schema).is_valid(wrong)


def given_to_pod_security(sources):
    return [{"name": str(source), "metadata": pod["metadata"], "spec": pod["spec"]} for source in sources for pod in pods(source)]


def test_pod_security_restricted_takes_every_pod():
    given = given_to_pod_security(EVERYTHING)
    assert len(given) >= len(EVERYTHING)
    done = ran("podsecurity", text=json.dumps(given))
    assert done.returncode == 0, done.stdout + done.stderr
    # It is not blind.
    root = copy.deepcopy(given[0])
    gateway_of(root)["securityContext"]["runAsNonRoot"] = False
    done = ran("podsecurity", text=json.dumps([root]))
    assert done.returncode == 1 and "runAsNonRoot" in done.stdout, done.stdout


@every_source
def test_each_configuration_is_one_that_check_takes_without_a_warning(source, image):
    assert gateways(source)
    for config, environment in gateways(source):
        text = config["data"]["vestibule.toml"]
        secrets = {path.removeprefix("/run/secrets/") for path in re.findall(r'"(/run/secrets/[^"]*)"', text)}
        image(text, secrets=secrets, environment=environment).checked()


def gateways(source):
    """The ConfigMap and the environment of each gateway, with a stand-in for what comes from elsewhere."""
    configs = {one["metadata"]["name"]: one for one in of_kind(source, "ConfigMap")}
    found = []
    for pod in pods(source):
        volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
        mounted = next(mount for mount in gateway_of(pod)["volumeMounts"] if mount["mountPath"] == "/etc/vestibule")
        environment = {one["name"]: one.get("value") or secret() for one in gateway_of(pod).get("env", [])}
        found.append((configs[volumes[mounted["name"]]["configMap"]["name"]], environment))
    return found


@every_source
def test_pods_are_as_the_readme_says(source):
    for pod in pods(source):
        spec, gateway = pod["spec"], gateway_of(pod)
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        assert "cpu" not in gateway["resources"]["limits"], "throttling is felt in each request"
        assert gateway["securityContext"]["readOnlyRootFilesystem"] is True
        assert all(mount["readOnly"] is True and "subPath" not in mount for mount in gateway["volumeMounts"])
        assert not [volume for volume in spec["volumes"] if "emptyDir" in volume], "nothing is written"
        assert "lifecycle" not in gateway, "the drain needs no preStop of the gateway"
        assert gateway["image"].split("@")[0].split(":")[0] == "vestibule"
        assert gateway["image"].endswith((f":{VERSION}",)) or "@sha256:" in gateway["image"]
        ports = {port["name"]: port["containerPort"] for port in gateway["ports"]}
        assert ports == {"http": 4180, "metrics": 4181}
        probes = {kind: gateway[kind]["httpGet"] for kind in gateway if kind.endswith("Probe")}
        assert all(probe["port"] == "metrics" for probe in probes.values()), "never on the port of traffic"
        assert probes["livenessProbe"]["path"] == "/livez" and probes["readinessProbe"]["path"] == "/readyz"
        if gateway in spec.get("initContainers", []):
            assert gateway["restartPolicy"] == "Always" and probes["startupProbe"]["path"] == "/readyz"


@every_source
def test_metrics_are_on_a_service_of_their_own_and_traffic_is_on_port_80(source):
    ports = [{port["name"]: (port["port"], port["targetPort"]) for port in one["spec"]["ports"]} for one in of_kind(source, "Service")]
    assert ports.count({"metrics": (4181, "metrics")}) == 1
    assert [one for one in ports if "metrics" not in one] == [{"http": (80, "http")}]


@every_source
def test_services_budgets_and_policies_select_the_pods_that_there_are(source):
    labels = [pod["metadata"]["labels"] for pod in pods(source)]
    selectors = [one["spec"]["selector"] for one in of_kind(source, "Service")]
    selectors += [one["spec"]["selector"]["matchLabels"] for kind in ("PodDisruptionBudget", "Deployment", "ServiceMonitor") for one in of_kind(source, kind) if kind != "ServiceMonitor"]
    policies = [one["spec"]["podSelector"]["matchLabels"] for one in of_kind(source, "NetworkPolicy") if "Egress" in one["spec"]["policyTypes"]]
    assert selectors
    for selector in selectors + policies:
        assert any(selector.items() <= one.items() for one in labels), selector
    services = [one["metadata"]["labels"] for one in of_kind(source, "Service")]
    for monitor in of_kind(source, "ServiceMonitor"):
        chosen = [one for one in services if monitor["spec"]["selector"]["matchLabels"].items() <= one.items()]
        assert len(chosen) == 1, "the Service of the metrics alone"


@every_source
def test_secrets_are_for_the_group_of_the_pod_alone(source):
    for pod in pods(source):
        for volume in pod["spec"]["volumes"]:
            if "secret" in volume:
                assert volume["secret"]["defaultMode"] == 0o440 and pod["spec"]["securityContext"]["fsGroup"] == 65532


@every_source
def test_no_secret_has_a_value_and_no_registry_is_named(source):
    assert not of_kind(source, "Secret")
    for pod in pods(source):
        names = [volume["secret"]["secretName"] for volume in pod["spec"]["volumes"] if "secret" in volume]
        assert all(name.endswith("-vestibule") for name in names), names
        assert all("/" not in one["image"] for one in containers(pod))


@pytest.mark.parametrize("source", PLAIN, ids=name_of)
def test_the_command_of_the_page_takes_the_configuration_out_of_a_manifest(source):
    (command,) = re.findall(r"^ *\$ (sed .*) sidecar\.yaml > vestibule\.toml$", (DEPLOY / "kubernetes/README.md").read_text(), re.M)
    (config,) = of_kind(source, "ConfigMap")
    assert said("sh", "-c", f'{command} "$1"', "sh", source) == config["data"]["vestibule.toml"]


@pytest.mark.parametrize("name", ["central", "sidecar"])
def test_the_plain_manifests_are_what_kustomize_makes(name):
    def objects(source):
        text = re.sub(r"wiki-vestibule-[a-z0-9]{10}\b", "wiki-vestibule", json.dumps(rendered(source)))
        return sorted(json.loads(text), key=lambda one: (one["kind"], one["metadata"]["name"]))

    assert objects(DEPLOY / f"kubernetes/{name}.yaml") == objects(DEPLOY / f"kustomize/overlays/{name}")


def test_replicas_share_keys_and_people_stay_with_theirs():
    for source in [DEPLOY / "kubernetes/central.yaml", DEPLOY / "kustomize/overlays/central"]:
        (deployment,) = of_kind(source, "Deployment")
        assert deployment["spec"]["replicas"] == 2
        assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
        assert of_kind(source, "PodDisruptionBudget")
        service = next(one for one in of_kind(source, "Service") if one["spec"].get("clusterIP") != "None")
        assert service["spec"]["sessionAffinity"] == "ClientIP"


def test_nobody_reaches_the_application_around_the_gateway():
    for source in [DEPLOY / "kubernetes/central.yaml", DEPLOY / "kustomize/overlays/central", CHART / "ci/everything-values.yaml"]:
        (pod,) = pods(source)
        application = [one for one in of_kind(source, "NetworkPolicy") if "Egress" not in one["spec"]["policyTypes"]]
        assert len(application) == 1
        (rule,) = application[0]["spec"]["ingress"]
        (peer,) = rule["from"]
        assert peer["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
        assert rule["ports"] == [{"port": 3000}]
    for source in [DEPLOY / "kubernetes/sidecar.yaml", DEPLOY / "kubernetes/sidecar-1.25.yaml", DEPLOY / "kustomize/overlays/sidecar"]:
        (pod,) = pods(source)
        application = next(one for one in pod["spec"]["containers"] if one["name"] != "vestibule")
        assert "127.0.0.1:3000" in application["args"] and not application.get("ports")


# The chart.


def test_helm_lints_the_chart_with_each_values_file():
    for values in VALUES:
        said("helm", "lint", "--strict", "--quiet", CHART, "-f", values)


def test_the_chart_has_the_versions_of_the_crate_and_of_the_oldest_cluster():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"], chart["kubeVersion"]) == (VERSION, VERSION, ">=1.25.0-0")
    for version, taken in [("1.24", False), ("1.25", True), ("1.37", True)]:
        done = ran("helm", "template", CHART, "-f", VALUES[0], "--kube-version", version)
        assert (done.returncode == 0) == taken, done.stderr


def test_the_chart_is_packaged(tmp_path):
    said("helm", "package", CHART, "--destination", tmp_path)
    assert (tmp_path / f"vestibule-{VERSION}.tgz").stat().st_size > 5000


SMALLEST = yaml.safe_load((CHART / "ci/smallest-values.yaml").read_text())


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"config": None}, "config is missing"),
        ({"existingSecret": ""}, "existingSecret is missing: make a Secret and name it: kubectl create secret generic wiki-vestibule"),
        ({"existingSecret": "CHANGEME"}, "existingSecret is the placeholder"),
        ({"existingSecret": "<your-secret>"}, "existingSecret is the placeholder"),
        ({"existingSecret": "", "extraEnv": [{"name": "A", "value": "b"}]}, "existingSecret, which is mounted there, is missing"),
        ({"config": SMALLEST["config"].replace('client_id = "wiki"', 'client_id = "XXXXXXX"')}, "provider.corp.client_id is the placeholder"),
        ({"config": SMALLEST["config"].replace('{ file = "/run/secrets/vestibule/client_secret" }', '"s3cret"')}, "provider.corp.client_secret is written out"),
        ({"config": SMALLEST["config"].replace('{ file = "/run/secrets/vestibule/session_key" }', '"AAAA"')}, "a session key is written out"),
        ({"config": SMALLEST["config"].replace('public_url = "https://wiki.example.com"', "")}, "server.public_url is missing"),
        ({"config": SMALLEST["config"].replace("[server]", '[server]\nlisten = "0.0.0.0:80"')}, "server.listen is the chart's"),
        ({"config": SMALLEST["config"] + '\n[admin]\nlisten = "0.0.0.0:80"'}, "admin.listen is the chart's"),
        ({"config": "[server"}, "config is no TOML"),
        ({"replicaCount": 2}, "more than one replica needs sticky sessions"),
        ({"autoscaling": {"enabled": True}}, "more than one replica needs sticky sessions"),
        ({"httpRoute": {"enabled": True}}, "httpRoute.parentRefs is missing"),
        ({"replicas": 2}, "additional properties 'replicas' not allowed"),
        ({"image": {"pullPolicy": "Sometimes"}}, "pullPolicy"),
        ({"replicaCount": "two"}, "replicaCount"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_chart_refuses(values, reason, tmp_path):
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump({**SMALLEST, **values}))
    done = ran("helm", "template", "wiki", CHART, "-f", file)
    assert done.returncode != 0
    assert reason in done.stderr, done.stderr


@pytest.mark.parametrize(
    "values",
    [
        {"replicaCount": 2, "stickySessions": True},
        {"autoscaling": {"enabled": True, "minReplicas": 1, "maxReplicas": 1}},
        {"replicaCount": 0},
        {"replicaCount": 2, "config": SMALLEST["config"].replace("[session]", '[session]\nstore = "redis"')},
    ],
    ids=["sticky", "one", "none", "shared"],
)
def test_the_chart_takes_as_many_replicas_as_work(values, tmp_path):
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump({**SMALLEST, **values}))
    said("helm", "template", "wiki", CHART, "-f", file)


@pytest.mark.parametrize("source", VALUES, ids=name_of)
def test_notes_print_what_check_prints_to_register(source, image):
    notes = said("helm", "install", "wiki", CHART, "--namespace", "wiki", "--dry-run=client", "-f", source).split("NOTES:")[1]
    ((config, environment),) = gateways(source)
    text = config["data"]["vestibule.toml"]
    secrets = {path.removeprefix("/run/secrets/") for path in re.findall(r'"(/run/secrets/[^"]*)"', text)}
    found = image(text, secrets=secrets, environment=environment).checked()
    printed = {line.strip() for line in notes.splitlines() if line.startswith("    http")}
    assert printed == {*found["redirect_uris"], *found["post_logout_redirect_uris"]}
    assert "kubectl --namespace wiki port-forward deployment/wiki-vestibule 4181" in notes


def test_a_changed_configuration_rolls_the_pods(tmp_path):
    def checksum(config):
        file = tmp_path / "values.yaml"
        file.write_text(yaml.safe_dump({**SMALLEST, "config": config}))
        (pod,) = [one["spec"]["template"] for one in documents(said("helm", "template", CHART, "-f", file)) if one["kind"] == "Deployment"]
        return pod["metadata"]["annotations"]["checksum/config"]

    assert checksum(SMALLEST["config"]) != checksum(SMALLEST["config"] + "# changed")


def test_every_value_is_in_the_schema_and_every_value_of_the_schema_has_a_default():
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())

    def compare(schema, values, at):
        known = schema.get("properties")
        if known is None:
            return
        assert schema["additionalProperties"] is False, at
        optional = {"global", "maxUnavailable"}
        assert set(values) == set(known) - optional, at
        for key, value in values.items():
            if isinstance(value, dict):
                compare(known[key], value, f"{at}.{key}")

    compare(schema, values, "values")


# Schemas of kinds that are not Kubernetes' own: from the definitions that their makers give to clusters, read as strictly.


def http_route_schema():
    return custom_schema(Path(os.environ["GATEWAY_API_SOURCE"]) / "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml")


def service_monitor_schema():
    return custom_schema(Path(os.environ["PROMETHEUS_OPERATOR_SOURCE"]) / "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml")


@cache
def custom_schema(file):
    versions = yaml.safe_load(file.read_text())["spec"]["versions"]
    schema = next(one for one in versions if one["name"] == "v1")["schema"]["openAPIV3Schema"]
    schema["properties"]["metadata"] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return closed(schema)


def closed(schema):
    """Unknown fields are errors, as for `kubectl --validate=strict`."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and "type" in schema and "additionalProperties" not in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
        schema["additionalProperties"] = False
    return schema
