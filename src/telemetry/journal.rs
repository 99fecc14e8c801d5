//! Records for the journal, by its [native protocol](https://systemd.io/JOURNAL_NATIVE_PROTOCOL/): one datagram of `FIELD=value`
//! lines a record, so that `journalctl VESTIBULE_USER=ann` finds what she did.
//!
//! In the buffer of a log a record is one line: its fields are set apart by [`BETWEEN`] there, which no value can hold.

use std::borrow::Cow;
use std::io::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use crate::clock::UnixTime;
use crate::telemetry::line::{TIME, escaped, write_address, write_millis, write_time};
use crate::telemetry::record::{Fields, Record};

/// The socket of the journal.
pub(super) const SOCKET: &str = "/run/systemd/journal/socket";

/// Writes a record as one line of a log's buffer.
pub(super) fn write<R: Record>(log: &str, record: &R, format: R::Format, out: &mut Vec<u8>) {
    _ = write!(out, "PRIORITY={}", record.severity().number());
    for (name, value) in [("SYSLOG_IDENTIFIER", "vestibule"), ("VESTIBULE_LOG", log)] {
        out.push(BETWEEN);
        out.extend_from_slice(name.as_bytes());
        out.push(b'=');
        out.extend_from_slice(value.as_bytes());
    }
    out.push(BETWEEN);
    out.extend_from_slice(b"MESSAGE=");
    record.write_beside_fields(format, out);
    record.fields(&mut JournalFields { out });
}

/// A line of the buffer as the datagram that it stands for.
pub(super) fn datagram(line: &[u8]) -> Vec<u8> {
    let mut datagram = Vec::with_capacity(line.len() + 1);
    for field in line.split(|byte| *byte == BETWEEN) {
        datagram.extend_from_slice(shortened(field));
        datagram.push(b'\n');
    }
    datagram
}

/// A field as long as the datagram has room for: a client that sends a path of 64 KiB must not keep its line out of the journal.
fn shortened(field: &[u8]) -> &[u8] {
    let Some(start) = field.get(..LONGEST_FIELD) else { return field };
    // Cut between characters: the journal shows what is no UTF-8 as a blob.
    let end = start.iter().rposition(|byte| byte & 0xC0 != 0x80).unwrap_or(LONGEST_FIELD);
    start.get(..end).unwrap_or(start)
}

/// Writes each field of a record behind those before.
struct JournalFields<'a> {
    /// The line.
    out: &'a mut Vec<u8>,
}

impl JournalFields<'_> {
    /// A field of ours.
    fn field(&mut self, key: &str, value: impl FnOnce(&mut Vec<u8>)) -> &mut Self {
        self.out.push(BETWEEN);
        self.out.extend_from_slice(b"VESTIBULE_");
        self.out.extend(key.bytes().map(|byte| byte.to_ascii_uppercase()));
        self.out.push(b'=');
        value(self.out);
        self
    }
}

impl Fields for JournalFields<'_> {
    fn text(&mut self, key: &'static str, value: &str) -> &mut Self {
        let value: Cow<'_, str> = escaped(value);
        self.field(key, |out| out.extend_from_slice(value.as_bytes()))
    }

    fn token(&mut self, key: &'static str, value: &str) -> &mut Self {
        self.text(key, value)
    }

    fn number(&mut self, key: &'static str, value: u64) -> &mut Self {
        self.field(key, |out| _ = write!(out, "{value}"))
    }

    fn address(&mut self, key: &'static str, value: IpAddr) -> &mut Self {
        self.field(key, |out| write_address(out, value))
    }

    fn millis(&mut self, key: &'static str, value: Duration) -> &mut Self {
        self.field(key, |out| write_millis(out, value))
    }

    fn time(&mut self, value: UnixTime) -> &mut Self {
        self.field(TIME, |out| write_time(out, value))
    }
}

/// Sets the fields of a record apart: a control character, which every value is freed of.
const BETWEEN: u8 = 0x1f;
/// Two dozen fields of this length fit into a datagram of a unix socket, whose buffer is 208 KiB.
const LONGEST_FIELD: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::access::AccessEntry;
    use crate::telemetry::access::tests::entry;
    use crate::telemetry::settings::AccessFormat;

    fn sent(entry: &AccessEntry<'_>, format: AccessFormat) -> String {
        let mut line = Vec::new();
        write("access", entry, format, &mut line);
        assert!(!line.contains(&b'\n'));
        String::from_utf8(datagram(&line)).unwrap()
    }

    #[test]
    fn each_field_of_a_request_is_a_field_of_the_journal() {
        let wanted = concat!(
            "PRIORITY=6\nSYSLOG_IDENTIFIER=vestibule\nVESTIBULE_LOG=access\n",
            "MESSAGE=192.0.2.7 ann [2025-11-22T17:20:00.123Z] GET wiki.example /a?b=c HTTP/1.1 200 512 12.345ms wiki allow \"curl/8\" r-1\n",
            "VESTIBULE_TS=2025-11-22T17:20:00.123Z\nVESTIBULE_REQUEST_ID=r-1\nVESTIBULE_CLIENT=192.0.2.7\n",
        );
        let sent = sent(&entry(), AccessFormat::Json);
        assert!(sent.starts_with(wanted), "{sent}");
        assert!(sent.contains("\nVESTIBULE_USER=ann\n") && sent.contains("\nVESTIBULE_STATUS=200\n"), "{sent}");
    }

    #[test]
    fn nobody_can_write_another_field() {
        // AT-SM-20: what strangers send is data
        let evil = "x\nVESTIBULE_USER=admin\x1fPRIORITY=0";
        let sent = sent(&AccessEntry { user_agent: Some(evil), path: evil, ..entry() }, AccessFormat::Combined);
        assert_eq!(sent.lines().filter(|line| line.starts_with("VESTIBULE_USER=")).count(), 1, "{sent}");
        assert_eq!(sent.lines().filter(|line| line.starts_with("PRIORITY=")).count(), 1, "{sent}");
    }

    #[test]
    fn a_field_is_cut_between_characters_where_it_is_too_long_for_a_datagram() {
        let long = "ä".repeat(LONGEST_FIELD);
        let sent = sent(&AccessEntry { path: &long, ..entry() }, AccessFormat::Json);
        assert!(sent.len() < 4 * LONGEST_FIELD, "{}", sent.len());
        assert!(sent.ends_with("\n") && sent.contains("\nVESTIBULE_PATH=ää"));
    }
}
