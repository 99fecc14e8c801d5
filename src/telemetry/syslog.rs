//! What stands before a line that goes to a syslog daemon: the header of
//! [RFC 5424 section 6.2](https://www.rfc-editor.org/rfc/rfc5424#section-6.2).

use std::io::Write as _;

use crate::telemetry::line::write_time;
use crate::telemetry::record::Record;

/// The parts of the header that are the same in every message of a log.
#[derive(Clone, Debug)]
pub(super) struct Head {
    /// Where the daemon sorts it.
    facility: Facility,
    /// ` HOSTNAME APP-NAME PROCID `.
    origin: Box<str>,
}

/// The facilities that are used.
#[derive(Clone, Copy, Debug)]
pub(super) enum Facility {
    /// System daemons.
    Daemon = 3,
    /// Security and authorization messages that not everybody may read.
    AuthPriv = 10,
}

impl Head {
    /// The header of this process.
    pub(super) fn of(facility: Facility) -> Self {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let is_fit = (1..=255).contains(&host.len()) && host.bytes().all(|byte| byte.is_ascii_graphic());
        let host = if is_fit { host.as_str() } else { "-" };
        Self { facility, origin: format!(" {host} vestibule {} ", std::process::id()).into() }
    }

    /// Writes the header of a record's message, without structured data.
    pub(super) fn write(&self, record: &impl Record, out: &mut Vec<u8>) {
        _ = write!(out, "<{}>1 ", self.facility as u8 * 8 + record.severity().number());
        write_time(out, record.time());
        out.extend_from_slice(self.origin.as_bytes());
        out.extend_from_slice(record.kind().as_bytes());
        out.extend_from_slice(b" - ");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::access::tests::entry;

    #[test]
    fn the_header_says_how_much_it_matters_when_it_was_and_who_says_so() {
        let mut out = Vec::new();
        Head { facility: Facility::AuthPriv, origin: " gw1 vestibule 42 ".into() }.write(&entry(), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "<86>1 2025-11-22T17:20:00.123Z gw1 vestibule 42 access - ");
        let origin = Head::of(Facility::Daemon).origin;
        assert_eq!(origin.split(' ').filter(|word| !word.is_empty()).count(), 3, "{origin:?}");
    }
}
