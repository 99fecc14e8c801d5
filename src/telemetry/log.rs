//! One log: where its lines go, and what they look like there.

use std::io;
use std::ops::Deref;
use std::sync::Arc;

use crate::telemetry::journal;
use crate::telemetry::line_writer::{LineWriter, Lines};
use crate::telemetry::record::Record;
use crate::telemetry::settings::LogSink;
use crate::telemetry::syslog::{Facility, Head};

/// A log whose lines have forms of this type.
#[derive(Clone, Debug)]
pub(super) struct Log<F> {
    /// What it is called.
    name: &'static str,
    /// What writes its lines.
    writer: Arc<LineWriter>,
    /// What surrounds them.
    frame: Frame,
    /// Their form.
    format: F,
}

/// What surrounds a line.
#[derive(Clone, Debug)]
enum Frame {
    /// Nothing.
    Plain,
    /// The header of a message.
    Syslog(Head),
    /// Fields of the journal.
    Journal,
}

impl<F: Copy> Log<F> {
    /// Opens a sink; `None` for [`LogSink::Off`].
    ///
    /// # Errors
    /// When a file cannot be opened for appending, or no thread be started.
    pub(super) fn open(name: &'static str, facility: Facility, sink: &LogSink, format: F) -> io::Result<Option<Self>> {
        let frame = match sink {
            LogSink::Syslog(_) => Frame::Syslog(Head::of(facility)),
            LogSink::Journald => Frame::Journal,
            LogSink::Off | LogSink::Stdout | LogSink::Stderr | LogSink::File(_) => Frame::Plain,
        };
        let writer = LineWriter::start(name, sink)?.map(Arc::new);
        Ok(writer.map(|writer| Self { name, writer, frame, format }))
    }

    /// The same log, whose lines are written in another form from now on.
    pub(super) fn with_format(&self, format: F) -> Self {
        Self { name: self.name, writer: Arc::clone(&self.writer), frame: self.frame.clone(), format }
    }

    /// Writes a record. Never waits; a line without room is dropped and counted.
    #[inline]
    pub(super) fn write<R: Record<Format = F>>(&self, record: &R) {
        self.writer.push(|out| match &self.frame {
            Frame::Plain => record.write(self.format, out),
            Frame::Syslog(head) => {
                head.write(record, out);
                record.write(self.format, out);
            }
            Frame::Journal => journal::write(self.name, record, self.format, out),
        });
    }
}

impl<F> Deref for Log<F> {
    type Target = Lines;

    fn deref(&self) -> &Lines {
        &self.writer
    }
}
