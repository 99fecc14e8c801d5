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
    match candidates(&pasted).into_iter().find_map(known) {
        Some(text) => {
            say(&format!("{}\n", text.trim_end()));
            Exit::Ok
        }
        None => {
            let codes: Vec<&str> = Code::all().map(Code::as_str).collect();
            let (first, last) = (codes.first().unwrap_or(&""), codes.last().unwrap_or(&""));
            complain(&format!(
                "error: there is no code and no reason in \"{}\"; codes of the configuration are {first} to {last}, those of pages look like VB-1002, reasons like state_expired\n",
                pasted.trim().escape_default()
            ));
            Exit::Usage
        }
    }
}

/// The words that may be meant, the likeliest first: a code; the value of a field that holds one; and any word of what is too
/// short to be a sentence, or is written as no word of a sentence is.
fn candidates(pasted: &str) -> Vec<&str> {
    let words: Vec<&str> = pasted
        .split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_')))
        .filter(|w| !w.is_empty())
        .collect();
    let is_code = |word: &&&str| word.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("VB"));
    let codes = words.iter().filter(is_code);
    let of_field = |field: &'static str| {
        words.windows(2).filter_map(move |pair| match pair {
            [name, value] if *name == field => Some(value),
            _ => None,
        })
    };
    let few = words.len() <= FEW_WORDS;
    let others = words.iter().filter(|word| few || word.contains('_'));
    codes.chain(of_field("reason")).chain(of_field("code")).chain(others).copied().collect()
}

/// As many as a code and its reason take.
const FEW_WORDS: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::codes;

    fn says(pasted: &[&str], code: &str) -> bool {
        let pasted = pasted.join(" ");
        let found = candidates(&pasted)
            .into_iter()
            .find_map(|word| codes::explain(word).or_else(|| Code::parse(word).map(|code| code.as_str().to_owned())));
        found.is_some_and(|text| text.starts_with(code))
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
