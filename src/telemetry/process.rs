//! The process log: messages for the operator, on standard error. Like the other logs it is written by a thread of its own:
//! logging never waits for the reader of standard error.

use std::io::{self, IsTerminal as _};
use std::panic::PanicHookInfo;
use std::sync::{Arc, OnceLock};

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt::format::{Format, Json, JsonFields, Writer};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::{Layer, Layered, SubscriberExt as _};
use tracing_subscriber::registry::{LookupSpan, Registry};
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{registry, reload};

use crate::clock::SharedClock;
use crate::telemetry::line::{TIME, write_time};
use crate::telemetry::line_writer::{LineWriter, Lines};
use crate::telemetry::losses::PROCESS;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::settings::{LogFormat, LogSettings, LogSink};

/// The running process log. Dropping it writes out what is left, for a bounded time.
#[derive(Debug)]
pub struct ProcessLog {
    writer: LineWriter,
}

impl ProcessLog {
    /// Writes out what is left, for a bounded time: before something else is written to standard error.
    pub fn flush(&self) {
        self.writer.flush();
    }
}

/// Starts the process log, once in a process.
///
/// Lines for people go to a terminal, or with `journald` (standard error is the journal's stream) with a priority in front
/// of each and without a time, which the journal has itself; everything else gets JSON.
///
/// # Errors
/// When the level cannot be understood, a log was started before, or there is no thread for it.
pub fn init_process_log(settings: &LogSettings, clock: SharedClock, journald: bool) -> Result<ProcessLog, LogError> {
    let (filter, level) = reload::Layer::new(filter(&settings.level)?);
    let writer = LineWriter::start_prompt(PROCESS, &LogSink::Stderr)?.ok_or(LogError::Closed)?;
    let lines = writer.lines();
    let shape = Shape { lines, clock, journald };
    let (layer, form) = reload::Layer::new(shape.layer(settings.format));
    registry().with(filter).with(layer).try_init().map_err(LogError::Twice)?;
    std::panic::set_hook(Box::new(log_panic));
    _ = STARTED.set(Started { shape, level, form });
    Ok(ProcessLog { writer })
}

/// Gives the running process log, where there is one, another level and another form.
///
/// # Errors
/// When the level cannot be understood; nothing has changed then.
pub fn reconfigure(settings: &LogSettings) -> Result<(), LogError> {
    let filter = filter(&settings.level)?;
    let Some(started) = STARTED.get() else { return Ok(()) };
    // Either fails only when the log is gone: at the end of the process.
    _ = started.level.reload(filter);
    _ = started.form.reload(started.shape.layer(settings.format));
    Ok(())
}

/// Whether a level, or a list of directives, can be understood.
///
/// # Errors
/// Why not.
pub fn check_level(level: &str) -> Result<(), LogError> {
    filter(level).map(drop)
}

fn filter(level: &str) -> Result<EnvFilter, LogError> {
    let parsed = EnvFilter::builder().parse(level);
    parsed.map_err(|cause| LogError::Level { level: level.to_owned(), cause: cause.to_string() })
}

/// Counts the lines that the process log loses among these metrics, where one was started.
pub(super) fn count_losses_in(metrics: &Metrics) {
    if let Some(started) = STARTED.get() {
        started.shape.lines.count_losses_in(metrics.log_lines_lost(PROCESS));
    }
}

/// The running process log, as a reload changes it.
struct Started {
    shape: Shape,
    level: reload::Handle<EnvFilter, Registry>,
    form: reload::Handle<AnyLayer<Filtered>, Filtered>,
}

type Filtered = Layered<reload::Layer<EnvFilter, Registry>, Registry>;
type AnyLayer<S> = Box<dyn Layer<S> + Send + Sync>;

static STARTED: OnceLock<Started> = OnceLock::new();

/// What the lines of the process log are made with, whatever their form.
#[derive(Debug)]
struct Shape {
    lines: Lines,
    clock: SharedClock,
    journald: bool,
}

impl Shape {
    /// Writes lines of this form.
    fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(&self, format: LogFormat) -> AnyLayer<S> {
        let terminal = io::stderr().is_terminal();
        let human = match format {
            LogFormat::Auto => self.journald || terminal,
            LogFormat::Human => true,
            LogFormat::Json => false,
        };
        let base = fmt::layer().with_writer(EventWriter(self.lines.clone())).with_ansi(terminal);
        let time = ClockTime(Arc::clone(&self.clock));
        match (human, self.journald) {
            (true, true) => base.event_format(ForJournal(Format::default().without_time().with_level(false))).boxed(),
            (true, false) => base.with_timer(time).boxed(),
            (false, true) => {
                base.fmt_fields(JsonFields::new()).event_format(ForJournal(ForPrograms::new(time))).boxed()
            }
            (false, false) => base.fmt_fields(JsonFields::new()).event_format(ForPrograms::new(time)).boxed(),
        }
    }
}

/// Where the subscriber writes each event, in one call.
#[derive(Debug)]
struct EventWriter(Lines);

impl<'a> MakeWriter<'a> for EventWriter {
    type Writer = EventLines<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        EventLines(&self.0)
    }
}

struct EventLines<'a>(&'a Lines);

impl io::Write for EventLines<'_> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        self.0.push(|out| out.extend_from_slice(event.strip_suffix(b"\n").unwrap_or(event)));
        // An event without room is counted as lost; an error would be reported by the subscriber on the same standard error.
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One line for a panic, like any other: where it was. Its message is left out: it may quote what was being worked on.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current();
    tracing::error!(
        code = "panic",
        place,
        thread = thread.name().unwrap_or_default(),
        "a fault of ours: please report it"
    );
}

/// Why there is no process log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// `log.level` is no level and no list of directives.
    #[error("the log level {level:?} cannot be understood: {cause}")]
    Level {
        /// As configured.
        level: String,
        /// Why.
        cause: String,
    },
    /// There is one already.
    #[error("the process log was started twice")]
    Twice(#[source] TryInitError),
    /// Standard error cannot be had.
    #[error("standard error is closed")]
    Closed,
    /// The thread that writes could not be started.
    #[error("the process log cannot be written: {0}")]
    Io(#[from] io::Error),
}

struct ClockTime(SharedClock);

impl FormatTime for ClockTime {
    fn format_time(&self, w: &mut Writer<'_>) -> std::fmt::Result {
        let mut text = Vec::with_capacity(24);
        write_time(&mut text, self.0.now());
        w.write_str(std::str::from_utf8(&text).map_err(|_| std::fmt::Error)?)
    }
}

/// JSON whose time stands under the same name as in the access log and the audit log.
struct ForPrograms {
    time: ClockTime,
    rest: Format<Json, ()>,
}

impl ForPrograms {
    fn new(time: ClockTime) -> Self {
        let rest = Format::default().without_time().json().flatten_event(true).with_current_span(false);
        Self { time, rest }
    }
}

impl<S, N> FormatEvent<S, N> for ForPrograms
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, ctx: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> std::fmt::Result {
        let mut rest = String::new();
        self.rest.format_event(ctx, Writer::new(&mut rest), event)?;
        write!(writer, "{{\"{TIME}\":\"")?;
        self.time.format_time(&mut writer)?;
        writer.write_str("\",")?;
        writer.write_str(rest.strip_prefix('{').unwrap_or(&rest))
    }
}

/// Events with the priority that the journal reads off the beginning of each of their lines (sd-daemon(3)): a report has several.
struct ForJournal<F>(F);

impl<S, N, F> FormatEvent<S, N> for ForJournal<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, ctx: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> std::fmt::Result {
        let priority = match *event.metadata().level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            Level::DEBUG | Level::TRACE => 7,
        };
        let mut text = String::new();
        self.0.format_event(ctx, Writer::new(&mut text), event)?;
        text.lines().try_for_each(|line| writeln!(writer, "<{priority}>{line}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::telemetry::settings::LogSink;

    #[test]
    fn a_level_that_is_none_is_refused_with_its_text() {
        let settings =
            LogSettings { level: "vestibule=loud".to_owned(), ..LogSettings::of(LogSink::Off, LogSink::Off) };
        let error = init_process_log(&settings, SystemClock::shared(), false).unwrap_err();
        assert!(error.to_string().contains("vestibule=loud"), "{error}");
    }
}
