//! Log lines that were lost: counted at once, and reported in the process log when the loss is over.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use prometheus_client::metrics::counter::Counter;

/// The losses of one log.
#[derive(Debug)]
pub(super) struct Losses {
    log: &'static str,
    /// Lines for which the buffer had no room: the sink takes less than is written.
    no_room: AtomicU64,
    failed: Mutex<Failed>,
    /// Where all are counted; those before it was known wait in `uncounted`.
    counter: OnceLock<Counter>,
    uncounted: AtomicU64,
}

/// Lines that the sink refused, since the last report.
#[derive(Debug, Default)]
struct Failed {
    lines: u64,
    cause: Option<String>,
    /// The sink refuses at the moment.
    failing: bool,
    /// `no_room` at the last look.
    no_room_seen: u64,
}

impl Losses {
    pub(super) const fn of(log: &'static str) -> Self {
        Self {
            log,
            no_room: AtomicU64::new(0),
            failed: Mutex::new(Failed { lines: 0, cause: None, failing: false, no_room_seen: 0 }),
            counter: OnceLock::new(),
            uncounted: AtomicU64::new(0),
        }
    }

    pub(super) fn log(&self) -> &'static str {
        self.log
    }

    pub(super) fn count_in(&self, counter: Counter) {
        if self.counter.set(counter).is_ok() {
            self.count(self.uncounted.swap(0, Relaxed));
        }
    }

    /// A line found no room.
    pub(super) fn no_room(&self) {
        self.no_room.fetch_add(1, Relaxed);
        self.count(1);
    }

    /// The sink took what it was given; `some` if that was anything.
    pub(super) fn written(&self, some: bool) {
        if some {
            self.failed().failing = false;
        }
    }

    /// The program that takes the lines is away: they wait, but for those that are lost already.
    pub(super) fn away(&self, lost: u64, cause: &io::Error) {
        self.count(lost);
        let mut failed = self.failed();
        failed.lines += lost;
        let first = !std::mem::replace(&mut failed.failing, true);
        failed.cause = Some(cause.to_string());
        drop(failed);
        if first {
            tracing::error!(
                code = "log_not_written",
                log = self.log,
                %cause,
                "log lines wait for whoever takes them, and are lost when there is no more room"
            );
        }
    }

    /// The program ends, and these lines were not taken.
    pub(super) fn left_at_the_end(&self, lines: u64) {
        self.count(lines);
        if lines > 0 && self.log != PROCESS {
            let cause = "the reader did not take them before the end";
            tracing::error!(code = "log_lines_lost", log = self.log, lines, cause, "log lines were lost");
        }
    }

    /// The sink refused these lines. The first of several refusals is reported at once.
    pub(super) fn not_written(&self, lines: &[u8], cause: &io::Error) {
        let count = memchr::memchr_iter(b'\n', lines).count() as u64;
        self.count(count);
        let mut failed = self.failed();
        failed.lines += count;
        let first = !std::mem::replace(&mut failed.failing, true);
        failed.cause = Some(cause.to_string());
        drop(failed);
        // The process log cannot report that it cannot be written itself.
        if first && self.log != PROCESS {
            tracing::error!(code = "log_not_written", log = self.log, %cause, "log lines are being lost");
        }
    }

    /// Says what was lost, once no more is: to be called after each round of writing.
    pub(super) fn report_when_over(&self) {
        let mut failed = self.failed();
        let no_room = self.no_room.load(Relaxed);
        let losing = failed.failing || std::mem::replace(&mut failed.no_room_seen, no_room) != no_room;
        if losing || (no_room == 0 && failed.lines == 0) {
            return;
        }
        self.no_room.fetch_sub(no_room, Relaxed);
        failed.no_room_seen = 0;
        let (lines, cause) = (std::mem::take(&mut failed.lines), failed.cause.take());
        drop(failed);
        if no_room > 0 {
            let cause = "the reader was slower than the log";
            tracing::warn!(code = "log_lines_lost", log = self.log, lines = no_room, cause, "log lines were lost");
        }
        if lines > 0 {
            let cause = cause.unwrap_or_default();
            tracing::warn!(code = "log_lines_lost", log = self.log, lines, cause, "log lines were lost");
        }
    }

    fn count(&self, lines: u64) {
        match self.counter.get() {
            Some(counter) => _ = counter.inc_by(lines),
            None => {
                self.uncounted.fetch_add(lines, Relaxed);
                // It may have become known meanwhile.
                if let Some(counter) = self.counter.get() {
                    counter.inc_by(self.uncounted.swap(0, Relaxed));
                }
            }
        }
    }

    /// Whether there is something to report.
    pub(super) fn is_pending(&self) -> bool {
        self.no_room.load(Relaxed) > 0 || self.failed().lines > 0
    }

    fn failed(&self) -> MutexGuard<'_, Failed> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name of the process log among the logs.
pub(super) const PROCESS: &str = "process";
