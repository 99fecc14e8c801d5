//! What telemetry needs to know of the configuration, already proven: `[log]`.

use std::path::PathBuf;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::telemetry::agents::AgentPattern;

/// The table `[log]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LogSettings {
    /// How the process log is written.
    pub format: LogFormat,
    /// `error`, `warn`, `info`, `debug` or `trace`, or directives as in `info,vestibule::provider=debug`.
    pub level: String,
    /// Where a line for each request goes. Default: nowhere.
    pub access: LogSink,
    /// The form of such a line.
    pub access_format: AccessFormat,
    /// Clients whose requests have no line where they are without a session and answered below 400.
    pub access_exclude_agents: Vec<AgentPattern>,
    /// Where audit events go. Default: standard error.
    pub audit: LogSink,
    /// The form of such a line.
    pub audit_format: AuditFormat,
}

#[cfg(test)]
impl LogSettings {
    pub(super) fn of(access: LogSink, audit: LogSink) -> Self {
        let (access_format, audit_format) = (AccessFormat::Json, AuditFormat::Json);
        let (format, level, access_exclude_agents) = (LogFormat::Auto, "info".to_owned(), Vec::new());
        Self { format, level, access, access_format, access_exclude_agents, audit, audit_format }
    }
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum LogFormat {
    /// `human` on a terminal, `json` otherwise.
    #[default]
    Auto,
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// The form of a line of the access log.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum AccessFormat {
    /// One flat JSON object with names of our own.
    #[default]
    Json,
    /// As Apache and nginx write it, the person in the third field.
    Combined,
    /// One JSON object with the names of the Elastic Common Schema.
    Ecs,
    /// For people: where the process log is, and nothing else was asked for.
    #[serde(skip)]
    Human,
}

/// The form of a line of the audit log.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum AuditFormat {
    /// One flat JSON object with names of our own.
    #[default]
    Json,
    /// One JSON object with the names of the Elastic Common Schema.
    Ecs,
}

/// Where lines go.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum LogSink {
    /// Nowhere.
    #[default]
    Off,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// Appended to this file, which is opened again on SIGHUP.
    File(PathBuf),
    /// To a syslog daemon ([RFC 5424](https://www.rfc-editor.org/rfc/rfc5424)).
    Syslog(SyslogAddress),
    /// To the journal, by its native protocol.
    Journald,
}

/// Where a syslog daemon takes messages.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SyslogAddress {
    /// One datagram a message ([RFC 5426](https://www.rfc-editor.org/rfc/rfc5426)).
    Udp(HostPort),
    /// Octet-counted messages on a connection ([RFC 6587 section 3.4.1](https://www.rfc-editor.org/rfc/rfc6587#section-3.4.1)).
    Tcp(HostPort),
    /// A datagram socket on this machine, such as `/dev/log`.
    Unix(PathBuf),
}

/// A host and a port, not yet resolved.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HostPort {
    /// A name or an address.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// The text is no address of a syslog daemon.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not udp://HOST:PORT, tcp://HOST:PORT or the absolute path of a socket")]
pub struct NoSyslogAddress;

impl FromStr for SyslogAddress {
    type Err = NoSyslogAddress;

    fn from_str(text: &str) -> Result<Self, NoSyslogAddress> {
        let path = text.strip_prefix("unix:").unwrap_or(text);
        let path = path.strip_prefix("//").filter(|path| path.starts_with('/')).unwrap_or(path);
        if path.starts_with('/') {
            return Ok(Self::Unix(path.into()));
        }
        let url = url::Url::parse(text).map_err(|_| NoSyslogAddress)?;
        let is_bare = url.username().is_empty() && url.password().is_none() && url.query().is_none();
        let is_whole = is_bare && url.fragment().is_none() && matches!(url.path(), "" | "/");
        let host = url.host_str().filter(|host| is_whole && !host.is_empty()).ok_or(NoSyslogAddress)?;
        let host = host.trim_matches(['[', ']']).to_owned();
        match url.scheme() {
            "udp" => Ok(Self::Udp(HostPort { host, port: url.port().unwrap_or(UDP_PORT) })),
            "tcp" => Ok(Self::Tcp(HostPort { host, port: url.port().unwrap_or(TCP_PORT) })),
            _ => Err(NoSyslogAddress),
        }
    }
}

/// [RFC 5426 section 3.3](https://www.rfc-editor.org/rfc/rfc5426#section-3.3).
const UDP_PORT: u16 = 514;
/// `syslog-conn` in the registry of ports.
const TCP_PORT: u16 = 601;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_syslog_daemon_is_named_by_a_url_or_the_path_of_its_socket() {
        let at = |host: &str, port| HostPort { host: host.to_owned(), port };
        for (text, wanted) in [
            ("udp://logs.example:5514", SyslogAddress::Udp(at("logs.example", 5514))),
            ("udp://192.0.2.1", SyslogAddress::Udp(at("192.0.2.1", 514))),
            ("tcp://[2001:db8::1]", SyslogAddress::Tcp(at("2001:db8::1", 601))),
            ("tcp://logs.example:6514/", SyslogAddress::Tcp(at("logs.example", 6514))),
            ("/dev/log", SyslogAddress::Unix("/dev/log".into())),
            ("unix:/dev/log", SyslogAddress::Unix("/dev/log".into())),
            ("unix:///dev/log", SyslogAddress::Unix("/dev/log".into())),
        ] {
            assert_eq!(text.parse(), Ok(wanted), "{text}");
        }
        for text in ["", "logs.example", "logs.example:514", "dev/log", "tls://a", "udp://", "udp://u@a", "tcp://a/b"] {
            assert_eq!(text.parse::<SyslogAddress>(), Err(NoSyslogAddress), "{text}");
        }
    }
}
