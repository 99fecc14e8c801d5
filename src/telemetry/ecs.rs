//! Names of the [Elastic Common Schema](https://www.elastic.co/guide/en/ecs/current/index.html), dotted as its loggers write them.

use crate::clock::UnixTime;
use crate::telemetry::line::JsonLine;
use crate::telemetry::record::Fields as _;

/// The version of the schema.
const VERSION: &str = "8.17.0";

/// What an event is, in the schema's own words.
pub(super) struct EcsEvent<'a> {
    /// `event.dataset`.
    pub(super) dataset: &'static str,
    /// `event.action`.
    pub(super) action: &'a str,
    /// `event.category`.
    pub(super) category: &'a [&'a str],
    /// `event.type`.
    pub(super) kind: &'a [&'a str],
    /// `event.outcome`.
    pub(super) is_success: bool,
    /// `log.level`.
    pub(super) level: &'static str,
}

/// Begins a line with what each has.
pub(super) fn begin<'a>(out: &'a mut Vec<u8>, time: UnixTime, event: &EcsEvent<'_>) -> JsonLine<'a> {
    let mut line = JsonLine::begin(out);
    line.time_as("@timestamp", time)
        .token("log.level", event.level)
        .token("message", event.action)
        .token("ecs.version", VERSION)
        .token("event.dataset", event.dataset)
        .token("event.kind", "event")
        .token("event.action", event.action)
        .list("event.category", event.category)
        .list("event.type", event.kind)
        .token("event.outcome", if event.is_success { "success" } else { "failure" });
    line
}
