//! `Refresh`, as browsers read it
//! ([HTML, shared declarative refresh steps](https://html.spec.whatwg.org/multipage/semantics.html#shared-declarative-refresh-steps)):
//! `5; url=/x`, `0;URL='/x'`, `5, /x`.

use std::ops::Range;

use super::places::Places;
use super::reference;

/// What takes the place of a value; `None` where it stays as it is.
pub(super) fn mapped(places: &Places<'_>, value: &[u8]) -> Option<Vec<u8>> {
    let range = url_in(value)?;
    // A quotation mark could end the URL.
    let url = reference::mapped(places, value.get(range.clone())?)?.replace('\'', "%27").replace('"', "%22");
    Some([value.get(..range.start)?, url.as_bytes(), value.get(range.end..)?].concat())
}

/// Where the URL stands.
fn url_in(value: &[u8]) -> Option<Range<usize>> {
    let skip = |from: usize, which: fn(&u8) -> bool| {
        from + value.get(from..).unwrap_or_default().iter().take_while(|byte| which(byte)).count()
    };
    let blank: fn(&u8) -> bool = u8::is_ascii_whitespace;
    let time = skip(0, blank);
    let after_time = skip(time, |byte| byte.is_ascii_digit() || *byte == b'.');
    if after_time == time {
        return None;
    }
    let mut at = skip(after_time, blank);
    if matches!(value.get(at), Some(b';' | b',')) {
        at = skip(at + 1, blank);
    } else if at == after_time {
        return None;
    }
    if value.get(at..at + 3).is_some_and(|word| word.eq_ignore_ascii_case(b"url")) {
        let equals = skip(at + 3, blank);
        if value.get(equals) == Some(&b'=') {
            at = skip(equals + 1, blank);
        }
    }
    let quote = value.get(at).copied().filter(|byte| matches!(byte, b'\'' | b'"'));
    let start = at + usize::from(quote.is_some());
    let rest = value.get(start..)?;
    let length = quote.and_then(|quote| rest.iter().position(|byte| *byte == quote)).unwrap_or(rest.len());
    (length > 0).then_some(start..start + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_is_found_as_browsers_find_it() {
        for (value, url) in [
            ("5; url=/x", Some("/x")),
            ("0;URL='/x'", Some("/x")),
            ("0;uRl = \"/x\" ", Some("/x")),
            ("0; url='/x", Some("/x")),
            ("0;url='/x'y", Some("/x")),
            (" 5.5 , /x?a=b;c", Some("/x?a=b;c")),
            ("5 url=/x", Some("/x")),
            ("5 /x", Some("/x")),
            ("5;'/x'", Some("/x")),
            ("0;url", Some("url")),
            ("0;urlx=/x", Some("urlx=/x")),
            ("5", None),
            ("5;", None),
            ("5; url=", None),
            ("5; url=''", None),
            ("url=/x", None),
            ("5x;url=/x", None),
            ("", None),
        ] {
            let found = url_in(value.as_bytes()).map(|range| &value[range]);
            assert_eq!(found, url, "{value}");
        }
    }
}
