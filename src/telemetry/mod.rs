//! What the program reports about itself: metrics, the access log, audit events, and the process log.

pub mod access;
pub mod agents;
pub mod audit;
mod audit_schema;
pub mod causes;
mod clf;
mod ecs;
pub mod exposition;
mod families;
mod journal;
mod line;
mod line_writer;
mod log;
mod losses;
pub mod metrics;
pub mod otlp;
mod outcomes;
mod own;
pub mod process;
mod record;
mod remote;
mod requests;
mod session_ends;
pub mod settings;
mod shards;
mod sink;
mod syslog;

use std::io;
use std::sync::Arc;

use crate::clock::{SharedClock, UnixTime};
use crate::telemetry::access::AccessEntry;
use crate::telemetry::audit::{AuditEvent, AuditFields, AuditRecord};
use crate::telemetry::line_writer::Lines;
use crate::telemetry::log::Log;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::settings::{AccessFormat, AuditFormat, LogSettings, LogSink};
use crate::telemetry::syslog::Facility;
use crate::trace::Tracer;

pub use audit_schema::audit_schema;
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

/// Metrics and logs of requests and people; one in a process, shared by all workers. Dropping it writes out what is left.
#[derive(Clone, Debug)]
pub struct Telemetry {
    /// Counters and durations.
    pub metrics: Arc<Metrics>,
    access: Option<Log<AccessFormat>>,
    audit: Option<Log<AuditFormat>>,
    settings: LogSettings,
    tracer: Option<Arc<Tracer>>,
}

impl Telemetry {
    /// Opens the logs.
    ///
    /// # Errors
    /// When a log's file cannot be opened for appending.
    pub fn new(settings: &LogSettings, clock: &SharedClock) -> Result<Arc<Self>, LogOpenError> {
        let metrics = Metrics::new(clock.now());
        process::count_losses_in(&metrics);
        let off = LogSettings { access: LogSink::Off, audit: LogSink::Off, ..settings.clone() };
        Arc::new(Self { metrics, access: None, audit: None, settings: off, tracer: None }).with_settings(settings)
    }

    /// The same with other settings, for a reload: the same metrics, and of the logs those that did not move. What still holds the
    /// old ones writes its lines where they went before.
    ///
    /// # Errors
    /// When a log's file cannot be opened for appending; nothing has changed then.
    pub fn with_settings(self: &Arc<Self>, settings: &LogSettings) -> Result<Arc<Self>, LogOpenError> {
        if *settings == self.settings {
            return Ok(Arc::clone(self));
        }
        let (old, opened) = (&self.settings, |key| move |cause| LogOpenError { key, cause });
        let access = match &self.access {
            Some(log) if settings.access == old.access => Some(log.with_format(settings.access_format)),
            _ => Log::open("access", Facility::Daemon, &settings.access, settings.access_format)
                .map_err(opened("log.access"))?,
        };
        let audit = match &self.audit {
            Some(log) if settings.audit == old.audit => Some(log.with_format(settings.audit_format)),
            _ => Log::open("audit", Facility::AuthPriv, &settings.audit, settings.audit_format)
                .map_err(opened("log.audit"))?,
        };
        let (metrics, tracer) = (Arc::clone(&self.metrics), self.tracer.clone());
        let next = Self { metrics, access, audit, settings: settings.clone(), tracer };
        next.logs().for_each(|log| log.count_losses_in(self.metrics.log_lines_lost(log.name())));
        Ok(Arc::new(next))
    }

    /// The same, recording traces.
    #[must_use]
    pub fn traced_by(&self, tracer: Option<Arc<Tracer>>) -> Arc<Self> {
        Arc::new(Self { tracer, ..self.clone() })
    }

    /// Begins traces, where they are recorded.
    pub fn tracer(&self) -> Option<&Arc<Tracer>> {
        self.tracer.as_ref()
    }

    /// Whether there is any point in making an entry for the access log.
    pub fn logs_access(&self) -> bool {
        self.access.is_some()
    }

    /// Whether such a client's requests have no line, as long as nothing comes of them that somebody has to see.
    pub fn excludes_agent(&self, agent: &str) -> bool {
        self.settings.access_exclude_agents.iter().any(|pattern| pattern.matches(agent))
    }

    /// Whether the entry may have a `Referer`: only the forms of others show it.
    pub fn logs_referer(&self) -> bool {
        self.logs_access() && matches!(self.settings.access_format, AccessFormat::Combined | AccessFormat::Ecs)
    }

    /// Whether there is any point in making an event for the audit log.
    pub fn logs_audit(&self) -> bool {
        self.audit.is_some()
    }

    /// Writes a request into the access log. Never waits; a line that does not fit is dropped and counted.
    pub fn access(&self, entry: &AccessEntry<'_>) {
        if let Some(log) = &self.access {
            log.write(entry);
        }
    }

    /// Writes an event into the audit log. Never waits; an event without room is counted, and reported in the process log when
    /// the loss is over.
    pub fn audit(&self, now: UnixTime, event: AuditEvent, fields: &AuditFields<'_>) {
        if let Some(log) = &self.audit {
            log.write(&AuditRecord { time: now, event, fields });
        }
    }

    /// Opens the files of the logs again, after a rotation has moved them away (SIGHUP).
    pub fn reopen(&self) {
        self.logs().for_each(|log| log.reopen());
    }

    /// Waits until every line is written, for a bounded time. Blocks: for the end of the program.
    pub fn flush(&self) {
        self.logs().for_each(|log| log.flush());
    }

    fn logs(&self) -> impl Iterator<Item = &Lines> {
        let (access, audit) = (self.access.as_deref(), self.audit.as_deref());
        access.into_iter().chain(audit)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::clock::SystemClock;

    fn telemetry(access: LogSink, audit: LogSink) -> Arc<Telemetry> {
        Telemetry::new(&LogSettings::of(access, audit), &SystemClock::shared()).unwrap()
    }

    #[test]
    fn lines_reach_their_files() {
        let folder = tempfile::tempdir().unwrap();
        let [access, audit] = ["access", "audit"].map(|name| folder.path().join(name));
        let telemetry = telemetry(LogSink::File(access.clone()), LogSink::File(audit.clone()));
        assert!(telemetry.logs_access());
        telemetry.access(&access::tests::entry());
        telemetry.audit(UnixTime::default(), AuditEvent::LoginFailed, &AuditFields::default());
        telemetry.flush();
        assert_eq!(fs::read_to_string(access).unwrap(), access::tests::json(&access::tests::entry()) + "\n");
        assert_eq!(
            fs::read_to_string(audit).unwrap(),
            "{\"ts\":\"1970-01-01T00:00:00.000Z\",\"log\":\"audit\",\"event\":\"login.failed\",\"outcome\":\"failure\"}\n"
        );
    }

    #[test]
    fn a_log_that_moves_takes_its_lines_along_and_one_that_stays_is_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let [access, audit, moved] = ["access", "audit", "moved"].map(|name| folder.path().join(name));
        let before = telemetry(LogSink::File(access.clone()), LogSink::File(audit.clone()));
        let event = |telemetry: &Telemetry| {
            telemetry.access(&access::tests::entry());
            telemetry.audit(UnixTime::default(), AuditEvent::LoginFailed, &AuditFields::default());
        };
        event(&before);
        let mut settings = before.settings.clone();
        (settings.access, settings.access_format) = (LogSink::File(moved.clone()), AccessFormat::Human);
        let after = before.with_settings(&settings).unwrap();
        event(&after);
        // A request that was under way is still written, where the log was when it came.
        event(&before);
        before.flush();
        after.flush();
        let lines = |path| fs::read_to_string(path).unwrap().lines().count();
        assert_eq!((lines(&access), lines(&audit), lines(&moved)), (2, 3, 1));
        assert!(!fs::read_to_string(&moved).unwrap().starts_with('{'), "the form changed, too");
        settings.audit = LogSink::File(folder.path().join("nowhere/audit"));
        assert_eq!(after.with_settings(&settings).unwrap_err().key, "log.audit");
    }

    #[test]
    fn a_log_that_is_off_costs_nothing_and_says_so() {
        let telemetry = telemetry(LogSink::Off, LogSink::Off);
        assert!(!telemetry.logs_access());
        telemetry.access(&access::tests::entry());
        telemetry.audit(UnixTime::default(), AuditEvent::LoginFailed, &AuditFields::default());
        telemetry.flush();
    }
}
