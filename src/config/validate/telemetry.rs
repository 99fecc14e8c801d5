//! `[telemetry]`.

use std::time::Duration;

use http::{HeaderName, HeaderValue};
use url::Url;

use super::super::file::TelemetryTable;
use super::{Field, Flaw, Problems, kinds, positive};
use crate::telemetry::otlp::settings::{ExportSettings, SpanSettings, pairs};
use crate::trace::Sampler;

/// Where traces and metrics are sent, and what of them.
pub(super) fn telemetry(keys: &TelemetryTable, problems: &mut Problems) -> ExportSettings {
    let whole = receiver(&keys.endpoint, problems);
    let below = |path: &str| {
        let mut url = whole.clone()?;
        url.set_path(&format!("{}/v1/{path}", url.path().trim_end_matches('/')));
        Some(url)
    };
    let traces = receiver(&keys.traces_endpoint, problems).or_else(|| below("traces"));
    let metrics = receiver(&keys.metrics_endpoint, problems).or_else(|| below("metrics"));
    if let Some(found) = keys.protocol.given().filter(|found| found.value != PROTOCOL) {
        let what = format!("cannot be \"{}\"", found.value.escape_default());
        problems.on(kinds::UNKNOWN_WORD, found, what).help("http/protobuf is spoken, mostly on port 4318; grpc is not");
    }
    let is_on = keys.enabled.or(true);
    ExportSettings {
        traces: traces.filter(|_| is_on),
        metrics: metrics.filter(|_| is_on),
        headers: headers(keys, problems),
        timeout: positive(&keys.timeout, TIMEOUT, problems),
        resource: resource(keys, problems),
        sampler: sampler(keys, problems),
        spans: spans(keys, problems),
        metrics_interval: positive(&keys.metrics_interval, METRICS_INTERVAL, problems),
    }
}

/// The URL of a receiver.
fn receiver(field: &Field<String>, problems: &mut Problems) -> Option<Url> {
    let found = field.given()?;
    let url = Url::parse(&found.value).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let flaw =
        || Flaw::new(kinds::NO_URL, "is not the URL of a receiver").help("write http://collector.example.com:4318");
    problems.sound(found, url.ok_or_else(flaw))
}

/// Fields of each request, as secrets.
fn headers(keys: &TelemetryTable, problems: &mut Problems) -> Vec<(HeaderName, HeaderValue)> {
    let Some(found) = keys.headers.given() else { return Vec::new() };
    let read = pairs(found.value.0.expose()).and_then(|pairs| {
        let field = |(name, value): (String, String)| {
            let mut value = HeaderValue::from_str(&value).ok()?;
            value.set_sensitive(true);
            Some((name.parse().ok()?, value))
        };
        pairs.into_iter().map(field).collect()
    });
    let flaw = || Flaw::new(kinds::UNKNOWN_WORD, "is no list of fields").help(PAIRS);
    problems.sound(found, read.ok_or_else(flaw)).unwrap_or_default()
}

/// What this process is. A name of its own wins over one among the attributes.
fn resource(keys: &TelemetryTable, problems: &mut Problems) -> Vec<(String, String)> {
    let mut attributes = match keys.resource_attributes.given() {
        Some(found) => {
            let flaw = || Flaw::new(kinds::UNKNOWN_WORD, "is no list of attributes").help(PAIRS);
            problems.sound(found, pairs(&found.value).ok_or_else(flaw)).unwrap_or_default()
        }
        None => Vec::new(),
    };
    let named = attributes.iter().find(|(name, _)| name == "service.name").map(|(_, value)| value.clone());
    let name = keys.service_name.value().cloned().or(named).unwrap_or_else(|| "vestibule".to_owned());
    attributes.retain(|(name, _)| name != "service.name");
    attributes.insert(0, ("service.name".to_owned(), name));
    if !attributes.iter().any(|(name, _)| name == "service.version") {
        attributes.push(("service.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()));
    }
    attributes
}

/// Which traces are recorded.
fn sampler(keys: &TelemetryTable, problems: &mut Problems) -> Sampler {
    let Some(found) = keys.sampler.given() else { return Sampler::default() };
    let flaw = || {
        Flaw::new(kinds::UNKNOWN_WORD, "is no sampler that is known, or its argument is no share").help(
            "write one of always_on, always_off, traceidratio, or these with parentbased_ before them, and for a ratio sampler_arg = \"0.1\"",
        )
    };
    let sampler = Sampler::named(&found.value, keys.sampler_arg.value().map(String::as_str));
    problems.sound(found, sampler.ok_or_else(flaw)).unwrap_or_default()
}

/// How spans are gathered.
fn spans(keys: &TelemetryTable, problems: &mut Problems) -> SpanSettings {
    for field in [&keys.span_queue, &keys.span_batch] {
        if let Some(found) = field.given().filter(|found| found.value == 0) {
            problems.on(kinds::UNKNOWN_WORD, found, "cannot be zero").help("write how many spans, such as 512");
        }
    }
    let queue = keys.span_queue.or(QUEUE) as usize;
    let batch = (keys.span_batch.or(BATCH) as usize).min(queue);
    SpanSettings { queue, batch, delay: positive(&keys.span_delay, DELAY, problems) }
}

/// The protocol that is spoken.
const PROTOCOL: &str = "http/protobuf";
/// What to write for a list.
const PAIRS: &str = "write \"name=value,name=value\", values percent-encoded";
/// Defaults of the specification, here and below.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Between two exports of metrics.
const METRICS_INTERVAL: Duration = Duration::from_secs(60);
/// Spans that may wait.
const QUEUE: u32 = 2048;
/// Spans in one request.
const BATCH: u32 = 512;
/// How long a span waits.
const DELAY: Duration = Duration::from_secs(5);
