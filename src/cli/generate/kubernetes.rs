//! `vestibule generate k8s` and `generate helm-values`: the user's own configuration, as it is run in a cluster.
//!
//! The objects are those of deploy/kubernetes/central.yaml, with names, ports and rules of this configuration in the place of the
//! example's. In the configuration itself only what a cluster changes is changed: listeners on loopback, and where secrets are.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, Value};
use url::{Host, Url};

use super::Written;
use crate::config::{SecretSource, Setting};

/// The objects, for `kubectl apply`.
pub(super) fn manifests(written: &Written) -> Result<String, String> {
    let mut cluster = ForCluster::of(written)?;
    let (port, admin) = (cluster.listen(written, "server", 4180)?, cluster.listen(written, "admin", 4181)?);
    if !written.is_set(&["server", "drain", "delay"]) {
        // Serves on while the rest of the cluster learns that this pod is going.
        cluster.set(&path(&["server", "drain", "delay"]), "5s".into())?;
    }
    let name = instance(written);
    let (before, rest) = parted(CENTRAL, "  vestibule.toml: |\n")?;
    let (_, objects) = parted(rest, "---\n")?;
    let (objects, policy) = parted(objects, "---\n# The application believes")?;
    let (objects, egress) = parted(objects, "    # The application.\n")?;
    let configuration = indented(&cluster.document.to_string(), 4);
    let mut text = format!("{}{before}  vestibule.toml: |\n{configuration}---\n{objects}", cluster.header(&name));
    let applications = applications(written);
    for application in &applications {
        text.push_str("    # The application.\n");
        text.push_str(&application.named(egress));
    }
    for application in applications.iter().filter(|application| application.label.is_some()) {
        text.push_str("---\n# The application believes");
        text.push_str(&application.named(policy));
    }
    let drain = written.seconds(&["server", "drain", "grace"], 20) + written.seconds(&["server", "drain", "delay"], 5);
    for (from, to) in [
        ("wiki-vestibule", format!("{name}-vestibule")),
        ("instance: wiki", format!("instance: {name}")),
        ("port: 4181", format!("port: {admin}")),
        ("containerPort: 4181", format!("containerPort: {admin}")),
        ("containerPort: 4180", format!("containerPort: {port}")),
        ("GracePeriodSeconds: 30", format!("GracePeriodSeconds: {}", drain + 5)),
        ("vestibule:0.1.0", format!("vestibule:{}", env!("CARGO_PKG_VERSION"))),
        ("        - port: 443\n", provider_ports(written)),
    ] {
        text = replaced(&text, from, &to)?;
    }
    cluster.mount(text)
}

/// Values for the chart, which knows by itself where to listen.
pub(super) fn helm_values(written: &Written) -> Result<String, String> {
    let mut cluster = ForCluster::of(written)?;
    for section in ["server", "admin"] {
        if let Some(table) = cluster.document.get_mut(section).and_then(Item::as_table_like_mut) {
            table.remove("listen");
        }
    }
    let name = instance(written);
    let mut text = cluster.header(&name);
    if !cluster.keys.is_empty() {
        text.push_str(&format!("existingSecret: {name}-vestibule\n"));
    }
    if !cluster.variables.is_empty() {
        text.push_str("extraEnv:\n");
        text.push_str(&cluster.environment(&name, 2));
    }
    text.push_str("networkPolicy:\n  applications:");
    let applications: Vec<_> = applications(written).into_iter().filter(|it| it.label.is_some()).collect();
    text.push_str(if applications.is_empty() { " []\n" } else { "\n" });
    for Application { label, port } in applications {
        let label = label.unwrap_or_default();
        text.push_str(&format!(
            "    - name: {label}\n      podLabels:\n        app.kubernetes.io/name: {label}\n      port: {port}\n"
        ));
    }
    text.push_str("config: |\n");
    text.push_str(&indented(&cluster.document.to_string(), 2));
    Ok(text)
}

/// The configuration as the cluster gets it, and what has to be there for it.
struct ForCluster {
    /// With its comments.
    document: DocumentMut,
    /// The keys of the Secret, each with the place that it has today.
    keys: Vec<(String, SecretSource)>,
    /// The variables that secrets come from.
    variables: Vec<String>,
}

impl ForCluster {
    /// The file, with what the environment and the command line say, and secrets where the cluster puts them.
    fn of(written: &Written) -> Result<Self, String> {
        let document = written.text.parse().map_err(|error| format!("{}: {error}", written.name))?;
        let mut cluster = Self { document, keys: Vec::new(), variables: Vec::new() };
        for setting in written.settings.iter().filter(|setting| setting.origin.is_some()) {
            if !setting.secrets.is_empty() {
                cluster.set_secrets(setting)?;
            } else if !setting.is_of_file() {
                cluster.set(&setting.path, setting.value.clone())?;
            }
        }
        Ok(cluster)
    }

    /// Names the places that secrets have in the cluster.
    fn set_secrets(&mut self, setting: &Setting) -> Result<(), String> {
        let mut places: Vec<Value> = setting.secrets.iter().map(|source| self.place(source, &setting.path)).collect();
        let value = match places.pop() {
            Some(only) if places.is_empty() && !setting.value.is_array() => only,
            last => Value::Array(places.into_iter().chain(last).collect::<Array>()),
        };
        self.set(&setting.path, value)
    }

    /// Where a secret is in the cluster: what is a variable stays one, all else is a file of the mounted Secret.
    fn place(&mut self, source: &SecretSource, path: &[String]) -> Value {
        let mut table = InlineTable::new();
        if let SecretSource::Variable(name) = source {
            if !self.variables.contains(name) {
                self.variables.push(name.clone());
            }
            table.insert("env", name.as_str().into());
        } else {
            let key = self.key(source, path);
            table.insert("file", format!("{FOLDER}/{key}").into());
        }
        table.into()
    }

    /// The key of the Secret for a secret: its file's name, unless another secret has that.
    fn key(&mut self, source: &SecretSource, path: &[String]) -> String {
        if let Some((key, _)) = self.keys.iter().find(|(_, known)| known == source && *known != SecretSource::Literal) {
            return key.clone();
        }
        let last = path.last().map(String::as_str).unwrap_or_default();
        let base = match source {
            SecretSource::File(path) | SecretSource::Credential(path) => {
                path.file_name().and_then(|name| name.to_str())
            }
            _ => None,
        };
        let base = base.unwrap_or(if last == "keys" { "session_key" } else { last }).to_owned();
        let owner = path.get(1).map(|owner| format!("{owner}_{base}"));
        let numbered = (2..).map(|number| format!("{base}_{number}"));
        let mut names = std::iter::once(base.clone()).chain(owner).chain(numbered);
        let key = names.find(|name| self.keys.iter().all(|(known, _)| known != name)).unwrap_or(base);
        self.keys.push((key.clone(), source.clone()));
        key
    }

    /// Sets a key, in a table or an inline one.
    fn set(&mut self, path: &[String], value: Value) -> Result<(), String> {
        let (key, tables) = path.split_last().ok_or("a key without a name")?;
        let mut table: &mut dyn toml_edit::TableLike = self.document.as_table_mut();
        for name in tables {
            let below = table.entry(name).or_insert_with(|| Item::Table(Table::new()));
            table = below.as_table_like_mut().ok_or_else(|| format!("`{name}` is no table"))?;
        }
        table.insert(key, Item::Value(value));
        Ok(())
    }

    /// Lets a listener be reached from other machines, unless it is already; its port.
    fn listen(&mut self, written: &Written, section: &str, default: u16) -> Result<u16, String> {
        let addresses = written.texts(&[section, "listen"]);
        let parsed: Vec<SocketAddr> = addresses.iter().filter_map(|text| text.parse().ok()).collect();
        if let Some(reached) = parsed.iter().find(|address| !address.ip().is_loopback()) {
            return Ok(reached.port());
        }
        let port = parsed.first().map_or(default, SocketAddr::port);
        let everywhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
        self.set(&path(&[section, "listen"]), everywhere.to_string().into())?;
        Ok(port)
    }

    /// How the Secret is made.
    fn header(&self, name: &str) -> String {
        let mut text = String::from("# Made by `vestibule generate`.");
        if !self.keys.is_empty() {
            let from = |(key, source): &(String, SecretSource)| match source {
                SecretSource::File(path) => format!(" --from-file={key}={}", path.display()),
                _ => format!(" --from-file={key}"),
            };
            let files: String = self.keys.iter().map(from).collect();
            text.push_str(&format!(" The secrets:\n#\n#     kubectl create secret generic {name}-vestibule{files}\n#"));
        }
        if !self.variables.is_empty() {
            let variables = self.variables.join(", ");
            text.push_str(&format!("\n# The Secret {name}-environment has the keys {variables}."));
        }
        text.push('\n');
        text
    }

    /// The variables that secrets come from.
    fn environment(&self, name: &str, indent: usize) -> String {
        let entry = |variable: &String| {
            format!(
                "- name: {variable}\n  valueFrom:\n    secretKeyRef:\n      name: {name}-environment\n      key: {variable}\n"
            )
        };
        indented(&self.variables.iter().map(entry).collect::<String>(), indent)
    }

    /// The objects with the variables, and without the mounted Secret where there is none.
    fn mount(&self, mut text: String) -> Result<String, String> {
        if !self.variables.is_empty() {
            let name = text.split_once("secretName: ").and_then(|(_, rest)| rest.split_once("-vestibule"));
            let name = name.map(|(name, _)| name.to_owned()).unwrap_or_default();
            let environment = format!("          env:\n{}          ports:\n", self.environment(&name, 12));
            text = replaced(
                &text,
                "          ports:\n            - name: http\n              containerPort",
                &format!("{environment}            - name: http\n              containerPort"),
            )?;
        }
        if self.keys.is_empty() {
            text = replaced(&text, MOUNT, "")?;
            let (before, rest) = parted(&text, "        - name: vestibule-secrets\n")?;
            let (_, after) = parted(rest, "---\n")?;
            text = format!("{before}---\n{after}");
        }
        Ok(text)
    }
}

/// An application that requests are sent to.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Application {
    /// The label of its pods, as its service's name lets guess; none for what is not a service of this namespace.
    label: Option<String>,
    /// The port.
    port: u16,
}

impl Application {
    /// A part of the example with this application in the place of its own.
    fn named(&self, part: &str) -> String {
        let part = part.replace("port: 3000", &format!("port: {}", self.port));
        match &self.label {
            Some(label) => part.replace("wiki-application", label),
            // Whoever it is, by its port.
            None => format!("    - ports:\n        - port: {}\n", self.port),
        }
    }
}

/// The applications of all routes, each once.
fn applications(written: &Written) -> Vec<Application> {
    let mut found: Vec<Application> = Vec::new();
    let upstreams = written
        .settings
        .iter()
        .filter(|it| matches!(it.path.as_slice(), [route, _, key] if route == "route" && key == "upstream"));
    for text in upstreams.flat_map(|setting| texts(&setting.value)) {
        let Ok(url) = Url::parse(&text.replacen("h2c:", "http:", 1)) else { continue };
        let Some(host) = url.host() else { continue };
        let label = match host {
            Host::Domain(name) if !name.contains('.') && name != "localhost" => Some(name.to_owned()),
            _ => None,
        };
        let application = Application { label, port: url.port_or_known_default().unwrap_or(80) };
        if !found.contains(&application) {
            found.push(application);
        }
    }
    found
}

/// The ports of the providers, as rules for what leaves the pod.
fn provider_ports(written: &Written) -> String {
    let of_providers =
        written.settings.iter().filter(|it| it.path.first().is_some_and(|section| section == "provider"));
    let is_address = |it: &&Setting| {
        it.path.last().is_some_and(|key| key == "issuer" || key.ends_with("_endpoint") || key == "jwks_uri")
    };
    let urls = of_providers.filter(is_address).flat_map(|setting| texts(&setting.value));
    let mut ports: Vec<u16> =
        urls.filter_map(|url| Url::parse(&url.replace(['{', '}'], "")).ok()?.port_or_known_default()).collect();
    ports.sort_unstable();
    ports.dedup();
    ports.iter().map(|port| format!("        - port: {port}\n")).collect()
}

/// What the objects are called by: the first label of the host that people open.
fn instance(written: &Written) -> String {
    let url = written.texts(&["server", "public_url"]).into_iter().next().and_then(|text| Url::parse(&text).ok());
    let label = match url.as_ref().and_then(Url::host) {
        Some(Host::Domain(name)) => name.split('.').next().unwrap_or_default().to_owned(),
        _ => String::new(),
    };
    if label.is_empty() { "gateway".to_owned() } else { label.chars().take(40).collect() }
}

/// The texts of one value or a list of them.
pub(super) fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        value => value.as_str().map(str::to_owned).into_iter().collect(),
    }
}

/// A path of these parts.
fn path(parts: &[&str]) -> Vec<String> {
    parts.iter().map(|part| (*part).to_owned()).collect()
}

/// The two sides of a part of the example.
fn parted<'a>(text: &'a str, at: &str) -> Result<(&'a str, &'a str), String> {
    text.split_once(at).ok_or_else(|| format!("{EXAMPLE} has no {at:?}"))
}

/// The text with another part in the place of one, wherever that stands.
fn replaced(text: &str, from: &str, to: &str) -> Result<String, String> {
    parted(text, from)?;
    Ok(text.replace(from, to))
}

/// Each line that is not empty, further to the right.
fn indented(text: &str, by: usize) -> String {
    let space = " ".repeat(by);
    text.lines().map(|line| if line.is_empty() { "\n".to_owned() } else { format!("{space}{line}\n") }).collect()
}

/// The example, which tests hold against Kubernetes' own rules.
const CENTRAL: &str = include_str!("../../../deploy/kubernetes/central.yaml");
/// Its name.
const EXAMPLE: &str = "deploy/kubernetes/central.yaml";
/// Where it mounts the Secret.
const FOLDER: &str = "/run/secrets/vestibule";
/// The lines that do so.
const MOUNT: &str = "            - name: vestibule-secrets\n              mountPath: /run/secrets/vestibule\n              readOnly: true\n";
