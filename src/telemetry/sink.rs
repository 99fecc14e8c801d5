//! Where log lines end up: a file, a FIFO, standard output or standard error, written without `std`'s locks and buffers; or another
//! program, by a socket.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{Access, AtFlags, CWD, accessat};

use crate::telemetry::remote::{NotTaken, Remote};
use crate::telemetry::settings::LogSink;

/// Whether a log's file could be opened, found out without a trace: the user that checks a configuration may be another than the one
/// that runs it, and a file that the check left behind would then be in the way.
///
/// # Errors
/// Why it could not be opened.
pub fn can_append(path: &Path) -> io::Result<()> {
    let may = |path: &Path, access| Ok(accessat(CWD, path, access, AtFlags::EACCESS)?);
    match fs::metadata(path) {
        Ok(file) if file.is_dir() => Err(ErrorKind::IsADirectory.into()),
        Ok(file) if file.file_type().is_socket() => Err(io::Error::other("it is a socket")),
        Ok(file) if file.file_type().is_fifo() => may(path, Access::READ_OK | Access::WRITE_OK),
        Ok(_) => may(path, Access::WRITE_OK),
        Err(cause) if cause.kind() == ErrorKind::NotFound => {
            let path = linked(path)?;
            let folder =
                path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
            if !fs::metadata(folder)?.is_dir() {
                return Err(ErrorKind::NotADirectory.into());
            }
            may(folder, Access::WRITE_OK | Access::EXEC_OK)
        }
        Err(cause) => Err(cause),
    }
}

/// The file that a link leads to and that is not there yet; other paths as they are.
fn linked(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        match fs::read_link(&path) {
            Ok(target) => path = path.parent().unwrap_or_else(|| Path::new(".")).join(target),
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("it is a circle of links"))
}

/// An open sink. It belongs to one writing thread, which a slow reader may hold up for ever: no other thread waits for it.
#[derive(Debug)]
pub(super) enum Sink {
    /// Something that is written to as to a file.
    Written(Written),
    /// Another program.
    Remote(Remote),
}

/// An open file, FIFO or stream.
#[derive(Debug)]
pub(super) struct Written {
    file: File,
    path: Option<PathBuf>,
    /// The last write ended within a line.
    torn: bool,
}

/// A write that failed, and what of the bytes was not written.
#[derive(Debug)]
pub(super) struct WriteError<'a> {
    pub(super) cause: io::Error,
    pub(super) unwritten: &'a [u8],
    /// Lines before those that are lost.
    pub(super) lost: u64,
    /// The same lines may be taken later: the program that takes them is away.
    pub(super) is_away: bool,
}

impl Sink {
    /// Opens it; `None` for [`LogSink::Off`].
    ///
    /// # Errors
    /// When the file cannot be opened for appending. Another program may come later.
    pub(super) fn open(sink: &LogSink) -> io::Result<Option<Self>> {
        let (file, path) = match sink {
            LogSink::Off => return Ok(None),
            LogSink::Stdout => (duplicate(&io::stdout())?, None),
            LogSink::Stderr => (duplicate(&io::stderr())?, None),
            LogSink::File(path) => (append_to(path)?, Some(path.clone())),
            LogSink::Syslog(address) => return Ok(Some(Self::Remote(Remote::syslog(address.clone())))),
            LogSink::Journald => return Ok(Some(Self::Remote(Remote::journal()))),
        };
        Ok(Some(Self::Written(Written { file, path, torn: false })))
    }

    /// A sink that is open already.
    #[cfg(test)]
    pub(super) fn of(file: File) -> Self {
        Self::Written(Written { file, path: None, torn: false })
    }

    /// Writes whole lines. Blocks for as long as the reader does not read.
    pub(super) fn write<'a>(&mut self, lines: &'a [u8]) -> Result<(), WriteError<'a>> {
        match self {
            Self::Written(written) => written.write(lines),
            Self::Remote(remote) => remote.send(lines).map_err(|NotTaken { cause, unwritten, lost }| WriteError {
                cause,
                unwritten,
                lost,
                is_away: true,
            }),
        }
    }

    /// Opens a file again, after it was rotated.
    ///
    /// # Errors
    /// When it cannot be opened; writing to the old one goes on then.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        if let Self::Written(written) = self { written.reopen() } else { Ok(()) }
    }
}

impl Written {
    /// A line of which an earlier write left only the beginning is ended first, so that it does not spoil the next one.
    fn write<'a>(&mut self, lines: &'a [u8]) -> Result<(), WriteError<'a>> {
        if self.torn {
            self.write_all(b"\n").map_err(|WriteError { cause, .. }| failed(cause, lines))?;
        }
        self.write_all(lines)
    }

    fn write_all<'a>(&mut self, mut bytes: &'a [u8]) -> Result<(), WriteError<'a>> {
        while !bytes.is_empty() {
            match self.file.write(bytes) {
                Ok(0) => return Err(failed(ErrorKind::WriteZero.into(), bytes)),
                Ok(written) => {
                    let (done, rest) = bytes.split_at(written.min(bytes.len()));
                    self.torn = done.last() != Some(&b'\n');
                    bytes = rest;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Another program that shares the stream made it non-blocking.
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::park_timeout(NON_BLOCKING_PAUSE),
                Err(cause) => return Err(failed(cause, bytes)),
            }
        }
        Ok(())
    }

    fn reopen(&mut self) -> io::Result<()> {
        if let Some(path) = &self.path {
            self.file = append_to(path)?;
            self.torn = false;
        }
        Ok(())
    }
}

fn failed(cause: io::Error, unwritten: &[u8]) -> WriteError<'_> {
    WriteError { cause, unwritten, lost: 0, is_away: false }
}

/// The stream as a file of our own: `std`'s handles have a lock that a write may hold for ever, and standard output a buffer.
fn duplicate(stream: &impl AsFd) -> io::Result<File> {
    Ok(File::from(stream.as_fd().try_clone_to_owned()?))
}

fn append_to(path: &Path) -> io::Result<File> {
    // Opened for writing alone, a FIFO would wait for its reader (fifo(7)).
    let is_fifo = fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo());
    let opened = OpenOptions::new().create(true).append(true).read(is_fifo).open(path);
    opened.map_err(|cause| io::Error::new(cause.kind(), format!("{}: {cause}", path.display())))
}

const MOST_LINKS: usize = 40;
const NON_BLOCKING_PAUSE: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn whether_a_file_can_be_opened_is_found_out_without_making_it() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("there"), "kept").unwrap();
        std::os::unix::fs::symlink("later", at("link")).unwrap();
        std::os::unix::fs::symlink("nowhere/later", at("broken")).unwrap();
        std::os::unix::fs::symlink("circle", at("circle")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        for good in ["there", "new", "link"] {
            can_append(&at(good)).unwrap();
        }
        can_append(Path::new("/dev/null")).unwrap();
        for bad in ["", "nowhere/new", "there/new", "broken", "circle", "socket"] {
            let found = can_append(&at(bad)).unwrap_err();
            // What it says is what opening says.
            assert!(append_to(&at(bad)).is_err(), "{bad}: {found}");
        }
        assert!(!at("new").exists() && !at("later").exists());
        assert_eq!(fs::read(at("there")).unwrap(), b"kept");
    }

    #[test]
    fn a_full_disk_is_an_error_with_what_was_not_written() {
        let mut sink = Sink::open(&LogSink::File("/dev/full".into())).unwrap().unwrap();
        let error = sink.write(b"one\ntwo\n").unwrap_err();
        assert_eq!(error.cause.kind(), ErrorKind::StorageFull);
        assert_eq!(error.unwritten, b"one\ntwo\n");
    }

    #[test]
    fn a_torn_line_is_ended_before_the_next_one() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut sink = Written { file: File::from(std::os::fd::OwnedFd::from(ours)), path: None, torn: false };
        sink.write_all(b"half a li").unwrap();
        sink.write(b"whole\n").unwrap();
        drop(sink);
        let mut text = String::new();
        theirs.read_to_string(&mut text).unwrap();
        assert_eq!(text, "half a li\nwhole\n");
    }

    #[test]
    fn a_stream_that_is_non_blocking_is_waited_for() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let mut sink = Sink::of(File::from(std::os::fd::OwnedFd::from(ours)));
        let line = [[b'x'; 1023].as_slice(), b"\n"].concat().repeat(1024);
        thread::scope(|scope| {
            let writer = scope.spawn(|| sink.write(&line).map_err(|error| error.cause));
            let mut read = vec![0; line.len()];
            theirs.read_exact(&mut read).unwrap();
            assert!(read == line);
            writer.join().unwrap().unwrap();
        });
    }

    #[test]
    fn a_fifo_without_a_reader_opens_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let mut sink = Sink::open(&LogSink::File(path)).unwrap().unwrap();
        sink.write(b"line\n").unwrap();
    }
}
