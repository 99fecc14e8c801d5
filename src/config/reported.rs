//! The tables about what is reported, as they are written: `[log]` and `[telemetry]`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::reading::Field;
use super::secrets::SecretText;
use super::sinks::SinkKey;
use super::tables::tables;
use super::units::{OneOrMany, Timespan};
use crate::telemetry::settings::{AccessFormat, AuditFormat, LogFormat};

tables! {
/// `[log]`.
pub(super) struct LogTable {
    /// The form of lines. Default: `auto`.
    pub(super) format: Field<LogFormat>,
    /// `error`, `warn`, `info`, `debug`, `trace`, or directives: `info,vestibule::provider=debug`.
    pub(super) level: Field<String>,
    /// Where a line for each request goes: `off`, `stdout`, `stderr`, a file, `syslog:ADDRESS` or `journald`. Default: `off`.
    pub(super) access: Field<SinkKey>,
    /// The form of these lines. Default: `json`; a line for people where `format` is `human`.
    pub(super) access_format: Field<AccessFormat>,
    /// Clients that have no line: patterns of the whole `User-Agent`, with `*`. Answers from 400 on, and requests with a session, have theirs.
    pub(super) access_exclude_agents: Field<OneOrMany<String>>,
    /// Where sign-ins, denials and sign-outs are recorded: as `access`. Default: `stderr`.
    pub(super) audit: Field<SinkKey>,
    /// The form of these lines. Default: `json`.
    pub(super) audit_format: Field<AuditFormat>,
}

/// `[telemetry]`: what the variables `OTEL_*` say where a key is left out.
pub(super) struct TelemetryTable {
    /// Whether anything is sent; `OTEL_SDK_DISABLED`. Default: `true`.
    pub(super) enabled: Field<bool>,
    /// A receiver of traces and metrics, below which `/v1/traces` and `/v1/metrics` are; `OTEL_EXPORTER_OTLP_ENDPOINT`. No default.
    pub(super) endpoint: Field<String>,
    /// Where traces are sent, as a whole URL; `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`.
    pub(super) traces_endpoint: Field<String>,
    /// Where metrics are sent, as a whole URL; `OTEL_EXPORTER_OTLP_METRICS_ENDPOINT`.
    pub(super) metrics_endpoint: Field<String>,
    /// `http/protobuf`, the only one that is spoken; `OTEL_EXPORTER_OTLP_PROTOCOL`.
    pub(super) protocol: Field<String>,
    /// Fields of each request, `name=value,name=value`; `OTEL_EXPORTER_OTLP_HEADERS`.
    pub(super) headers: Field<SecretText>,
    /// Time for one request; `OTEL_EXPORTER_OTLP_TIMEOUT`. Default: `10s`.
    pub(super) timeout: Field<Timespan>,
    /// What this is called; `OTEL_SERVICE_NAME`. Default: `vestibule`.
    pub(super) service_name: Field<String>,
    /// What else this is, `name=value,name=value`; `OTEL_RESOURCE_ATTRIBUTES`.
    pub(super) resource_attributes: Field<String>,
    /// Which traces are recorded; `OTEL_TRACES_SAMPLER`. Default: `parentbased_always_on`.
    pub(super) sampler: Field<String>,
    /// The share of a ratio, from 0 to 1; `OTEL_TRACES_SAMPLER_ARG`. Default: `1`.
    pub(super) sampler_arg: Field<String>,
    /// Finished spans that may wait; `OTEL_BSP_MAX_QUEUE_SIZE`. Default: 2048.
    pub(super) span_queue: Field<u32>,
    /// Spans in one request; `OTEL_BSP_MAX_EXPORT_BATCH_SIZE`. Default: 512.
    pub(super) span_batch: Field<u32>,
    /// How long a span waits for others; `OTEL_BSP_SCHEDULE_DELAY`. Default: `5s`.
    pub(super) span_delay: Field<Timespan>,
    /// The time between two exports of metrics; `OTEL_METRIC_EXPORT_INTERVAL`. Default: `60s`.
    pub(super) metrics_interval: Field<Timespan>,
}
}
