//! The provider's own text about a refusal, made safe for a log line, a terminal and an error message.
//!
//! They are cut down to the printable set of [RFC 6749 appendix A.7](https://www.rfc-editor.org/rfc/rfc6749#appendix-A.7) and
//! A.8, capped, and what we sent as a secret is taken out of them: servers exist that repeat the code or the token that they
//! refuse (OA-08, OA-25).

use std::fmt;

use crate::secret::Secret;

/// `error` and `error_description` of a refusal ([RFC 6749](https://www.rfc-editor.org/rfc/rfc6749) sections 4.1.2.1 and 5.2).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Words {
    error: Box<str>,
    description: Box<str>,
}

impl Words {
    /// The two texts, whoever wrote them.
    pub fn new(error: &str, description: Option<&str>) -> Self {
        Self {
            error: printable(error, ERROR_CAP).into(),
            description: description.map(|text| printable(text, DESCRIPTION_CAP)).unwrap_or_default().into(),
        }
    }

    /// Takes out what must not be repeated, whole or in a piece that would still help to guess it.
    pub(super) fn without(mut self, secrets: &[Secret<String>]) -> Self {
        for text in [&mut self.error, &mut self.description] {
            for secret in secrets {
                *text = redacted(text, secret.expose()).into();
            }
        }
        self
    }

    /// As the end of a message; nothing where the provider said nothing.
    pub(super) fn as_end(&self) -> String {
        if self.is_empty() { String::new() } else { format!(": {self}") }
    }

    /// The error code, printable and capped; empty where the provider named none.
    pub fn error(&self) -> &str {
        &self.error
    }

    /// The description, printable and capped; empty where there is none.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Whether the provider said anything.
    pub fn is_empty(&self) -> bool {
        self.error.is_empty() && self.description.is_empty()
    }
}

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.error(), self.description()) {
            (error, "") => f.write_str(error),
            ("", description) => write!(f, "\"{description}\""),
            (error, description) => write!(f, "{error} (\"{description}\")"),
        }
    }
}

/// A text from elsewhere as it may stand in a log: the printable set of
/// [RFC 6749 appendix A.7](https://www.rfc-editor.org/rfc/rfc6749#appendix-A.7) (NQSCHAR), at most `cap` characters. White
/// space becomes one space; everything else is left out.
pub fn printable(text: &str, cap: usize) -> String {
    let mut out = String::new();
    for c in text.chars() {
        let kept = if c.is_whitespace() { ' ' } else { c };
        let doubled = kept == ' ' && out.ends_with(' ');
        if matches!(kept, ' '..='!' | '#'..='[' | ']'..='~') && !doubled {
            if out.len() >= cap {
                out.push_str("...");
                break;
            }
            out.push(kept);
        }
    }
    out.trim().to_owned()
}

/// The text with the secret taken out: every occurrence, and every word that is a long part of it.
fn redacted(text: &str, secret: &str) -> String {
    // What `printable` would have made of it where it is repeated.
    let secret = printable(secret, usize::MAX);
    if secret.len() < SHORTEST_SECRET {
        return text.to_owned();
    }
    let text = text.replace(&secret, REDACTED);
    let is_part = |word: &str| {
        let word = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        word.len() >= SHORTEST_PART && secret.contains(word)
    };
    let mut out = String::new();
    for piece in text.split_inclusive(|c: char| !is_token_char(c)) {
        let word = piece.trim_end_matches(|c: char| !is_token_char(c));
        match is_part(word) {
            true => out.push_str(REDACTED),
            false => out.push_str(word),
        }
        out.push_str(piece.get(word.len()..).unwrap_or_default());
    }
    out
}

/// Characters that tokens and codes are made of.
fn is_token_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~' | '+' | '/' | '=')
}

/// The most characters of an error code.
const ERROR_CAP: usize = 64;
/// The most characters of a description.
const DESCRIPTION_CAP: usize = 200;
/// Shorter values would also be found where nobody repeated them.
const SHORTEST_SECRET: usize = 6;
/// Shorter parts of a secret are words like others.
const SHORTEST_PART: usize = 12;
/// What stands in place of a secret.
const REDACTED: &str = "[redacted]";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut_to_the_printable_set_and_a_length() {
        // OA-08
        let nasty = "a\"b\\c\u{0}\r\nd\u{202e}\u{1b}[31mé+ADw-script~";
        assert_eq!(printable(nasty, 99), "abc d[31m+ADw-script~");
        let words = Words::new(&"e".repeat(5000), Some(&"d ".repeat(5000)));
        assert!(words.to_string().len() < 300, "{words}");
        assert_eq!(
            Words::new("invalid_scope", Some("no\nsuch scope")).to_string(),
            "invalid_scope (\"no such scope\")"
        );
        assert_eq!(Words::new("x", None).to_string(), "x");
    }

    #[test]
    fn secrets_that_are_repeated_are_taken_out_whole_and_in_part() {
        // OA-25
        let secret = "rt-0123456789abcdefghij";
        for said in [
            format!("token {secret} is unknown"),
            format!("token \"{secret}\""),
            format!("x{secret}y"),
            "token rt-0123456789abc... is unknown".to_owned(),
            format!("[{}]", &secret[5..]),
        ] {
            let words = Words::new("invalid_grant", Some(&said)).without(&[Secret::from(secret)]);
            assert!(!words.to_string().contains("456789abc"), "{words}");
            assert!(words.to_string().contains(REDACTED), "{words}");
        }
        let odd = "s3cret: 100% + \"quotes\" & more";
        let words = Words::new("x", Some(&format!("secret {odd} is wrong"))).without(&[Secret::from(odd)]);
        assert_eq!(words.description(), "secret [redacted] is wrong");
        // A short value is a word like any other.
        assert_eq!(
            Words::new("x", Some("the code is old")).without(&[Secret::from("code")]).description(),
            "the code is old"
        );
    }
}
