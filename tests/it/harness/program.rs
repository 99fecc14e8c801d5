//! The real program as a child process: what it writes, how it ends, and the signals that it gets.

use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::watch;
use tokio::time::timeout;
use vestibule::clock::{ManualClock, SystemClock};

use super::Raw;

/// A running program in a folder of its own; it is killed when it is dropped.
pub(crate) struct Program {
    pub(crate) folder: TempDir,
    child: Child,
    errors: watch::Receiver<Vec<String>>,
    says: watch::Receiver<Vec<String>>,
}

impl Program {
    /// `vestibule run` with this configuration, once it serves; `env` lies over the environment.
    pub(crate) async fn running(config: &str) -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join(CONFIG), config).unwrap();
        Self::running_in(folder, &[]).await
    }

    /// The same with the configuration of this folder, and with these flags.
    pub(crate) async fn running_in(folder: TempDir, flags: &[&str]) -> Self {
        let mut command = Self::command();
        command.args(["run", "-c", CONFIG]).args(flags);
        let program = Self::started(command, folder);
        program.wrote("started").await;
        program
    }

    /// The program, to be given arguments.
    pub(crate) fn command() -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vestibule"));
        command.env_remove("NOTIFY_SOCKET").stdin(Stdio::null());
        // Providers of tests are on loopback, and asked directly unless a test says otherwise.
        for name in ["http_proxy", "https_proxy", "no_proxy"] {
            command.env_remove(name).env_remove(name.to_uppercase());
        }
        command
    }

    /// Starts a command in this folder.
    pub(crate) fn started(mut command: Command, folder: TempDir) -> Self {
        command.current_dir(folder.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (errors, says) = (listen(child.stderr.take().unwrap()), listen(child.stdout.take().unwrap()));
        Self { folder, child, errors, says }
    }

    /// Runs a command to its end: exit code, standard output, standard error.
    pub(crate) fn ended(arguments: &[&str], folder: &TempDir) -> (i32, String, String) {
        let output = Self::command().args(arguments).current_dir(folder.path()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
    }

    /// The same with this on standard input.
    pub(crate) fn fed(input: &str, arguments: &[&str], folder: &TempDir) -> (i32, String, String) {
        let mut command = Self::command();
        command.args(arguments).current_dir(folder.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // One that refuses its arguments does not read.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
    }

    /// Waits for a line on standard error that holds this text, and returns the first.
    pub(crate) async fn wrote(&self, part: &str) -> String {
        found(&self.errors, part).await
    }

    /// The same on standard output.
    pub(crate) async fn said(&self, part: &str) -> String {
        found(&self.says, part).await
    }

    /// Everything on standard error so far.
    pub(crate) fn errors(&self) -> Vec<String> {
        self.errors.borrow().clone()
    }

    /// Everything on standard output so far.
    pub(crate) fn says(&self) -> Vec<String> {
        self.says.borrow().clone()
    }

    /// Where it takes traffic, as it says itself.
    pub(crate) async fn address(&self) -> SocketAddr {
        address_in(&self.wrote("\"started\"").await, "traffic")
    }

    /// Where its admin endpoints are.
    pub(crate) async fn admin(&self) -> SocketAddr {
        address_in(&self.wrote("\"started\"").await, "admin")
    }

    /// The text that its admin listener serves at a path.
    pub(crate) async fn admin_text(&self, path: &str) -> String {
        let admin = self.admin().await;
        Raw::once(admin, format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).await.text()
    }

    /// The status of an answer to a plain GET.
    pub(crate) async fn status(&self, path: &str) -> u16 {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
        Raw::once(self.address().await, request).await.status
    }

    /// Writes its configuration anew.
    pub(crate) fn configure(&self, config: &str) {
        fs::write(self.path(CONFIG), config).unwrap();
    }

    /// A file in its folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Waits until it has taken so many reloads.
    pub(crate) async fn reloaded(&self, times: usize) {
        let mut listening = self.errors.clone();
        // The audit log names the event as well.
        let taken = |lines: &Vec<String>| {
            lines.iter().filter(|line| line.contains("configuration is in force")).count() >= times
        };
        let seen = timeout(PATIENCE, listening.wait_for(taken)).await;
        assert!(matches!(seen, Ok(Ok(_))), "not reloaded {times} times: {:#?}", tail(&self.errors.borrow()));
    }

    /// Sends it a signal: `HUP`, `TERM`, `INT`.
    pub(crate) fn signals(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} \"$0\""), &pid]).status().unwrap();
        assert!(sent.success(), "no {name} for {pid}");
    }

    /// Waits for its end and tells the exit code.
    pub(crate) async fn exit(&mut self) -> i32 {
        // Both pipes end with the process; what is left then is to fetch its code.
        let both = async {
            while self.errors.changed().await.is_ok() {}
            while self.says.changed().await.is_ok() {}
        };
        timeout(PATIENCE, both).await.unwrap_or_else(|_| panic!("it does not end: {:?}", tail(&self.errors.borrow())));
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A clock for parts of a test that meet the real program, which goes by the system's.
pub(crate) fn clock_of_today() -> Arc<ManualClock> {
    ManualClock::starting_at(SystemClock::shared().now())
}

fn listen(pipe: impl Read + Send + 'static) -> watch::Receiver<Vec<String>> {
    let (lines, listened) = watch::channel(Vec::new());
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            lines.send_modify(|all| all.push(line));
        }
    });
    listened
}

async fn found(lines: &watch::Receiver<Vec<String>>, part: &str) -> String {
    let mut listening = lines.clone();
    let holds = |lines: &Vec<String>| lines.iter().any(|line| line.contains(part));
    let seen = timeout(PATIENCE, listening.wait_for(holds)).await;
    let Ok(Ok(seen)) = seen else { panic!("{part} was never written: {:#?}", tail(&lines.borrow())) };
    seen.iter().find(|line| line.contains(part)).cloned().unwrap_or_default()
}

fn tail(lines: &[String]) -> &[String] {
    &lines[lines.len().saturating_sub(20)..]
}

fn address_in(line: &str, key: &str) -> SocketAddr {
    let read: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let text = read[key].as_str().unwrap_or_default().trim_matches(['[', ']']);
    text.parse().unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// The host of the configurations that tests write.
pub(crate) const HOST: &str = "wiki.example.com";
const CONFIG: &str = "vestibule.toml";
const PATIENCE: Duration = Duration::from_secs(30);
