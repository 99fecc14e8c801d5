//! A sink for log lines that never makes a request wait: lines go into memory, one thread writes them out.
//!
//! Each line is formatted straight into a shared buffer (one per few threads, so that workers do not meet at its lock), which
//! the writing thread swaps for an empty one: no allocation per line, and at most one wake-up per batch. What does not fit
//! is dropped and counted.

use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;

use crate::telemetry::settings::LogSink;

/// A running sink; the last clone of its [`Lines`] does not end it, dropping this does, after everything is written.
#[derive(Debug)]
pub(super) struct LineWriter {
    lines: Lines,
    thread: Option<JoinHandle<()>>,
}

impl LineWriter {
    /// Opens the sink and starts its thread; `None` for [`LogSink::Off`].
    pub(super) fn start(name: &str, sink: &LogSink, lost: Counter) -> io::Result<Option<Self>> {
        let target = match sink {
            LogSink::Off => return Ok(None),
            LogSink::Stdout => Target::Stdout,
            LogSink::Stderr => Target::Stderr,
            LogSink::File(path) => Target::File { file: append_to(path)?, path: path.clone() },
        };
        Self::start_on(name, target, lost).map(Some)
    }

    fn start_on(name: &str, target: Target, lost: Counter) -> io::Result<Self> {
        let shared = Arc::new(Shared { lost, ..Shared::default() });
        let lines = Lines(Arc::clone(&shared));
        let thread = thread::Builder::new().name(format!("{name}-log")).spawn(move || write_out(&shared, target))?;
        Ok(Self { lines, thread: Some(thread) })
    }

    pub(super) fn lines(&self) -> Lines {
        self.lines.clone()
    }
}

impl Drop for LineWriter {
    fn drop(&mut self) {
        self.lines.0.tell(|wishes| wishes.end = true);
        if let Some(thread) = self.thread.take() {
            _ = thread.join();
        }
    }
}

/// The near end of a sink: cheap to clone, never blocks on I/O.
#[derive(Clone, Debug)]
pub(super) struct Lines(Arc<Shared>);

impl Lines {
    /// Adds one line; `format` writes it without its line feed. False if there was no room.
    pub(super) fn push(&self, format: impl FnOnce(&mut Vec<u8>)) -> bool {
        let Some(shard) = self.0.shards.get(own_shard()) else { return false };
        let was_empty = {
            let mut buffer = lock(shard);
            if buffer.len() >= ROOM {
                drop(buffer);
                self.0.lost.inc();
                return false;
            }
            let was_empty = buffer.is_empty();
            format(&mut buffer);
            buffer.push(b'\n');
            was_empty
        };
        if was_empty {
            self.0.tell(|wishes| wishes.write = true);
        }
        true
    }

    /// Opens the file again, once what was pushed before is written: after the log was rotated.
    pub(super) fn reopen(&self) {
        self.0.tell(|wishes| wishes.reopen = true);
    }

    /// Waits until everything that was pushed before is written. Not for use on a worker.
    pub(super) fn flush(&self) {
        let mut wishes = lock(&self.0.wishes);
        wishes.flush += 1;
        let mine = wishes.flush;
        self.0.wished.notify_one();
        while wishes.flushed < mine && !wishes.ended {
            wishes = self.0.done.wait(wishes).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[derive(Debug, Default)]
struct Shared {
    shards: [Mutex<Vec<u8>>; SHARDS],
    wishes: Mutex<Wishes>,
    wished: Condvar,
    done: Condvar,
    lost: Counter,
}

impl Shared {
    fn tell(&self, wish: impl FnOnce(&mut Wishes)) {
        wish(&mut lock(&self.wishes));
        self.wished.notify_one();
    }
}

/// What the writing thread has been asked for.
#[derive(Clone, Debug, Default)]
struct Wishes {
    write: bool,
    reopen: bool,
    end: bool,
    ended: bool,
    flush: u64,
    flushed: u64,
}

#[derive(Debug)]
enum Target {
    Stdout,
    Stderr,
    File {
        file: File,
        path: std::path::PathBuf,
    },
    #[cfg(test)]
    Gate(std::sync::mpsc::Receiver<()>, Arc<Mutex<Vec<u8>>>),
}

impl Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => io::stdout().lock().write_all(bytes),
            Self::Stderr => io::stderr().lock().write_all(bytes),
            Self::File { file, .. } => file.write_all(bytes),
            #[cfg(test)]
            Self::Gate(open, written) => {
                open.recv().unwrap();
                lock(written).extend_from_slice(bytes);
                Ok(())
            }
        }
    }

    fn reopen(&mut self) {
        if let Self::File { file, path } = self {
            match append_to(path) {
                Ok(new) => *file = new,
                Err(cause) => {
                    let path = path.display();
                    tracing::error!(code = "log_not_reopened", %path, %cause, "writing to the old log file on");
                }
            }
        }
    }
}

fn write_out(shared: &Shared, mut target: Target) {
    let mut spare = Vec::new();
    loop {
        let wishes = next_wishes(shared);
        for shard in &shared.shards {
            std::mem::swap(&mut *lock(shard), &mut spare);
            if !spare.is_empty()
                && let Err(cause) = target.write(&spare)
            {
                shared.lost.inc_by(spare.iter().filter(|byte| **byte == b'\n').count() as u64);
                tracing::error!(code = "log_not_written", %cause, "log lines are lost");
            }
            spare.clear();
        }
        if wishes.reopen {
            target.reopen();
        }
        let mut now = lock(&shared.wishes);
        now.flushed = wishes.flush;
        now.ended = wishes.end;
        drop(now);
        shared.done.notify_all();
        if wishes.end {
            return;
        }
    }
}

/// Waits for a wish. A mere line waits a little longer, so that one write takes many.
fn next_wishes(shared: &Shared) -> Wishes {
    let mut wishes = lock(&shared.wishes);
    while !(wishes.write || wishes.is_pressing()) {
        wishes = shared.wished.wait(wishes).unwrap_or_else(PoisonError::into_inner);
    }
    if !wishes.is_pressing() {
        let waited = shared.wished.wait_timeout_while(wishes, GATHER, |wishes| !wishes.is_pressing());
        wishes = waited.unwrap_or_else(PoisonError::into_inner).0;
    }
    let taken = wishes.clone();
    (wishes.write, wishes.reopen) = (false, false);
    taken
}

impl Wishes {
    fn is_pressing(&self) -> bool {
        self.reopen || self.end || self.flush > self.flushed
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    let opened = OpenOptions::new().create(true).append(true).open(path);
    opened.map_err(|cause| io::Error::new(cause.kind(), format!("{}: {cause}", path.display())))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_many_threads_arrive_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let writer = LineWriter::start("test", &LogSink::File(path.clone()), Counter::default()).unwrap().unwrap();
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
        let (open, gate) = std::sync::mpsc::channel();
        let written = Arc::default();
        let lost = Counter::<u64>::default();
        let writer = LineWriter::start_on("test", Target::Gate(gate, Arc::clone(&written)), lost.clone()).unwrap();
        let lines = writer.lines();
        let long = [b'x'; 4096];
        // The thread is stuck in its first write; all of this returns all the same.
        let taken = (0..3 * ROOM / long.len()).filter(|_| lines.push(|out| out.extend_from_slice(&long))).count();
        let refused = 3 * ROOM / long.len() - taken;
        assert!(refused > 0);
        assert_eq!(lost.get(), refused as u64);
        for _ in 0..8 {
            open.send(()).unwrap();
        }
        drop(writer);
        assert_eq!(lock(&written).iter().filter(|byte| **byte == b'\n').count(), taken);
    }

    #[test]
    fn after_a_rotation_lines_go_to_the_new_file() {
        let folder = tempfile::tempdir().unwrap();
        let (path, old) = (folder.path().join("log"), folder.path().join("log.1"));
        let writer = LineWriter::start("test", &LogSink::File(path.clone()), Counter::default()).unwrap().unwrap();
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
