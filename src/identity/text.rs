//! What of a claim's value may name somebody: text without control characters, and addresses.

use std::borrow::Cow;

use serde_json::Value;

/// Whole numbers are names too: user ids of several plain OAuth 2.0 providers. Others are not: two large ones could be read as the
/// same floating point number.
pub(super) fn text_of(value: Option<&Value>) -> Option<Cow<'_, str>> {
    match value? {
        Value::String(text) if !text.trim().is_empty() => Some(Cow::Borrowed(text)),
        Value::Number(number) if number.is_u64() || number.is_i64() => Some(Cow::Owned(number.to_string())),
        _ => None,
    }
}

/// AT-HS-11: text that could break a header or a log line is not shortened or repaired, because then it would name somebody else.
pub(super) fn clean_text(value: Option<&Value>) -> Option<String> {
    text_of(value).filter(|text| !has_control(text)).map(Cow::into_owned)
}

/// UI-06, AT-TP-18: absent (or null) says nothing; anything that is there and is not "yes" is "no".
pub(super) fn says_unverified(claim: &Value) -> bool {
    match claim {
        Value::Null | Value::Bool(true) => false,
        Value::String(text) => !text.eq_ignore_ascii_case("true"),
        _ => true,
    }
}

/// A second `@` is how "me@evil.example@corp.example" gets by a check of domains.
pub(super) fn is_address(text: &str) -> bool {
    let clean = !text.contains(|c: char| c.is_whitespace() || c.is_control());
    clean
        && text
            .split_once('@')
            .is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty() && !domain.contains('@'))
}

/// Whether there is a control character in a text.
pub(super) fn has_control(text: &str) -> bool {
    // Nearly all text is printable ASCII, which is seen without taking characters apart.
    !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) && text.contains(char::is_control)
}
