//! `[log]`.

use std::path::PathBuf;

use super::super::diagnostics::Code;
use super::super::file::LogTable;
use super::super::reading::Field;
use super::Notes;
use crate::telemetry::settings::{LogFormat, LogSettings, LogSink};

pub(super) fn log(keys: &LogTable, notes: &mut Notes) -> Option<LogSettings> {
    Some(LogSettings {
        format: keys.format.value().map_or(LogFormat::Auto, |word| word.0),
        level: level(&keys.level, notes),
        access: sink(&keys.access, "log.access", LogSink::Off, notes),
        audit: sink(&keys.audit, "log.audit", LogSink::Stderr, notes),
    })
}

/// `info`, or directives as in `info,vestibule::provider=debug`.
fn level(field: &Field<String>, notes: &mut Notes) -> String {
    let Some(found) = field.given() else { return "info".to_owned() };
    for directive in found.value.split(',') {
        let level = directive.rsplit_once('=').map_or(directive, |(_, level)| level).trim();
        if !LEVELS.contains(&level) {
            let message = format!("`log.level` can not be \"{}\"", level.escape_default());
            let help =
                "write one of error, warn, info, debug, trace, or directives as in \"info,vestibule::provider=debug\"";
            notes.error(Code::UnknownWord, &found.place, message, help);
        }
    }
    found.value.clone()
}

fn sink(field: &Field<String>, key: &str, default: LogSink, notes: &mut Notes) -> LogSink {
    let Some(found) = field.given() else { return default };
    match found.value.as_str() {
        "off" => LogSink::Off,
        "stdout" => LogSink::Stdout,
        "stderr" => LogSink::Stderr,
        path if path.contains('/') => LogSink::File(PathBuf::from(path)),
        other => {
            let message = format!("`{key}` can not be \"{}\"", other.escape_default());
            notes.error(
                Code::UnknownWord,
                &found.place,
                message,
                "write \"off\", \"stdout\", \"stderr\" or the path of a file, such as \"/var/log/vestibule.log\"",
            );
            default
        }
    }
}

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
