//! What the program tells of itself: metrics, the access log, audit events, and the process log.

pub mod access;
pub mod audit;
pub mod causes;
mod families;
mod line;
mod line_writer;
mod losses;
pub mod metrics;
mod outcomes;
mod own;
pub mod process;
pub mod settings;
mod shards;
mod sink;

use std::io;
use std::sync::Arc;

use crate::clock::SharedClock;
use crate::telemetry::access::AccessLog;
use crate::telemetry::audit::AuditLog;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::settings::LogSettings;

pub use sink::can_append;

/// A log cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("`{key}` cannot be opened: {cause}")]
pub struct LogOpenError {
    /// The key that names it.
    pub key: &'static str,
    /// Why.
    pub cause: io::Error,
}

/// Everything that is told of requests and people; one in a process, shared by all workers.
#[derive(Debug)]
pub struct Telemetry {
    /// Counters and durations.
    pub metrics: Arc<Metrics>,
    /// A line for each request.
    pub access: AccessLog,
    /// Who signed in, and who was refused.
    pub audit: AuditLog,
}

impl Telemetry {
    /// Opens the logs.
    ///
    /// # Errors
    /// When a log's file cannot be opened for appending.
    pub fn new(settings: &LogSettings, clock: &SharedClock) -> Result<Arc<Self>, LogOpenError> {
        let metrics = Metrics::new(clock.now());
        process::count_losses_in(&metrics);
        let failed = |key| move |cause| LogOpenError { key, cause };
        let access = AccessLog::open(settings, &metrics).map_err(failed("log.access"))?;
        let audit = AuditLog::open(settings, &metrics).map_err(failed("log.audit"))?;
        Ok(Arc::new(Self { metrics, access, audit }))
    }

    /// Opens the files of the logs again, after somebody has moved them away.
    pub fn reopen(&self) {
        self.access.reopen();
        self.audit.reopen();
    }

    /// Waits until every line is written, for a bounded time. Blocks: for the end of the program.
    pub fn flush(&self) {
        self.access.flush();
        self.audit.flush();
    }
}
