//! `vestibule explain CODE`: the long text of a code, without a network. Takes a code, a reason, or the line that holds one, as it
//! was copied from a message, a page or a log.

use super::{Exit, complain, say};
use crate::config::diagnostics::Code;

/// Explains a code of a configuration finding, or whatever else `others` knows (codes and reasons of error pages).
pub(super) fn explain(pasted: &[String], others: impl Fn(&str) -> Option<String>) -> Exit {
    let pasted = pasted.join(" ");
    let known = |word: &str| {
        let of_config = Code::parse(word).map(|code| format!("{}: {}", code.as_str(), code.explanation()));
        of_config.or_else(|| others(word))
    };
    let texts = found(&pasted, known);
    if !texts.is_empty() {
        let texts: Vec<&str> = texts.iter().map(|text| text.trim_end()).collect();
        say(&format!("{}\n", texts.join("\n\n")));
        return Exit::Ok;
    }
    let codes: Vec<&str> = Code::all().map(Code::as_str).collect();
    let (first, last) = (codes.first().unwrap_or(&""), codes.last().unwrap_or(&""));
    complain(&format!(
        "error: there is no code and no reason in \"{}\"; codes of the configuration are {first} to {last}, those of pages look like VB-1002, reasons like state_expired\n",
        pasted.trim().escape_default()
    ));
    Exit::Usage
}

/// The texts of what may be meant, each once, of the likeliest kind: codes; else the values of fields that hold one; else the words
/// of what is too short to be a sentence, or those that are written as no word of a sentence is.
fn found(pasted: &str, known: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let member = serde_json::from_str(pasted).ok().and_then(|line| of_json(&line));
    let mut texts: Vec<String> = Vec::new();
    for words in candidates(member.as_deref().unwrap_or(pasted)) {
        for text in words.into_iter().filter_map(&known) {
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

/// What a line in JSON says itself. Its path and whatever else strangers wrote may hold the words of other reasons.
fn of_json(line: &serde_json::Map<String, serde_json::Value>) -> Option<String> {
    let member = |name: &str| line.get(name).and_then(serde_json::Value::as_str).map(str::to_owned);
    member("code").filter(|code| is_code(code)).or_else(|| member("reason")).or_else(|| member("code"))
}

fn is_code(word: &str) -> bool {
    word.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("VB"))
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
    use crate::gateway::codes;

    fn texts(pasted: &[&str]) -> Vec<String> {
        let known =
            |word: &str| codes::explain(word).or_else(|| Code::parse(word).map(|code| code.as_str().to_owned()));
        found(&pasted.join(" "), known)
    }

    fn says(pasted: &[&str], code: &str) -> bool {
        matches!(texts(pasted).as_slice(), [only] if only.starts_with(code))
    }

    #[test]
    fn each_of_several_codes_is_explained_once() {
        for (pasted, codes) in [
            ("VB-1003 VB0002 VB-1003", &["VB-1003 ", "VB0002"][..]),
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
            &[r#"vestibule_callback_errors_total{reason="state_unknown"} 3"#],
            &[
                r#"{"type":"urn:vestibule:problem:state_unknown","title":"This sign-in is not known here","status":400}"#,
            ],
        ] {
            assert!(says(pasted, "VB-1003 "), "{pasted:?}");
        }
        assert!(says(&["error[VB0002]: unknown key `lisen` in [server]"], "VB0002"));
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
