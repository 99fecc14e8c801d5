//! Spans as messages.

use crate::telemetry::otlp::proto::{
    Any, ExportTraces, ResourceSpans, ScopeSpans, Span as Sent, Status, key_value, resource, scope,
};
use crate::trace::{Kind, Span, Value};

/// The message of these spans.
pub(super) fn message(spans: Vec<Span>, resource_attributes: &[(String, String)]) -> ExportTraces {
    let spans = spans.into_iter().map(sent).collect();
    let scope_spans = vec![ScopeSpans { scope: Some(scope()), spans }];
    ExportTraces { resource_spans: vec![ResourceSpans { resource: Some(resource(resource_attributes)), scope_spans }] }
}

/// A span as it is sent.
fn sent(span: Span) -> Sent {
    let attributes = span.attributes.into_iter().map(|(key, value)| {
        let value = match value {
            Value::Text(text) => Any::Text(text.into_owned()),
            Value::Number(number) => Any::Number(number),
        };
        key_value(key, value)
    });
    Sent {
        trace_id: span.trace.bytes().to_vec(),
        span_id: span.id.bytes().to_vec(),
        trace_state: span.state.map(Into::into).unwrap_or_default(),
        parent_span_id: span.parent.map(|parent| parent.bytes().to_vec()).unwrap_or_default(),
        name: span.name.into_owned(),
        kind: match span.kind {
            Kind::Internal => 1,
            Kind::Server => 2,
            Kind::Client => 3,
        },
        start_time_unix_nano: span.start,
        end_time_unix_nano: span.end,
        attributes: attributes.collect(),
        status: span.failed.then_some(Status { code: STATUS_ERROR }),
        flags: SAMPLED,
    }
}

/// `STATUS_CODE_ERROR`.
const STATUS_ERROR: i32 = 2;
/// The flag of a trace that is recorded.
const SAMPLED: u32 = 1;
