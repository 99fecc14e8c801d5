//! The process log of every gateway in this program: tests run side by side, so each looks for lines with words of its own.

use std::io::Write;
use std::sync::{LazyLock, Mutex};

/// Starts to listen; before the gateway whose lines are wanted.
pub(crate) fn listen() {
    let subscriber = tracing_subscriber::fmt().with_writer(|| Log).with_ansi(false).finish();
    // Only the first one listens, to all.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// The lines so far that hold all of these words.
pub(crate) fn lines_with(words: &[&str]) -> Vec<String> {
    let logged = LOGGED.lock().unwrap().clone();
    let logged = String::from_utf8_lossy(&logged);
    logged.lines().filter(|line| words.iter().all(|word| line.contains(word))).map(str::to_owned).collect()
}

static LOGGED: LazyLock<Mutex<Vec<u8>>> = LazyLock::new(Mutex::default);

struct Log;

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        LOGGED.lock().unwrap().extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
