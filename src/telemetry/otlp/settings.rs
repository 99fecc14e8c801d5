//! What the export needs to know of the configuration, already proven: `[telemetry]`, and the variables `OTEL_*` that say the same.

use std::time::Duration;

use http::{HeaderName, HeaderValue};
use url::Url;

use crate::trace::Sampler;

/// Where traces and metrics are sent by OTLP, and what of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExportSettings {
    /// Where traces are sent.
    pub traces: Option<Url>,
    /// Where metrics are sent.
    pub metrics: Option<Url>,
    /// Fields of each request, mostly a key of the receiver's. Their values are marked as secret.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Time for one request.
    pub timeout: Duration,
    /// What this process is, `service.name` first.
    pub resource: Vec<(String, String)>,
    /// Which traces are recorded.
    pub sampler: Sampler,
    /// How spans are gathered.
    pub spans: SpanSettings,
    /// The time between two exports of metrics.
    pub metrics_interval: Duration,
}

/// How spans are gathered.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SpanSettings {
    /// Finished spans that may wait.
    pub queue: usize,
    /// Spans in one request at most.
    pub batch: usize,
    /// How long a span waits for others.
    pub delay: Duration,
}

/// The list `name=value,name=value` of
/// [the specification](https://opentelemetry.io/docs/specs/otel/protocol/exporter/#specifying-headers-via-environment-variables), whose
/// values are percent-encoded; none where it is no such list.
pub fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    items
        .map(|item| {
            let (name, value) = item.split_once('=')?;
            let (name, value) = (decoded(name.trim())?, decoded(value.trim())?);
            (!name.is_empty()).then_some((name, value))
        })
        .collect()
}

/// The text that is percent-encoded.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        bytes.push(if byte == b'%' {
            u8::try_from(digit(rest.next())? * 16 + digit(rest.next())?).ok()?
        } else {
            byte
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_pairs_are_read_as_the_specification_has_them() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let wanted = vec![pair("a", "b c"), pair("key", "x=y"), pair("empty", "")];
        assert_eq!(pairs("a=b%20c, key = x=y ,,empty="), Some(wanted));
        assert_eq!(pairs(""), Some(Vec::new()));
        for bad in ["a", "=b", "a=%2", "a=%zz", "a=%ff"] {
            assert_eq!(pairs(bad), None, "{bad}");
        }
    }
}
