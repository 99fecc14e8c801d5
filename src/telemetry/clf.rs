//! The parts of a line in Apache's Common Log Format, escaped as
//! [Apache escapes them](https://httpd.apache.org/docs/2.4/mod/mod_log_config.html#formats): no client can write a second line, or a
//! field that is taken for another.

use std::io::Write as _;

use crate::clock::UnixTime;

/// A field that ends at a space; `-` for what is not known.
pub(super) fn word(out: &mut Vec<u8>, text: Option<&str>) {
    match text.filter(|text| !text.is_empty()) {
        Some(text) => escape(out, text, |byte| byte == b' '),
        None => out.push(b'-'),
    }
}

/// A field that ends at a quote.
pub(super) fn within_quotes(out: &mut Vec<u8>, text: &str) {
    escape(out, text, |_| false);
}

/// Escapes what is not plain, and what would end the field.
fn escape(out: &mut Vec<u8>, text: &str, ends: impl Fn(u8) -> bool) {
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b' '..=b'~' if !ends(byte) => out.push(byte),
            _ => _ = write!(out, "\\x{byte:02x}"),
        }
    }
}

/// `22/Nov/2025:17:20:00 +0000`.
pub(super) fn write_time(out: &mut Vec<u8>, time: UnixTime) {
    let text = time.rfc3339();
    let mut numbers = text.split(['-', 'T', ':', 'Z']);
    let mut next = || numbers.next().unwrap_or_default();
    let (year, month, day) = (next(), next(), next());
    let month = month.parse::<usize>().ok().and_then(|month| MONTHS.get(month.checked_sub(1)?)).unwrap_or(&"-");
    let (hour, minute, second) = (next(), next(), next());
    _ = write!(out, "{day}/{month}/{year}:{hour}:{minute}:{second} +0000");
}

/// As the format names them.
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
