//! A secret as files, variables and credentials really hold it, and what of that is the secret: the one place that says so.

/// A secret without what editors, shells and other programs put around it.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Cleaned {
    /// The secret alone.
    pub(super) text: String,
    /// What was taken off besides the newline at its end.
    pub(super) taken_off: Vec<&'static str>,
}

/// Takes off what is surely no part of a secret, or says why nobody can tell what is. A PEM has several lines.
pub(super) fn cleaned(bytes: &[u8]) -> Result<Cleaned, &'static str> {
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err("it is UTF-16, as some editors and shells write text; write it as UTF-8");
    }
    let mut taken_off = Vec::new();
    let without_mark = bytes.strip_prefix(b"\xef\xbb\xbf");
    if without_mark.is_some() {
        taken_off.push("a byte order mark");
    }
    let text = std::str::from_utf8(without_mark.unwrap_or(bytes)).unwrap_or(NO_TEXT);
    if text.contains(NO_TEXT) {
        return Err("it is not text (UTF-8)");
    }
    let line = text.strip_suffix('\n').unwrap_or(text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    let bare = line.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    if bare.contains("-----BEGIN ") {
        return Ok(Cleaned { text: bare.to_owned(), taken_off });
    }
    let around = || line.strip_suffix(bare.trim_start()).into_iter().chain(line.split(bare)).flat_map(str::chars);
    if around().any(|c| c == '\0') {
        taken_off.push("NUL");
    }
    if around().any(char::is_whitespace) {
        taken_off.push("blanks or empty lines");
    }
    if bare.contains(['\n', '\r']) {
        return Err("it has several lines, and nobody could tell which of them is the secret");
    }
    if bare.chars().any(char::is_control) {
        return Err("there is a control character in it, which no secret has");
    }
    Ok(Cleaned { text: bare.to_owned(), taken_off })
}

/// What stands for bytes that are no text.
const NO_TEXT: &str = "\u{fffd}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_around_a_secret_is_taken_off_and_told() {
        let blanks = "blanks or empty lines";
        for (raw, taken_off) in [
            ("s3 cret", &[] as &[&str]),
            ("s3 cret\n", &[]),
            ("s3 cret\r\n", &[]),
            ("\u{feff}s3 cret\n", &["a byte order mark"]),
            ("s3 cret \n", &[blanks]),
            ("\ts3 cret", &[blanks]),
            ("s3 cret\n\n", &[blanks]),
            ("s3 cret\0\n", &["NUL"]),
            ("s3 cret\n\0", &["NUL", blanks]),
            ("\u{feff} s3 cret\0", &["a byte order mark", "NUL", blanks]),
        ] {
            let expected = Cleaned { text: "s3 cret".to_owned(), taken_off: taken_off.to_vec() };
            assert_eq!(cleaned(raw.as_bytes()), Ok(expected), "{raw:?}");
        }
        assert_eq!(cleaned(b" \n").map(|it| it.text), Ok(String::new()));
        let pem = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n\n";
        assert_eq!(cleaned(pem.as_bytes()).map(|it| (it.text, it.taken_off)), Ok((pem.trim().to_owned(), vec![])));
    }

    #[test]
    fn what_nobody_can_tell_is_refused() {
        for raw in [
            b"s3cret\n# rotated in May\n" as &[u8],
            b"one\r\ntwo",
            b"one\rtwo",
            b"s3\0cret",
            b"s3\x1b[0mcret",
            b"\xff\xfes\x003\x00",
            b"\xfe\xff\x00s",
            b"s3\xffcret",
            "s3\u{fffd}cret".as_bytes(),
        ] {
            assert!(cleaned(raw).is_err(), "{raw:?}");
        }
    }
}
