"""What `vestibule generate` makes of one's own configuration, held against everything that the files of deploy/ are held against."""

import json

import kubernetes_test as kubernetes
import observability_test as observability
import pytest
import systemd_test as systemd

from deployment import CONFIG, DEPLOY, ROOTFS, TOP, ran, said

# One application in the cluster, with the secrets in files beside the configuration.
SMALL = CONFIG.replace("/run/secrets/vestibule/", "").replace('upstream = "static:204"', 'upstream = "http://wiki:3000"')
# Two applications, a provider on a port of its own, a secret in the environment, listeners and a log elsewhere.
LARGE = """
[server]
listen = "0.0.0.0:8080"
public_url = "https://intranet.example.com"
trusted_proxies = ["10.0.0.0/8"]

[admin]
listen = "127.0.0.1:9090"

[provider.corp]
issuer = "https://login.example.com:8443/realms/corp"
client_id = "intranet"
client_secret = { env = "CORP_SECRET" }

[session]
keys = [{ file = "keys/new" }, { file = "keys/old" }]

[route.home]
upstream = "http://home:3000"
allow.groups = ["staff"]

[route.mail]
host = "mail.intranet.example.com"
upstream = "http://mail:8025"
"""
every_configuration = pytest.mark.parametrize("config", [SMALL, LARGE], ids=["small", "large"])


@pytest.fixture
def generated(tmp_path):
    """Writes what the program prints for a configuration into a file."""

    def make(what, config, name):
        (tmp_path / "vestibule.toml").write_text(config)
        file = tmp_path / name
        file.write_text(said(ROOTFS / "usr/bin/vestibule", "generate", what, "-c", tmp_path / "vestibule.toml"))
        return file

    return make


@every_configuration
@pytest.mark.parametrize(("what", "name"), [("k8s", "objects.yaml"), ("helm-values", "own-values.yaml")])
def test_a_cluster_takes_what_is_generated_as_it_takes_the_examples(what, name, config, generated, image):
    source = generated(what, config, name)
    done = ran("podsecurity", text=json.dumps(kubernetes.given_to_pod_security([source])))
    assert done.returncode == 0, done.stdout + done.stderr
    kubernetes.test_each_object_is_one_of_its_kind(source)
    kubernetes.test_each_configuration_is_one_that_check_takes_without_a_warning(source, image)
    kubernetes.test_services_budgets_and_policies_select_the_pods_that_there_are(source)
    kubernetes.test_secrets_are_for_the_group_of_the_pod_alone(source)
    kubernetes.test_no_secret_has_a_value_and_no_registry_is_named(source)
    if config == SMALL or what == "helm-values":
        kubernetes.test_pods_are_as_the_readme_says(source)
        kubernetes.test_metrics_are_on_a_service_of_their_own_and_traffic_is_on_port_80(source)


@every_configuration
def test_systemd_takes_the_drop_in_and_is_as_strict_with_it(config, generated, tmp_path):
    drop_in = generated("systemd", config, "local.conf")
    root = tmp_path / "root"
    units = systemd.root_with_units(root)
    (units / "vestibule.service.d/local.conf").write_text(drop_in.read_text())
    assert systemd.complaints(root) == []
    done = ran("systemd-analyze", "security", f"--root={root}", "--offline=true", "--threshold=15", "--no-pager", "vestibule.service")
    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_dashboard_and_schema_are_those_of_deploy():
    program = ROOTFS / "usr/bin/vestibule"
    assert said(program, "generate", "alerts") == observability.RULES.read_text()
    assert json.loads(said(program, "generate", "dashboard")) == observability.DASHBOARD
    assert said(program, "generate", "schema") == (DEPLOY / "schema/vestibule.schema.json").read_text()
    assert said(program, "generate", "audit-schema") == (DEPLOY / "schema/audit.schema.json").read_text()


def test_the_schemas_are_schemas_and_take_the_example(tmp_path):
    folder = DEPLOY / "schema"
    said("check-jsonschema", "--check-metaschema", *folder.glob("*.json"))
    schema = ["check-jsonschema", "--schemafile", folder / "vestibule.schema.json"]
    said(*schema, TOP / "config.example.toml")
    wrong = tmp_path / "vestibule.toml"
    wrong.write_text(CONFIG + 'upstraem = "http://127.0.0.1"\n')
    assert ran(*schema, wrong).returncode != 0
