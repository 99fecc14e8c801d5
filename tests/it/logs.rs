//! Logs that nobody reads, that refuse, or that are slow: no request, no worker and no exit waits for them.

use std::fs;
use std::io::{BufRead as _, BufReader, PipeReader, Read as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::harness::gateway::key;
use crate::harness::program::HOST;
use crate::harness::{Program, Raw};

#[tokio::test(flavor = "multi_thread")]
async fn an_unread_standard_error_holds_neither_requests_nor_the_exit() {
    let mut gateway = Gateway::start("stderr", "stderr");
    gateway.answers(2_000).await;
    gateway.ends();
    // What a pipe takes arrives.
    assert!(gateway.unread.take().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_lost_by_a_slow_reader_are_counted_and_reported_when_the_loss_is_over() {
    let mut gateway = Gateway::start("stderr", "stderr");
    // More than the pipe and the buffers of all workers take.
    gateway.answers(40_000).await;
    let metrics = gateway.metrics().await;
    let lost: u64 = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("vestibule_log_lines_lost_total{log=\"access\"} ")?.parse::<u64>().ok())
        .sum();
    assert!(lost > 0, "{metrics}");
    let (said, report) = std::sync::mpsc::channel();
    let mut reader = BufReader::new(gateway.unread.take().unwrap());
    std::thread::spawn(move || {
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|read| read > 0) {
            if line.contains("log_lines_lost") {
                let _ = said.send(std::mem::take(&mut line));
            }
            line.clear();
        }
    });
    let report = report.recv_timeout(LONGEST).unwrap();
    assert!(
        report.contains("\"log\":\"access\"") && report.contains(&format!("\"lines\":{lost},")),
        "{lost}: {report}"
    );
    assert!(report.contains("the reader was slower than the log"), "{report}");
    gateway.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_standard_error_does_not_end_the_process() {
    let mut gateway = Gateway::start("stderr", "stderr");
    drop(gateway.unread.take());
    for _ in 0..3 {
        gateway.answers(20).await;
    }
    assert!(gateway.child.try_wait().unwrap().is_none(), "the process has ended");
    gateway.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_or_an_unread_fifo_holds_nothing_and_is_reported_once() {
    for (access, audit) in [("/dev/full", "stderr"), ("off", "/dev/full"), ("fifo", "stderr"), ("stdout", "fifo")] {
        let mut gateway = Gateway::start(access, audit);
        gateway.answers(2_000).await;
        gateway.ends();
        let mut errors = String::new();
        gateway.unread.take().unwrap().read_to_string(&mut errors).unwrap();
        let reports = errors.lines().filter(|line| line.contains("log_not_written")).count();
        assert_eq!(reports, usize::from(access == "/dev/full"), "{access}, {audit}: {errors}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_may_not_grow_any_further_ends_nothing() {
    // SIGXFSZ ends a process that does not listen for it.
    let mut gateway = Gateway::start_with_file_size_limit(64, "access.log", "stderr");
    gateway.answers(2_000).await;
    assert!(gateway.child.try_wait().unwrap().is_none(), "the process has ended");
    gateway.ends();
    let written = fs::metadata(gateway.folder.path().join("access.log")).unwrap().len();
    assert_eq!(written, 64 * 512, "the limit was not reached");
}

/// A gateway whose standard error is read up to the line that says where it listens, and no further. Standard output is never read.
struct Gateway {
    child: Child,
    address: SocketAddr,
    admin: SocketAddr,
    unread: Option<PipeReader>,
    folder: TempDir,
}

impl Gateway {
    fn start(access: &str, audit: &str) -> Self {
        Self::started_by(Program::command(), access, audit)
    }

    /// Of files that it writes, only so many blocks of 512 bytes are taken.
    fn start_with_file_size_limit(blocks: u32, access: &str, audit: &str) -> Self {
        let program = Program::command();
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -f {blocks}; exec \"$0\" \"$@\"")]).arg(program.get_program());
        shell.env_remove("NOTIFY_SOCKET").stdin(Stdio::null());
        Self::started_by(shell, access, audit)
    }

    fn started_by(mut command: Command, access: &str, audit: &str) -> Self {
        let folder = TempDir::new().unwrap();
        assert!(Command::new("mkfifo").arg(folder.path().join("fifo")).status().unwrap().success());
        let place =
            |log: &str| if log == "fifo" { folder.path().join("fifo").display().to_string() } else { log.into() };
        let config = format!(
            r#"
            server.listen = "127.0.0.1:0"
            server.public_url = "http://{HOST}"
            server.workers = 2
            server.drain = {{ delay = "0s", grace = "1s" }}
            admin.listen = "127.0.0.1:0"
            log = {{ format = "json", access = "{}", audit = "{}" }}
            session.keys = ["{}"]
            provider.idp = {{ issuer = "http://127.0.0.1:9", client_id = "wiki", client_secret = "only for tests" }}
            route.app = {{ upstream = "static:204", access = "public" }}
            "#,
            place(access),
            place(audit),
            key(1)
        );
        fs::write(folder.path().join("vestibule.toml"), config).unwrap();
        let (unread, stderr) = std::io::pipe().unwrap();
        command.current_dir(folder.path()).args(["run", "-c", "vestibule.toml"]).stdout(Stdio::piped()).stderr(stderr);
        let child = command.spawn().unwrap();
        drop(command);
        let (traffic, admin) = addresses(&unread);
        Self { child, address: traffic, admin, unread: Some(unread), folder }
    }

    /// So many requests, each answered.
    async fn answers(&self, count: usize) {
        let batch = 100;
        let request = format!("GET /?{} HTTP/1.1\r\nHost: {HOST}\r\n\r\n", "x".repeat(200));
        let mut connection = Raw::connect(self.address).await;
        for _ in 0..count / batch {
            connection.send(request.repeat(batch)).await;
            for _ in 0..batch {
                assert_eq!(connection.answer("GET").await.status, 204);
            }
        }
        let rest = count % batch;
        connection.send(request.repeat(rest)).await;
        for _ in 0..rest {
            assert_eq!(connection.answer("GET").await.status, 204);
        }
    }

    async fn metrics(&self) -> String {
        Raw::once(self.admin, "GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.text()
    }

    /// SIGTERM ends it within a bounded time.
    fn ends(&mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("sh").args(["-c", "kill -TERM \"$0\"", &pid]).status().unwrap().success());
        let asked = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(asked.elapsed() < LONGEST, "it does not end");
            std::thread::yield_now();
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads byte by byte, so that nothing behind the line is taken out of the pipe.
fn addresses(mut pipe: &PipeReader) -> (SocketAddr, SocketAddr) {
    let mut line = Vec::new();
    loop {
        let mut byte = [0];
        assert_eq!(pipe.read(&mut byte).unwrap(), 1, "it ended: {}", String::from_utf8_lossy(&line));
        if byte != *b"\n" {
            line.extend(byte);
            continue;
        }
        let text = String::from_utf8(std::mem::take(&mut line)).unwrap();
        if text.contains("\"started\"") {
            let read: serde_json::Value = serde_json::from_str(&text).unwrap();
            let address = |key: &str| read[key].as_str().unwrap().trim_matches(['[', ']']).parse().unwrap();
            return (address("traffic"), address("admin"));
        }
    }
}

const LONGEST: Duration = Duration::from_secs(20);
