//! One request or event, one line, whatever clients put into it: JSON and plain text without room for injection.

use std::borrow::Cow;
use std::cell::Cell;
use std::io::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use crate::clock::UnixTime;
use crate::telemetry::record::Fields;

/// Writes one flat JSON object into a buffer. Absent values leave no key.
pub(super) struct JsonLine<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl<'a> JsonLine<'a> {
    pub(super) fn begin(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, first: true }
    }

    pub(super) fn end(&mut self) {
        self.out.push(b'}');
    }

    /// Words of ours.
    pub(super) fn list(&mut self, key: &'static str, words: &[&str]) -> &mut Self {
        self.key(key, b"\":[");
        for (index, word) in words.iter().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            json_string(self.out, word);
        }
        self.out.push(b']');
        self
    }

    /// When it was, under another name.
    pub(super) fn time_as(&mut self, key: &'static str, value: UnixTime) -> &mut Self {
        self.key(key, b"\":\"");
        write_time(self.out, value);
        self.out.push(b'"');
        self
    }

    #[inline(always)]
    fn key(&mut self, key: &str, then: &[u8]) {
        // Keys are words of ours, in which nothing needs an escape. Inlined, which the compiler does not do by itself since there are
        // several forms of a line, they become a few stores: 850 instructions less for a request.
        self.out.extend_from_slice(if std::mem::take(&mut self.first) { b"\"" } else { b",\"" });
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(then);
    }
}

impl Fields for JsonLine<'_> {
    #[inline(always)]
    fn text(&mut self, key: &'static str, value: &str) -> &mut Self {
        self.key(key, b"\":");
        json_string(self.out, value);
        self
    }

    #[inline(always)]
    fn token(&mut self, key: &'static str, value: &str) -> &mut Self {
        debug_assert!(!value.contains(needs_escape), "{key}: {value:?} is no token");
        self.key(key, b"\":\"");
        self.out.extend_from_slice(value.as_bytes());
        self.out.push(b'"');
        self
    }

    #[inline(always)]
    fn number(&mut self, key: &'static str, value: u64) -> &mut Self {
        self.key(key, b"\":");
        digits(self.out, value);
        self
    }

    #[inline(always)]
    fn address(&mut self, key: &'static str, value: IpAddr) -> &mut Self {
        self.key(key, b"\":\"");
        write_address(self.out, value);
        self.out.push(b'"');
        self
    }

    #[inline(always)]
    fn millis(&mut self, key: &'static str, value: Duration) -> &mut Self {
        self.key(key, b"\":");
        write_millis(self.out, value);
        self
    }

    fn time(&mut self, value: UnixTime) -> &mut Self {
        self.time_as(TIME, value)
    }
}

/// The field of the time, in every log.
pub(super) const TIME: &str = "ts";

/// RFC 3339 in UTC with milliseconds.
pub(super) fn write_time(out: &mut Vec<u8>, time: UnixTime) {
    let second = time.secs();
    let (known, mut text) = LAST_SECOND.get();
    if known != second {
        text.iter_mut().zip(time.rfc3339().bytes()).for_each(|(place, byte)| *place = byte);
        LAST_SECOND.set((second, text));
    }
    out.extend_from_slice(&text);
    let [hundreds, tens, ones] = three_digits(time.millis() % 1000);
    out.extend_from_slice(&[b'.', hundreds, tens, ones, b'Z']);
}

thread_local! {
    /// The second of the last line and its text: most lines of a busy thread share it with the one before.
    static LAST_SECOND: Cell<(u64, [u8; 19])> = const { Cell::new((0, *b"1970-01-01T00:00:00")) };
}

pub(super) fn write_millis(out: &mut Vec<u8>, span: Duration) {
    let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
    digits(out, micros / 1000);
    let [hundreds, tens, ones] = three_digits(micros % 1000);
    out.extend_from_slice(&[b'.', hundreds, tens, ones]);
}

/// An address as its `Display` writes it.
pub(super) fn write_address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            for (index, octet) in address.octets().into_iter().enumerate() {
                if index > 0 {
                    out.push(b'.');
                }
                match (three_digits(octet.into()), octet) {
                    ([_, _, ones], ..10) => out.push(ones),
                    ([_, tens, ones], ..100) => out.extend_from_slice(&[tens, ones]),
                    (all, _) => out.extend_from_slice(&all),
                }
            }
        }
        IpAddr::V6(address) => _ = write!(out, "{address}"),
    }
}

/// A number. The formatting of the standard library takes several times as long, and a line of the access log has a dozen.
pub(super) fn digits(out: &mut Vec<u8>, mut value: u64) {
    if value < 10 {
        return out.push(digit(value));
    }
    let mut text = [b'0'; 20];
    let mut used = 0;
    for place in text.iter_mut().rev() {
        *place = digit(value);
        value /= 10;
        used += 1;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(text.get(text.len() - used..).unwrap_or_default());
}

fn three_digits(value: u64) -> [u8; 3] {
    [digit(value / 100), digit(value / 10), digit(value)]
}

/// The last digit.
fn digit(value: u64) -> u8 {
    b'0' + (value % 10) as u8
}

/// A value that stands alone, without quotes around it: what is no plain character is written as JSON would.
pub(super) fn escaped(text: &str) -> Cow<'_, str> {
    let is_harmful = |c: char| !matches!(c, '"' | '\\') && needs_escape(c);
    if !text.contains(is_harmful) {
        return Cow::Borrowed(text);
    }
    let escape = |c: char| if is_harmful(c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() };
    Cow::Owned(text.chars().map(escape).collect())
}

/// A value in quotes for people's lines: escaped as in JSON, which every log reader knows.
pub(super) fn json_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text;
    // Nearly every value is plain.
    if is_plain(text.as_bytes()) {
        out.extend_from_slice(text.as_bytes());
        rest = "";
    }
    while let Some(at) = rest.find(needs_escape) {
        let (plain, from) = rest.split_at(at);
        out.extend_from_slice(plain.as_bytes());
        let mut chars = from.chars();
        match chars.next() {
            Some('"') => out.extend_from_slice(b"\\\""),
            Some('\\') => out.extend_from_slice(b"\\\\"),
            Some('\n') => out.extend_from_slice(b"\\n"),
            Some('\r') => out.extend_from_slice(b"\\r"),
            Some('\t') => out.extend_from_slice(b"\\t"),
            Some(other) => {
                // All that need it lie in the first plane, so that one unit does.
                _ = write!(out, "\\u{:04x}", u32::from(other));
            }
            None => {}
        }
        rest = chars.as_str();
    }
    out.extend_from_slice(rest.as_bytes());
    out.push(b'"');
}

/// A value without quotes where it can do without: printable ASCII that holds no space and could not be taken for another.
pub(super) fn word(out: &mut Vec<u8>, value: Option<&str>) {
    let value = value.unwrap_or("-");
    let plain =
        !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b'['));
    if plain { out.extend_from_slice(value.as_bytes()) } else { json_string(out, value) }
}

/// Whether all bytes are printable ASCII that JSON takes as it is; eight of them are looked at together,
/// which takes 900 instructions less for the line of a request than one after the other.
fn is_plain(text: &[u8]) -> bool {
    let (eights, rest) = text.as_chunks();
    let mut last = [b' '; 8];
    for (place, byte) in last.iter_mut().zip(rest) {
        *place = *byte;
    }
    let odd = eights.iter().chain([&last]).fold(0, |odd, eight| odd | odd_bytes(u64::from_le_bytes(*eight)));
    odd == 0
}

/// The highest bit of each byte that is below the space, a quote, a backslash, or above the tilde. A borrow can only reach a
/// byte from one that is odd itself, so that nothing is missed and nothing plain is taken for odd before something odd.
fn odd_bytes(eight: u64) -> u64 {
    let below = |bytes: u64, bound: u8| bytes.wrapping_sub(EACH * u64::from(bound)) & !bytes;
    let is = |byte: u8| below(eight ^ (EACH * u64::from(byte)), 1);
    (below(eight, b' ') | is(b'"') | is(b'\\') | is(0x7f) | eight) & (EACH << 7)
}

const EACH: u64 = u64::MAX / 0xff;

/// Beyond what JSON demands: C1 controls (terminals obey them), the line separators of Unicode, and marks that turn the
/// reading direction around and so make a line look like another.
fn needs_escape(c: char) -> bool {
    matches!(c, '"' | '\\' | '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let mut out = Vec::new();
        json_string(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn times_are_those_of_the_time_crate() {
        let format = time::macros_free();
        for millis in [0, 951_782_399_999, 951_868_800_000, 1_763_832_000_123, 4_107_542_400_001] {
            let mut out = Vec::new();
            write_time(&mut out, UnixTime::from_millis(millis));
            let nanos = i128::from(millis) * 1_000_000;
            let moment = ::time::OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), moment.format(&format).unwrap());
        }
    }

    mod time {
        pub(super) fn macros_free() -> Vec<::time::format_description::BorrowedFormatItem<'static>> {
            let text = "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z";
            ::time::format_description::parse_borrowed::<2>(text).unwrap()
        }
    }

    #[test]
    fn any_text_stays_one_line_and_reads_back() {
        for text in ["plain", "a\"b\\c", "a\r\nb\tc\0\x1b[31m\x7f", "\u{85}\u{2028}\u{2029}\u{202e}x\u{feff}", "äß😀"]
        {
            let json = shown(text);
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
            assert!(!json.chars().any(|c| c.is_control() || c == '\u{2028}' || c == '\u{202e}'), "{json}");
        }
    }

    #[test]
    fn bytes_are_plain_alone_and_among_others() {
        for byte in 0..=u8::MAX {
            let wanted = (b' '..=b'~').contains(&byte) && !matches!(byte, b'"' | b'\\');
            for length in [1, 7, 8, 9, 20] {
                for at in 0..length {
                    let mut text = vec![b' '; length];
                    text[at] = byte;
                    assert_eq!(is_plain(&text), wanted, "{byte} at {at} of {length}");
                }
            }
        }
    }

    #[test]
    fn absent_values_leave_no_key() {
        let mut out = Vec::new();
        JsonLine::begin(&mut out).maybe("a", None).text("b", "1").number("c", 2).end();
        assert_eq!(out, br#"{"b":"1","c":2}"#);
    }
}
