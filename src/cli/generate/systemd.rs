//! `vestibule generate systemd`: what vestibule.service has to say otherwise for this configuration, as a drop-in.

use std::path::{Path, absolute};

use super::Written;
use crate::config::SecretSource;

/// The drop-in; its comments say what is left to do by hand.
pub(super) fn drop_in(written: &Written) -> Result<String, String> {
    let folder = "/etc/systemd/system/vestibule.service.d";
    let mut text = format!(
        "# {folder}/local.conf, for {}. Then: systemctl daemon-reload && systemctl restart vestibule\n",
        written.name
    );
    let file = absolute(&written.name).map_err(|error| error.to_string())?;
    let file = file.display().to_string();
    let (mut unit, mut service) = (Vec::new(), Vec::new());
    if !written.text.is_empty() && !UNIT.contains(&format!("--config {file}\n")) {
        unit.extend(["ConditionPathExists=".to_owned(), format!("ConditionPathExists={file}")]);
        service.extend(["ExecStart=".to_owned(), format!("ExecStart=/usr/bin/vestibule run --config {file}")]);
    }
    listeners(written, &mut unit, &mut service);
    secrets(written, Path::new(&file).parent().unwrap_or_else(|| Path::new("/")), &mut service);
    writable(written, &mut service);
    if let Some(connections) = written.number(&["server", "limits", "connections"])
        && let Some(limit) = directive("LimitNOFILE").and_then(|limit| limit.parse::<i64>().ok())
        && connections.saturating_mul(2) > limit
    {
        // Each may need one to its application, and there are files and the provider.
        service.push(format!("LimitNOFILE={}", connections.saturating_mul(2).saturating_add(1024)));
    }
    for (section, lines) in [("Unit", unit), ("Service", service)] {
        if !lines.is_empty() {
            text.push_str(&format!("[{section}]\n{}\n", lines.join("\n")));
        }
    }
    Ok(text)
}

/// Ports that need a capability, and sockets that systemd opens.
fn listeners(written: &Written, unit: &mut Vec<String>, service: &mut Vec<String>) {
    let addresses: Vec<String> =
        [["server", "listen"], ["admin", "listen"]].iter().flat_map(|key| written.texts(key)).collect();
    let port = |text: &String| text.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    if addresses.iter().filter_map(port).any(|port| port != 0 && port < 1024) {
        service.push(
            "# A port below 1024. A capability counts for the machine only outside of a user namespace.".to_owned(),
        );
        service.push("AmbientCapabilities=CAP_NET_BIND_SERVICE".to_owned());
        service.push("CapabilityBoundingSet=CAP_NET_BIND_SERVICE".to_owned());
        service.push("PrivateUsers=no".to_owned());
    }
    for name in addresses.iter().filter_map(|text| text.strip_prefix("systemd:")) {
        unit.push(format!("# vestibule.socket opens it; there: FileDescriptorName={name}"));
        unit.push("Requires=vestibule.socket".to_owned());
    }
    unit.dedup();
}

/// Credentials that the unit does not load yet, and what stands elsewhere.
fn secrets(written: &Written, base: &Path, service: &mut Vec<String>) {
    let mut sources: Vec<&SecretSource> = Vec::new();
    for source in written.settings.iter().flat_map(|setting| &setting.secrets) {
        if !sources.contains(&source) {
            sources.push(source);
        }
    }
    for source in sources {
        match source {
            SecretSource::Credential(name) => {
                let line = format!("LoadCredential={}:", name.display());
                if !UNIT.contains(&line) {
                    service.push(format!("{line}/etc/vestibule/{}", name.display()));
                }
            }
            SecretSource::File(path) => {
                let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                let path = base.join(path);
                service.push(format!(
                    "# The service has no user that could own this file: write {{ credential = \"{name}\" }} for it."
                ));
                service.push(format!("LoadCredential={name}:{}", path.display()));
            }
            SecretSource::Variable(name) => {
                service.push(format!("# {name}=… stands in this file, which only root may read:"));
                service.push("EnvironmentFile=/etc/vestibule/environment".to_owned());
            }
            SecretSource::Literal => {}
        }
    }
    let mut seen = Vec::new();
    service.retain(|line| {
        !line.starts_with("EnvironmentFile=") || {
            let new = !seen.contains(line);
            seen.push(line.clone());
            new
        }
    });
}

/// Folders of logs and sockets that the unit does not make.
fn writable(written: &Written, service: &mut Vec<String>) {
    let logs = ["access", "audit"].iter().flat_map(|key| written.texts(&["log", key]));
    let logs = logs.filter(|text| text.contains('/') && !text.starts_with("syslog:"));
    let sockets = [["server", "listen"], ["admin", "listen"]].into_iter().flat_map(|key| written.texts(&key));
    let sockets: Vec<String> = sockets.filter_map(|text| text.strip_prefix("unix:").map(str::to_owned)).collect();
    let mut folders: Vec<String> = logs
        .chain(sockets)
        .filter_map(|file| Some(Path::new(&file).parent()?.display().to_string()))
        .filter(|folder| !["/var/log/vestibule", "/run/vestibule", ""].contains(&folder.as_str()))
        .collect();
    folders.sort();
    folders.dedup();
    service.extend(folders.iter().map(|folder| format!("ReadWritePaths={folder}")));
}

/// A value of the unit.
fn directive(name: &str) -> Option<&'static str> {
    UNIT.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
}

/// The unit that this is for.
const UNIT: &str = include_str!("../../../deploy/systemd/vestibule.service");
