//! Tokens taken apart: claims as text that compresses well, signatures and opaque parts as the bytes that they encode.
//!
//! A part is decoded only where encoding it again gives the very same characters, so that every token comes back byte for
//! byte whatever it is. What is not JSON never reaches the compressor: the length of its output would give a secret away.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize, Serializer};

/// One of the parts between a token's dots. The order of the variants is the format.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(super) enum Part<'a> {
    /// base64url of a JSON object, which stands in the compressed text with this many bytes.
    Json(u32),
    /// base64url of these bytes.
    Packed(#[serde(borrow, serialize_with = "as_bytes")] Cow<'a, [u8]>),
    /// base64url of these bytes, and up to three characters that are no whole group of it.
    Tailed(#[serde(borrow, serialize_with = "as_bytes")] Cow<'a, [u8]>, &'a str),
    /// Anything else, as it is.
    Plain(&'a str),
}

/// Bytes in one piece: serde would write a slice as a list, item by item, to the same bytes.
pub(super) fn as_bytes<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

/// Takes `token` apart; what compresses goes to the end of `text`.
pub(super) fn split<'a>(token: &'a str, text: &mut String) -> Vec<Part<'a>> {
    if token.split('.').take(PARTS_MAX + 1).count() > PARTS_MAX {
        return vec![Part::Plain(token)];
    }
    token.split('.').map(|part| split_part(part, text)).collect()
}

/// Puts a token together again; `text` loses what was taken from its front.
pub(super) fn join(parts: &[Part<'_>], text: &mut &str) -> Option<String> {
    let mut token = String::with_capacity(length_joined(parts));
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            token.push('.');
        }
        match part {
            Part::Json(len) => URL_SAFE_NO_PAD.encode_string(take(text, *len)?, &mut token),
            Part::Packed(bytes) => URL_SAFE_NO_PAD.encode_string(bytes, &mut token),
            Part::Tailed(bytes, tail) => {
                URL_SAFE_NO_PAD.encode_string(bytes, &mut token);
                token.push_str(tail);
            }
            Part::Plain(part) => token.push_str(part),
        }
    }
    Some(token)
}

/// How long a token becomes, so that it takes no more memory than that: it may be kept for hours.
fn length_joined(parts: &[Part<'_>]) -> usize {
    let encoded = |len: usize| base64::encoded_len(len, false).unwrap_or_default();
    let length = |part: &Part<'_>| match part {
        Part::Json(len) => encoded(usize::try_from(*len).unwrap_or_default().min(INFLATED_MAX)),
        Part::Packed(bytes) => encoded(bytes.len()),
        Part::Tailed(bytes, tail) => encoded(bytes.len()) + tail.len(),
        Part::Plain(part) => part.len(),
    };
    parts.iter().map(length).sum::<usize>() + parts.len().saturating_sub(1)
}

/// Takes from the front of `text` what [`join`] would.
pub(super) fn pass(parts: &[Part<'_>], text: &mut &str) -> Option<()> {
    parts.iter().try_for_each(|part| match part {
        Part::Json(len) => take(text, *len).map(|_| ()),
        Part::Packed(_) | Part::Tailed(..) | Part::Plain(_) => Some(()),
    })
}

/// The next `len` bytes of `text`.
pub(super) fn take<'t>(text: &mut &'t str, len: u32) -> Option<&'t str> {
    let (head, tail) = text.split_at_checked(usize::try_from(len).ok()?)?;
    *text = tail;
    Some(head)
}

/// One text that is secret or random, such as a nonce, by the same rules but never compressed.
pub(super) fn pack(part: &str) -> Part<'_> {
    if let Ok(bytes) = URL_SAFE_NO_PAD.decode(part) {
        return Part::Packed(bytes.into());
    }
    // The decoder is strict, so a length or last character that base64url would not give is kept beside.
    let whole = part.len() - part.len() % 4;
    let whole = if whole == part.len() { whole.saturating_sub(4) } else { whole };
    if let Some((head, tail)) = part.split_at_checked(whole)
        && tail.len() < 4
        && let Ok(bytes) = URL_SAFE_NO_PAD.decode(head)
    {
        return Part::Tailed(bytes.into(), tail);
    }
    Part::Plain(part)
}

/// Takes one part apart.
fn split_part<'a>(part: &'a str, text: &mut String) -> Part<'a> {
    let packed = pack(part);
    if let Part::Packed(bytes) = &packed
        && bytes.starts_with(b"{")
        && bytes.ends_with(b"}")
        && let Ok(json) = std::str::from_utf8(bytes)
        && let Ok(len) = u32::try_from(json.len())
    {
        text.push_str(json);
        return Part::Json(len);
    }
    packed
}

/// A JWS has three parts, a JWE five ([RFC 7516 section 3.1](https://www.rfc-editor.org/rfc/rfc7516#section-3.1)).
const PARTS_MAX: usize = 8;

/// A session of which a cookie could hold the rest has a few KiB of text.
pub(super) const INFLATED_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(token: &str) -> (Vec<Part<'_>>, String) {
        let mut text = String::new();
        let parts = split(token, &mut text);
        let mut rest = text.as_str();
        assert_eq!(join(&parts, &mut rest).as_deref(), Some(token));
        assert_eq!(rest, "");
        (parts, text)
    }

    #[test]
    fn claims_go_to_the_text_and_signatures_do_not() {
        // {"alg":"none"} . {"sub":"a"} . 0xfb 0xff
        let (parts, text) = there_and_back("eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.-_8");
        assert_eq!(text, r#"{"alg":"none"}{"sub":"a"}"#);
        assert_eq!(parts, [Part::Json(14), Part::Json(11), Part::Packed(vec![0xfb, 0xff].into())]);
    }

    // Compressing a secret would let the cookie's length give it away.
    #[test]
    fn opaque_tokens_stay_out_of_the_text() {
        for token in ["0.AXkA1234.secret-part", "1//0gSecretSecret", "gho_16C7e42F292c6912E7710c838347Ae178B4a", "a b"]
        {
            let (parts, text) = there_and_back(token);
            assert_eq!(text, "", "{token}");
            assert!(parts.iter().all(|part| !matches!(part, Part::Json(_))));
        }
    }

    #[test]
    fn odd_base64_comes_back_as_it_was() {
        // Trailing bits, padding, the other alphabet, a lone character, nothing at all.
        for token in
            ["", ".", "...", "QQ", "QR", "QQ==", "+/+/", "A", "AAAAA", "AAAAAAAB.QR", "é.AAAA", "........AAAA."]
        {
            there_and_back(token);
        }
        assert!(matches!(pack("AAAAAAAAQR"), Part::Tailed(_, "QR")));
    }

    proptest::proptest! {
        #[test]
        fn any_token_comes_back_byte_for_byte(token in "\\PC{0,64}", like in "[A-Za-z0-9_.-]{0,300}") {
            there_and_back(&token);
            there_and_back(&like);
        }

        #[test]
        fn any_json_comes_back_byte_for_byte(json in "\\{\\PC{0,64}\\}") {
            there_and_back(&URL_SAFE_NO_PAD.encode(json));
        }
    }
}
