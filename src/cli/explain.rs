//! `vestibule explain CODE`: the long text of a code, without a network. Takes a code, a reason, or the lines that hold one, as they
//! were copied from a message, a page or a log.

use super::{Exit, complain, say};
use crate::codes;

/// Explains every code and reason that was pasted.
pub(super) fn explain(pasted: &[String]) -> Exit {
    let pasted = pasted.join(" ");
    let texts = found(&pasted);
    if !texts.is_empty() {
        say(&format!("{}\n", texts.join("\n\n")));
        return Exit::Ok;
    }
    complain(&format!(
        "error: there is no code and no reason in \"{}\"; codes look like VB-1002, reasons like state_expired\n",
        pasted.trim().escape_default()
    ));
    Exit::Usage
}

/// The texts of what may be meant, each once, of the likeliest kind: codes; else the values of fields that hold one; else the words
/// of what is too short to be a sentence, or those that are written as no word of a sentence is.
fn found(pasted: &str) -> Vec<String> {
    let lines: Vec<String> = pasted.lines().filter_map(of_json).collect();
    let pasted = if lines.is_empty() { pasted.to_owned() } else { lines.join(" ") };
    let mut texts: Vec<String> = Vec::new();
    for words in candidates(&pasted) {
        for text in words.into_iter().filter_map(codes::explain) {
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        if !texts.is_empty() {
            break;
        }
    }
    texts
}

/// What a line in JSON says itself, whatever a collector of logs put before it. Its path and whatever else strangers wrote may hold
/// the words of other reasons.
fn of_json(line: &str) -> Option<String> {
    let line: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(line.get(line.find('{')?..)?.trim_end()).ok()?;
    let member = |name: &str| line.get(name).and_then(serde_json::Value::as_str).map(str::to_owned);
    let code = member("code");
    code.clone().filter(|code| is_code(code)).or_else(|| member("reason")).or(code)
}

/// Whether a word has the form of a code.
fn is_code(word: &str) -> bool {
    codes::number(word).is_some()
}

/// The words that may be meant, the likeliest kind first.
fn candidates(pasted: &str) -> [Vec<&str>; 3] {
    let words: Vec<&str> = pasted
        .split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_')))
        .filter(|w| !w.is_empty())
        .collect();
    let of_fields = words.windows(2).filter_map(|pair| match pair {
        ["reason" | "code", value] => Some(*value),
        _ => None,
    });
    let few = words.len() <= FEW_WORDS;
    let others = words.iter().filter(|word| few || word.contains('_'));
    [words.iter().copied().filter(|word| is_code(word)).collect(), of_fields.collect(), others.copied().collect()]
}

/// As many as a code and its reason take.
const FEW_WORDS: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(pasted: &[&str]) -> Vec<String> {
        found(&pasted.join(" "))
    }

    fn says(pasted: &[&str], code: &str) -> bool {
        matches!(texts(pasted).as_slice(), [only] if only.starts_with(code))
    }

    #[test]
    fn each_of_several_codes_is_explained_once() {
        for (pasted, codes) in [
            ("VB-1003 VB0002 VB-1003", &["VB-1003 ", "VB-0002 "][..]),
            ("VB-1003 state_forged, VB-4010 group_missing", &["VB-1003 ", "VB-4010 "]),
            ("group_missing access_denied user_not_allowed", &["VB-4010 ", "VB-1012 "]),
        ] {
            let texts = texts(&[pasted]);
            assert_eq!(texts.len(), codes.len(), "{pasted}");
            assert!(texts.iter().zip(codes).all(|(text, code)| text.starts_with(code)), "{pasted}");
        }
    }

    #[test]
    fn words_of_strangers_in_a_line_are_not_what_it_says() {
        // AT-SM-20: the path is anybody's
        for path in ["/x?reason=group_missing", "/VB-1003", "/state_expired"] {
            let line =
                format!(r#"{{"ts":"x","path":"{path}","user_agent":"VB-1012","status":404,"reason":"not_found"}}"#);
            assert!(says(&[&line], "VB-4021 "), "{line}");
        }
    }

    #[test]
    fn what_was_copied_is_explained_as_it_is() {
        for pasted in [
            &["VB-1003"][..],
            &["vb1003"],
            &["VB-1003 state_unknown"],
            &["VB-1003", "state_unknown"],
            &["state_unknown"],
            &["state_forged"],
            &["(VB-1003", "state_unknown)"],
            &["VB-1003 state_unknown\nrequest 01890a5d-0\ntime    2026-11-22 18:00:00 UTC\nhost    wiki.example.com"],
            &["This sign-in is not known here (VB-1003 state_unknown)"],
            &[
                r#"{"ts":"2026-11-22T18:00:00.000Z","level":"DEBUG","request_id":"r","code":"VB-1003","reason":"state_unknown"}"#,
            ],
            &[
                r#"{"ts":"2026-11-22T18:00:00.000Z","log":"audit","event":"login.failed","outcome":"failure","reason":"state_unknown"}"#,
            ],
            &[
                r#"2026-11-22T18:00:00.000Z DEBUG vestibule::gateway: refused request_id="r" code="VB-1003" reason="state_unknown""#,
            ],
            &[r#"Nov 22 18:00:00 host vestibule[71]: {"path":"/VB-4021","reason":"state_unknown"}"#],
            &["{\"reason\":\"state_unknown\",\"path\":\"/VB-4021\"}\n{\"reason\":\"state_forged\",\"path\":\"/\"}"],
            &[r#"vestibule_callback_errors_total{reason="state_unknown"} 3"#],
            &[
                r#"{"type":"urn:vestibule:problem:state_unknown","title":"This sign-in is not known here","status":400}"#,
            ],
        ] {
            assert!(says(pasted, "VB-1003 "), "{pasted:?}");
        }
        for line in [
            "error[VB-0002]: unknown key `lisen` in [server]",
            "error[VB0002]: unknown key `lisen` in [server]",
            r#"{"log":"audit","event":"config.rejected","detail":"VB-0002 vestibule.toml:3:1"}"#,
            "1 error, 0 warnings; `vestibule explain VB-0002` says more about a code",
        ] {
            assert!(says(&[line], "VB-0002 "), "{line}");
        }
        assert!(says(&[r#"{"log":"audit","event":"access.denied","reason":"internal"}"#], "VB-5004 "));
    }

    #[test]
    fn what_holds_no_code_is_not_guessed_at() {
        for pasted in [
            "VB-9999",
            "no_such_reason",
            "",
            "an internal matter of the people here",
            "VB-",
            "internal affairs of them",
        ] {
            assert!(!says(&[pasted], "VB"), "{pasted}");
        }
    }
}
