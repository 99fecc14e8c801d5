"""deploy/compose: a file that the specification takes, whose three parts fit each other."""

import os

import yaml

from deployment import DEPLOY, VERSION, said, secret

FOLDER = DEPLOY / "compose"
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text())
DEX = yaml.safe_load((FOLDER / "dex.yaml").read_text())
GATEWAY_CONFIG = (FOLDER / "vestibule/vestibule.toml").read_text()


def test_the_compose_specification_takes_the_file():
    said("check-jsonschema", "--builtin-schema", "vendor.compose-spec", FOLDER / "compose.yaml")


def test_the_provider_knows_the_client_that_check_says_has_to_be_registered(image):
    found = image(GATEWAY_CONFIG, secrets=(), environment={"SESSION_KEY": secret()}).checked()
    (client,) = DEX["staticClients"]
    assert client["redirectURIs"] == found["redirect_uris"]
    assert f'client_id = "{client["id"]}"' in GATEWAY_CONFIG
    assert client["public"] is True and 'client_auth = "none"' in GATEWAY_CONFIG
    assert f'issuer = "{DEX["issuer"]}"' in GATEWAY_CONFIG


def test_nothing_is_published_beyond_this_machine_and_each_container_is_confined():
    services = COMPOSE["services"]
    assert set(services) == {"gateway", "application", "provider"}
    for service in services.values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
        assert all(volume.startswith("./") and volume.endswith(":ro") for volume in service.get("volumes", []))
        assert all((FOLDER / volume.split(":")[0]).exists() for volume in service.get("volumes", []))
    gateway = services["gateway"]
    assert gateway["image"] == f"vestibule:{VERSION}"
    assert os.path.samefile(FOLDER / gateway["build"]["context"] / gateway["build"]["dockerfile"], DEPLOY / "Dockerfile")
    assert gateway["read_only"] is True and gateway["cap_drop"] == ["ALL"]
    published = {port.split(":")[1] for port in gateway["ports"]}
    assert published == {"4180", DEX["web"]["http"].split(":")[1]}
    assert services["application"]["network_mode"] == services["provider"]["network_mode"] == "service:gateway"
