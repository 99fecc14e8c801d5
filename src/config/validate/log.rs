//! `[log]`.

use super::super::file::{LogTable, RouteTable};
use super::super::sinks::SinkKey;
use super::super::units::Named;
use super::{Field, Flaw, Problems, each, kinds};
use crate::telemetry::agents::AgentPattern;
use crate::telemetry::process;
use crate::telemetry::settings::{AccessFormat, AuditFormat, LogFormat, LogSettings, LogSink};

/// Form, level and destinations of logs.
pub(super) fn log(keys: &LogTable, routes: &Field<Named<RouteTable, true>>, problems: &mut Problems) -> LogSettings {
    let sink = |field: &Field<SinkKey>, default| field.value().map_or(default, |sink| sink.0.clone());
    let format = keys.format.or(LogFormat::Auto);
    let access_format = if format == LogFormat::Human { AccessFormat::Human } else { AccessFormat::Json };
    let settings = LogSettings {
        format,
        level: level(&keys.level, problems),
        access: sink(&keys.access, LogSink::Off),
        access_format: keys.access_format.or(access_format),
        access_exclude_agents: agents(keys, problems),
        audit: sink(&keys.audit, LogSink::Stderr),
        audit_format: keys.audit_format.or(AuditFormat::Json),
    };
    if settings.access == LogSink::Off {
        report_unused(keys, routes, problems);
    }
    settings
}

/// Clients without lines in the access log.
fn agents(keys: &LogTable, problems: &mut Problems) -> Vec<AgentPattern> {
    let field = &keys.access_exclude_agents;
    let patterns = each(field, problems, |item| {
        let text = item.value.escape_default();
        item.value.parse().map_err(|flaw| Flaw::new(kinds::NO_AGENT_PATTERN, format!("holds \"{text}\", which {flaw}")))
    });
    if let Some(found) = field.given().filter(|_| patterns.iter().any(AgentPattern::matches_everything)) {
        problems.on(kinds::EVERY_AGENT, found, "names every client there is");
    }
    patterns
}

/// Where no access log is written, nothing can be left out of it.
fn report_unused(keys: &LogTable, routes: &Field<Named<RouteTable, true>>, problems: &mut Problems) {
    if let Some(found) = keys.access_exclude_agents.given().filter(|found| !found.value.0.is_empty()) {
        problems.on(kinds::ACCESS_LOG_OFF, found, NO_EFFECT);
    }
    for (_, route) in routes.value().into_iter().flat_map(Named::given) {
        let paths =
            route.value.paths.value().into_iter().flat_map(Named::given).map(|(_, keys)| &keys.value.access_log);
        for found in std::iter::once(&route.value.access_log).chain(paths).filter_map(Field::given) {
            problems.on(kinds::ACCESS_LOG_OFF, found, NO_EFFECT);
        }
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

/// What is wrong with a key about a log that is not written.
const NO_EFFECT: &str = "changes nothing: `log.access` is \"off\"";
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
