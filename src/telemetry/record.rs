//! What is written into a log: a request or an event, whose fields each form names in its own way.

use std::net::IpAddr;
use std::time::Duration;

use crate::clock::UnixTime;

/// Something that a log holds a line about.
pub(super) trait Record {
    /// The forms that its log has.
    type Format: Copy;

    /// When it was.
    fn time(&self) -> UnixTime;

    /// How much it matters.
    fn severity(&self) -> Severity;

    /// What kind of record it is: letters, digits and dots.
    fn kind(&self) -> &'static str;

    /// Writes it in one of the forms, without a line feed or any other control character.
    fn write(&self, format: Self::Format, out: &mut Vec<u8>);

    /// What stands beside the fields of [`fields`](Self::fields) in a log that has both.
    fn write_beside_fields(&self, format: Self::Format, out: &mut Vec<u8>);

    /// Every field that has a value.
    fn fields(&self, to: &mut impl Fields);
}

/// The severities of [RFC 5424 section 6.2.1](https://www.rfc-editor.org/rfc/rfc5424#section-6.2.1), as far as they are used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Severity {
    /// Somebody should look at it where there are many.
    Warning,
    /// It is as it should be, and still of note.
    Notice,
    /// One of many.
    Info,
}

impl Severity {
    /// Its number in syslog and in the journal.
    pub(super) fn number(self) -> u8 {
        match self {
            Self::Warning => 4,
            Self::Notice => 5,
            Self::Info => 6,
        }
    }
}

/// Takes the fields of a record one after the other.
pub(super) trait Fields {
    /// Any text.
    fn text(&mut self, key: &'static str, value: &str) -> &mut Self;

    /// A value in which nothing can need an escape, as its type or its maker promises: letters, digits and some signs.
    fn token(&mut self, key: &'static str, value: &str) -> &mut Self;

    /// A count.
    fn number(&mut self, key: &'static str, value: u64) -> &mut Self;

    /// An address.
    fn address(&mut self, key: &'static str, value: IpAddr) -> &mut Self;

    /// Milliseconds with three decimals.
    fn millis(&mut self, key: &'static str, value: Duration) -> &mut Self;

    /// When it was, under the one name that all logs have for it.
    fn time(&mut self, value: UnixTime) -> &mut Self;

    /// Any text, where there is one.
    #[inline]
    fn maybe(&mut self, key: &'static str, value: Option<&str>) -> &mut Self {
        if let Some(value) = value {
            self.text(key, value);
        }
        self
    }
}
