//! The registry of codes, `VB-` and four digits: one for each thing that can go wrong, stable for ever, explained offline.
//!
//! `codes.md` has the long text of each, for whoever runs the gateway: cause first, then what to do. What a finding about a
//! configuration or a page shows beside its code stands with those who show it: `config::codes` and `gateway::codes`.

/// The long text of a code for `vestibule explain CODE`: what caused it, and what whoever runs the gateway does about it.
/// Takes `VB-1002`, `vb-1002`, `VB1002`, the reason `state_expired`, and every finer reason that logs and pages have for it.
/// A reason that several codes list has the text of each.
pub fn explain(word: &str) -> Option<String> {
    let wanted = word.trim().to_ascii_lowercase();
    let number = number(&wanted);
    let is_it = |text: &&str| {
        let mut heading = text.split_whitespace();
        heading.next() == number.as_deref() || heading.next() == Some(&wanted)
    };
    if let Some(text) = sections().find(is_it) {
        return Some(text.to_owned());
    }
    let texts: Vec<&str> = sections().filter(|text| finer_reasons(text).any(|reason| reason == wanted)).collect();
    Some(texts.join("\n\n")).filter(|texts| !texts.is_empty())
}

/// A code as it is written, `VB-0002`, of what somebody wrote for it: `vb-0002`, `VB0002`.
pub fn number(word: &str) -> Option<String> {
    let rest = word.get(2..).filter(|_| word.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("VB")))?;
    let digits = rest.trim_start_matches('-');
    (digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| format!("VB-{digits}"))
}

/// The reasons that pages, logs and metrics may have for a code: its own, and the finer ones that its text lists.
pub fn reasons(number: &str) -> impl Iterator<Item = &'static str> {
    let of_code = all().filter(move |(known, _)| *known == number).map(|(_, text)| text);
    of_code.flat_map(|text| text.split_whitespace().nth(1).into_iter().chain(finer_reasons(text)))
}

/// Every code with its text, in the order of their numbers.
pub fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    sections().filter_map(|text| Some((text.split_whitespace().next()?, text)))
}

/// The reasons, besides its own, that a code's text lists.
fn finer_reasons(text: &str) -> impl Iterator<Item = &str> {
    let lists = text.lines().filter_map(|line| line.strip_prefix("Reasons: "));
    // What stands between two backticks, and not between two of those.
    lists.flat_map(|list| list.split('`').skip(1).step_by(2))
}

/// The parts of `codes.md`, each with its heading `NUMBER REASON`.
fn sections() -> impl Iterator<Item = &'static str> {
    LONG_TEXTS.split("\n## ").skip(1).map(str::trim_end)
}

const LONG_TEXTS: &str = include_str!("codes.md");

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_code_is_numbered_once_and_in_order_with_cause_and_remedy() {
        let numbers: Vec<_> = all().map(|(number, _)| number).collect();
        assert!(numbers.is_sorted(), "{numbers:?}");
        assert_eq!(numbers.iter().collect::<HashSet<_>>().len(), numbers.len());
        let own: HashSet<_> = all().filter_map(|(_, text)| text.split_whitespace().nth(1)).collect();
        assert_eq!(own.len(), numbers.len(), "each has a reason of its own");
        for (code, text) in all() {
            assert_eq!(number(code).as_deref(), Some(code));
            assert!(text.contains("\nCause: ") && text.contains("\nWhat to do: "), "{code} lacks cause or remedy");
        }
    }

    #[test]
    fn a_code_is_found_however_it_is_written() {
        let long = explain("VB-1002").unwrap();
        for spelling in ["vb-1002", "VB1002", " VB-1002\n", "state_expired"] {
            assert_eq!(explain(spelling).as_ref(), Some(&long), "{spelling}");
        }
        for spelling in ["VB-0002", "VB0002", "vb0002"] {
            assert!(explain(spelling).unwrap().starts_with("VB-0002 unknown_key\n"), "{spelling}");
        }
        let both = explain("answer_status").unwrap();
        assert!(both.starts_with("VB-2005 ") && both.contains("\nVB-2008 "), "a reason of several codes: {both}");
        for unknown in ["", "VB-", "VB-9999", "1002", "## VB-1002", "VB-100", "VB-10022"] {
            assert_eq!(explain(unknown), None, "{unknown}");
        }
    }
}
