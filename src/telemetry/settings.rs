//! What telemetry needs to know of the configuration, already proven: `[log]`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

/// The table `[log]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LogSettings {
    /// How the process log is written.
    pub format: LogFormat,
    /// `error`, `warn`, `info`, `debug` or `trace`, or directives as in `info,vestibule::provider=debug`.
    pub level: String,
    /// Where a line for each request goes. Default: nowhere.
    pub access: LogSink,
    /// Where audit events go. Default: standard error.
    pub audit: LogSink,
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
}
