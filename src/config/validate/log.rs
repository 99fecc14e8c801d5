//! `[log]`.

use super::super::file::LogTable;
use super::super::sinks::SinkKey;
use super::{Field, Problems, kinds};
use crate::telemetry::process;
use crate::telemetry::settings::{AccessFormat, AuditFormat, LogFormat, LogSettings, LogSink};

/// Form, level and destinations of logs.
pub(super) fn log(keys: &LogTable, problems: &mut Problems) -> LogSettings {
    let sink = |field: &Field<SinkKey>, default| field.value().map_or(default, |sink| sink.0.clone());
    let format = keys.format.or(LogFormat::Auto);
    let access_format = if format == LogFormat::Human { AccessFormat::Human } else { AccessFormat::Json };
    LogSettings {
        format,
        level: level(&keys.level, problems),
        access: sink(&keys.access, LogSink::Off),
        access_format: keys.access_format.or(access_format),
        audit: sink(&keys.audit, LogSink::Stderr),
        audit_format: keys.audit_format.or(AuditFormat::Json),
    }
}

/// `info`, or directives as in `info,vestibule::provider=debug`.
fn level(field: &Field<String>, problems: &mut Problems) -> String {
    let Some(found) = field.given() else { return "info".to_owned() };
    let word = |directive: &str| directive.rsplit_once('=').map_or(directive, |(_, level)| level).trim().to_owned();
    let unknown = found.value.split(',').map(word).find(|level| !LEVELS.contains(&level.as_str()));
    // What the log itself would refuse at the start is refused here.
    let flaw = unknown.or_else(|| process::check_level(&found.value).err().map(|_| found.value.clone()));
    if let Some(flaw) = flaw {
        problems.on(kinds::NO_LOG_LEVEL, found, format!("cannot be \"{}\"", flaw.escape_default()));
    }
    found.value.clone()
}

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
