//! Log lines on their way to a sink that never makes anybody wait: lines go into memory, one thread writes them out.
//!
//! Each line is formatted straight into a shared buffer (one per few threads, so that workers do not meet at its lock), which
//! the writing thread swaps for an empty one: no allocation per line, and at most one wake-up per batch. The sink may be stuck
//! for ever: what does not fit into the buffers is dropped and counted, and the end of the process waits for a bounded time.

use std::cell::Cell;
use std::io;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;

use crate::telemetry::losses::Losses;
use crate::telemetry::settings::LogSink;
use crate::telemetry::sink::{Sink, WriteError};

/// A running log; the last clone of its [`Lines`] does not end it. Dropping this does, after everything is written or
/// [`LONGEST_WAIT`] has passed.
#[derive(Debug)]
pub(super) struct LineWriter {
    lines: Lines,
}

impl LineWriter {
    /// Opens the sink and starts its thread; `None` for [`LogSink::Off`].
    pub(super) fn start(name: &'static str, sink: &LogSink) -> io::Result<Option<Self>> {
        Sink::open(sink)?.map(|sink| Self::start_on(name, sink, GATHER)).transpose()
    }

    /// The same for lines that are few and may be followed live: each is written at once.
    pub(super) fn start_prompt(name: &'static str, sink: &LogSink) -> io::Result<Option<Self>> {
        Sink::open(sink)?.map(|sink| Self::start_on(name, sink, Duration::ZERO)).transpose()
    }

    fn start_on(name: &'static str, sink: Sink, gather: Duration) -> io::Result<Self> {
        let shared = Arc::new(Buffers::new(name));
        let lines = Lines(Arc::clone(&shared));
        // Not joined: a thread that is stuck in a write cannot be ended.
        thread::Builder::new().name(format!("{name}-log")).spawn(move || write_out(&shared, sink, gather))?;
        Ok(Self { lines })
    }

    pub(super) fn lines(&self) -> Lines {
        self.lines.clone()
    }
}

impl Deref for LineWriter {
    type Target = Lines;

    fn deref(&self) -> &Lines {
        &self.lines
    }
}

impl Drop for LineWriter {
    fn drop(&mut self) {
        self.lines.end();
    }
}

/// The near end of a log: cheap to clone, never blocks on I/O.
#[derive(Clone, Debug)]
pub(super) struct Lines(Arc<Buffers>);

impl Lines {
    /// Adds one line; `format` writes it without its line feed. False if there was no room.
    pub(super) fn push(&self, format: impl FnOnce(&mut Vec<u8>)) -> bool {
        let Some(shard) = self.0.shards.get(own_shard()) else { return false };
        let was_empty = {
            let mut waiting = lock(shard);
            if waiting.text.len() >= ROOM {
                drop(waiting);
                self.0.losses.no_room();
                return false;
            }
            format(&mut waiting.text);
            waiting.text.push(b'\n');
            waiting.lines += 1;
            waiting.lines == 1
        };
        if was_empty {
            self.0.ask(|asked| asked.write = true);
        }
        true
    }

    /// The log's name.
    pub(super) fn name(&self) -> &'static str {
        self.0.losses.log()
    }

    /// Counts lost lines here from now on, those lost before included.
    pub(super) fn count_losses_in(&self, counter: Counter) {
        self.0.losses.count_in(counter);
    }

    /// Opens the file again, once what was pushed before is written: after the log was rotated.
    pub(super) fn reopen(&self) {
        self.0.ask(|asked| asked.reopen = true);
    }

    /// Waits until everything that was pushed before is written, at most for [`LONGEST_WAIT`]. Not for use on a worker.
    pub(super) fn flush(&self) {
        self.wait(|asked| asked.flush += 1);
    }

    fn end(&self) {
        self.wait(|asked| (asked.flush, asked.end) = (asked.flush + 1, true));
        if !lock(&self.0.asked).ended {
            let waiting: u64 = self.0.shards.iter().map(|shard| lock(shard).lines).sum();
            self.0.losses.left_at_the_end(waiting + self.0.in_hand.load(Relaxed));
        }
    }

    fn wait(&self, ask: impl FnOnce(&mut Asks)) {
        let mut asked = lock(&self.0.asked);
        ask(&mut asked);
        let mine = asked.flush;
        self.0.changed.notify_one();
        if asked.given_up {
            return;
        }
        let waited = self.0.done.wait_timeout_while(asked, LONGEST_WAIT, |asked| asked.flushed < mine && !asked.ended);
        let (mut asked, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        // The next one to wait for the same stuck sink need not wait again.
        asked.given_up = timeout.timed_out();
    }
}

#[derive(Debug)]
struct Buffers {
    shards: [Mutex<Waiting>; SHARDS],
    /// Lines that the writing thread has taken, and the sink not yet.
    in_hand: AtomicU64,
    asked: Mutex<Asks>,
    changed: Condvar,
    done: Condvar,
    losses: Losses,
}

/// Lines that wait.
#[derive(Debug, Default)]
struct Waiting {
    text: Vec<u8>,
    /// How many.
    lines: u64,
}

impl Buffers {
    fn new(name: &'static str) -> Self {
        Self {
            shards: Default::default(),
            in_hand: AtomicU64::new(0),
            asked: Mutex::default(),
            changed: Condvar::new(),
            done: Condvar::new(),
            losses: Losses::of(name),
        }
    }

    fn ask(&self, ask: impl FnOnce(&mut Asks)) {
        ask(&mut lock(&self.asked));
        self.changed.notify_one();
    }
}

/// What the writing thread has been asked for.
#[derive(Clone, Debug, Default)]
struct Asks {
    write: bool,
    reopen: bool,
    end: bool,
    ended: bool,
    flush: u64,
    flushed: u64,
    /// A wait timed out.
    given_up: bool,
}

impl Asks {
    fn is_pressing(&self) -> bool {
        self.reopen || self.end || self.flush > self.flushed
    }
}

fn write_out(shared: &Buffers, mut sink: Sink, gather: Duration) {
    let mut spare = Waiting::default();
    loop {
        let asked = next(shared, gather);
        for shard in &shared.shards {
            std::mem::swap(&mut *lock(shard), &mut spare);
            shared.in_hand.store(std::mem::take(&mut spare.lines), Relaxed);
            write_all(shared, &mut sink, &spare.text);
            shared.in_hand.store(0, Relaxed);
            spare.text.clear();
        }
        shared.losses.report_when_over();
        if asked.reopen
            && let Err(cause) = sink.reopen()
        {
            tracing::error!(code = "log_not_reopened", log = shared.losses.log(), %cause, "writing to the old log file on");
        }
        let mut now = lock(&shared.asked);
        now.flushed = asked.flush;
        now.ended = asked.end;
        now.given_up = false;
        drop(now);
        shared.done.notify_all();
        if asked.end {
            return;
        }
    }
}

/// Writes lines until they are taken or refused. A program that is away is waited for, unless the log ends: what more comes
/// meanwhile waits in the buffers.
fn write_all(shared: &Buffers, sink: &mut Sink, lines: &[u8]) {
    let mut rest = lines;
    loop {
        match sink.write(rest) {
            Ok(()) => return shared.losses.written(!rest.is_empty()),
            Err(WriteError { cause, unwritten, lost, is_away }) if is_away && !lock(&shared.asked).end => {
                shared.losses.away(lost, &cause);
                shared.in_hand.store(count(unwritten), Relaxed);
                rest = unwritten;
                let asked = lock(&shared.asked);
                let _ = shared.changed.wait_timeout_while(asked, OFFER_AGAIN, |asked| !asked.end);
            }
            Err(WriteError { cause, unwritten, .. }) => return shared.losses.not_written(unwritten, &cause),
        }
    }
}

/// How many lines these are.
fn count(lines: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', lines).count() as u64
}

/// Waits until there is something to do. A mere line waits for `gather` longer, so that one write takes many.
fn next(shared: &Buffers, gather: Duration) -> Asks {
    let longest = if shared.losses.is_pending() { REPORT_AFTER } else { Duration::MAX };
    let waited =
        shared.changed.wait_timeout_while(lock(&shared.asked), longest, |asked| !(asked.write || asked.is_pressing()));
    let mut asked = waited.unwrap_or_else(PoisonError::into_inner).0;
    if !gather.is_zero() && !asked.is_pressing() {
        let waited = shared.changed.wait_timeout_while(asked, gather, |asked| !asked.is_pressing());
        asked = waited.unwrap_or_else(PoisonError::into_inner).0;
    }
    let taken = asked.clone();
    (asked.write, asked.reopen) = (false, false);
    taken
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn own_shard() -> usize {
    thread_local! {
        static SHARD: Cell<usize> = Cell::new(NEXT_SHARD.fetch_add(1, Relaxed) % SHARDS);
    }
    SHARD.with(Cell::get)
}

static NEXT_SHARD: AtomicUsize = AtomicUsize::new(0);
const SHARDS: usize = 4;
/// Bytes that may wait in each shard.
const ROOM: usize = 1024 * 1024;
const GATHER: Duration = Duration::from_millis(50);
/// After so much time without a lost line the loss is over.
const REPORT_AFTER: Duration = Duration::from_secs(1);
/// How long a program that is away is left alone.
const OFFER_AGAIN: Duration = Duration::from_secs(1);
/// How long the end of the process waits for a sink.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read as _, Write as _};
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;
    use std::time::Instant;

    use super::*;

    fn over_a_stream() -> (LineWriter, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (LineWriter::start_on("test", Sink::of(File::from(OwnedFd::from(ours))), GATHER).unwrap(), theirs)
    }

    /// Pushes lines of 4 KiB that come to three times the room; how many were taken.
    fn flood(lines: &Lines) -> usize {
        let long = [b'x'; 4096];
        (0..FLOOD).filter(|_| lines.push(|out| out.extend_from_slice(&long))).count()
    }

    const FLOOD: usize = 3 * ROOM / 4096;

    #[test]
    fn lines_of_many_threads_arrive_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let writer = LineWriter::start("test", &LogSink::File(path.clone())).unwrap().unwrap();
        thread::scope(|scope| {
            for thread in 0..6 {
                let lines = writer.lines();
                scope.spawn(move || {
                    for line in 0..500 {
                        assert!(lines.push(|out| write!(out, "{thread}:{line}").unwrap()));
                    }
                });
            }
        });
        drop(writer);
        let text = std::fs::read_to_string(path).unwrap();
        let mut found: Vec<_> = text.lines().map(str::to_owned).collect();
        let mut wanted: Vec<_> = (0..6).flat_map(|t| (0..500).map(move |l| format!("{t}:{l}"))).collect();
        found.sort();
        wanted.sort();
        assert_eq!(found, wanted);
    }

    #[test]
    fn a_stuck_sink_costs_lines_but_never_time() {
        let (writer, mut reader) = over_a_stream();
        let lost = Counter::<u64>::default();
        let lines = writer.lines();
        lines.count_losses_in(lost.clone());
        // Nobody reads, and all of this returns all the same.
        let taken = flood(&lines);
        assert!(taken < FLOOD);
        assert_eq!(lost.get(), (FLOOD - taken) as u64);
        let read = thread::spawn(move || {
            let mut text = Vec::new();
            reader.read_to_end(&mut text).unwrap();
            text.iter().filter(|byte| **byte == b'\n').count()
        });
        drop((writer, lines));
        assert_eq!(read.join().unwrap(), taken);
    }

    #[test]
    fn a_stuck_sink_holds_the_end_for_a_bounded_time_and_once() {
        let (writer, _unread) = over_a_stream();
        let lines = writer.lines();
        flood(&lines);
        let began = Instant::now();
        lines.flush();
        drop(writer);
        assert!(began.elapsed() < 2 * LONGEST_WAIT, "{:?}", began.elapsed());
    }

    #[test]
    fn lines_lost_before_the_counter_was_known_are_counted() {
        let (writer, _unread) = over_a_stream();
        let taken = flood(&writer.lines());
        let lost = Counter::<u64>::default();
        writer.lines().count_losses_in(lost.clone());
        assert_eq!(lost.get(), (FLOOD - taken) as u64);
    }

    #[test]
    fn a_sink_that_refuses_is_counted_and_written_to_again() {
        for refusing in ["/dev/full", "a closed stream"] {
            let writer = if refusing == "/dev/full" {
                LineWriter::start("test", &LogSink::File(refusing.into())).unwrap().unwrap()
            } else {
                over_a_stream().0
            };
            let lines = writer.lines();
            let lost = Counter::<u64>::default();
            lines.count_losses_in(lost.clone());
            for line in 1..=3 {
                lines.push(|out| out.extend_from_slice(b"line"));
                lines.flush();
                assert_eq!(lost.get(), line, "{refusing}");
            }
        }
    }

    #[test]
    fn after_a_rotation_lines_go_to_the_new_file() {
        let folder = tempfile::tempdir().unwrap();
        let (path, old) = (folder.path().join("log"), folder.path().join("log.1"));
        let writer = LineWriter::start("test", &LogSink::File(path.clone())).unwrap().unwrap();
        let lines = writer.lines();
        lines.push(|out| out.extend_from_slice(b"before"));
        lines.flush();
        std::fs::rename(&path, &old).unwrap();
        lines.push(|out| out.extend_from_slice(b"between"));
        lines.reopen();
        lines.flush();
        lines.push(|out| out.extend_from_slice(b"after"));
        lines.flush();
        assert_eq!(std::fs::read_to_string(old).unwrap(), "before\nbetween\n");
        assert_eq!(std::fs::read_to_string(path).unwrap(), "after\n");
    }
}
