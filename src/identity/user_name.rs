//! The user name: a claim as it came, or the part of it that a rule takes.
//!
//! A rule decides who somebody is to the application, so nothing here guesses: a text that the rule does not take whole names nobody.

use std::borrow::Cow;

use regex::{Regex, RegexBuilder};
use regex_syntax::hir::{Hir, HirKind, Look};

use super::error::IdentityError;
use super::path::{ClaimPath, Claims};
use super::text::{clean_text, has_control, is_address};

/// Where the user name comes from: `user` of `[provider.NAME.claims]`.
#[derive(Clone, Debug, PartialEq)]
pub struct UserName {
    /// The claim.
    pub from: ClaimPath,
    /// What is taken of it.
    pub part: NamePart,
}

/// What is taken of the claim.
#[derive(Clone, Debug, PartialEq)]
pub enum NamePart {
    /// All of it. Somebody without the claim has no user name, and is somebody all the same.
    Whole,
    /// What stands before the `@` of an address in this domain, which is in lower case. Anything else names nobody.
    Before(String),
    /// What the group of a pattern holds. A text that does not match names nobody.
    Matching(NamePattern),
}

/// A pattern that takes a text as a whole or not at all, with one group: the name.
#[derive(Clone, Debug)]
pub struct NamePattern(Regex);

/// A pattern that cannot say who somebody is.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NamePatternError {
    /// Not the syntax of regular expressions.
    #[error("is not a regular expression: {0}")]
    Syntax(String),
    /// Longer than [`LONGEST_PATTERN`], or it takes too much memory.
    #[error("is too large a regular expression")]
    TooLarge,
    /// Text could stand before or behind what matches.
    #[error("does not have to match the whole text")]
    NotAnchored,
    /// None, or several, of which nobody could tell which is the name.
    #[error("has {0} groups in round brackets, not one")]
    Groups(usize),
    /// The group is left out of some matches, or holds only the last of several repetitions.
    #[error("can match without its group, or repeats it")]
    GroupNotFixed,
}

impl UserName {
    /// The user name in these claims. `is_verified`: whether the provider vouches for addresses.
    ///
    /// # Errors
    /// With a rule, when the claim is not what the rule takes.
    pub(super) fn of(&self, claims: &Claims, is_verified: bool) -> Result<Option<String>, IdentityError> {
        let text = clean_text(self.from.find(claims));
        if self.part == NamePart::Whole {
            return Ok(text);
        }
        let text = text.ok_or(IdentityError::UserMissing)?;
        // AT-TP-18: whatever claim it came in, what looks like an address has to be one.
        if text.contains('@') && !is_address(&text) {
            return Err(IdentityError::UserMismatch);
        }
        let name = self.part.taken_of(&text).filter(|name| !name.trim().is_empty() && !has_control(name));
        let name = name.ok_or(IdentityError::UserMismatch)?;
        // UI-06
        if text.contains('@') && !is_verified {
            return Err(IdentityError::UserUnverified);
        }
        Ok(Some(name.into_owned()))
    }

    /// Whether claims that do not fit the rule name nobody.
    pub fn is_required(&self) -> bool {
        self.part != NamePart::Whole
    }
}

impl From<ClaimPath> for UserName {
    fn from(from: ClaimPath) -> Self {
        Self { from, part: NamePart::Whole }
    }
}

impl NamePart {
    /// What it takes of a text.
    fn taken_of<'a>(&self, text: &'a str) -> Option<Cow<'a, str>> {
        let taken = match self {
            Self::Whole => Some(text),
            Self::Before(domain) => {
                let (local, own) = text.split_once('@')?;
                own.eq_ignore_ascii_case(domain).then_some(local)
            }
            Self::Matching(NamePattern(pattern)) => pattern.captures(text)?.get(1).map(|group| group.as_str()),
        };
        taken.map(Cow::Borrowed)
    }
}

impl NamePattern {
    /// Reads a pattern in the syntax of the crate `regex`. It is parsed to see what it can match: `^` and `$` may mean other places
    /// than the ends of the text (`(?m)`), or bind only a part of it (`^a|b$`).
    ///
    /// # Errors
    /// When it could match a part of a text, or leave the name open.
    pub fn parse(text: &str) -> Result<Self, NamePatternError> {
        if text.len() > LONGEST_PATTERN {
            return Err(NamePatternError::TooLarge);
        }
        let parsed = regex_syntax::parse(text).map_err(|error| NamePatternError::Syntax(reason(&error)))?;
        let properties = parsed.properties();
        // `\A` and `\z`: what has to hold before the first and behind the last character of every match.
        if !properties.look_set_prefix().contains(Look::Start) || !properties.look_set_suffix().contains(Look::End) {
            return Err(NamePatternError::NotAnchored);
        }
        match properties.explicit_captures_len() {
            1 => {}
            count => return Err(NamePatternError::Groups(count)),
        }
        if properties.static_explicit_captures_len() != Some(1) || repeats_a_group(&parsed) {
            return Err(NamePatternError::GroupNotFixed);
        }
        let built = RegexBuilder::new(text).size_limit(LARGEST_PROGRAM).build();
        built.map(Self).map_err(|_| NamePatternError::TooLarge)
    }
}

impl PartialEq for NamePattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

/// Whether a group stands in something that is repeated. As deep as the parser lets brackets nest.
fn repeats_a_group(part: &Hir) -> bool {
    match part.kind() {
        HirKind::Repetition(repetition) => repetition.sub.properties().explicit_captures_len() > 0,
        HirKind::Capture(group) => repeats_a_group(&group.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().any(repeats_a_group),
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Look(_) => false,
    }
}

/// What is wrong with the syntax, without the drawing of where.
fn reason(error: &regex_syntax::Error) -> String {
    match error {
        regex_syntax::Error::Parse(error) => error.kind().to_string(),
        regex_syntax::Error::Translate(error) => error.kind().to_string(),
        _ => "its syntax is not known".to_owned(),
    }
}

/// Bytes of a pattern.
pub const LONGEST_PATTERN: usize = 512;
/// Bytes of a compiled pattern.
const LARGEST_PROGRAM: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn before(domain: &str) -> UserName {
        UserName { from: ClaimPath::named("email"), part: NamePart::Before(domain.to_owned()) }
    }

    fn matching(pattern: &str) -> UserName {
        UserName {
            from: ClaimPath::named("email"),
            part: NamePart::Matching(NamePattern::parse(pattern).unwrap_or_else(|error| panic!("{pattern} {error}"))),
        }
    }

    fn of(rule: &UserName, value: Value) -> Result<Option<String>, IdentityError> {
        let claims = Claims::from_iter([("email".to_owned(), value)]);
        rule.of(&claims, true)
    }

    fn named(name: &str) -> Result<Option<String>, IdentityError> {
        Ok(Some(name.to_owned()))
    }

    #[test]
    fn the_name_stands_before_the_domain_and_every_other_address_names_nobody() {
        let rules = [before("corp.example"), matching(r"^(.+)@corp\.example$"), matching(r"\A([^@]+)@corp\.example\z")];
        for rule in &rules {
            for (address, name) in [
                ("ann@corp.example", "ann"),
                ("Ann.Lee+x@corp.example", "Ann.Lee+x"),
                ("änn@corp.example", "änn"),
                ("corp.example@corp.example", "corp.example"),
            ] {
                assert_eq!(of(rule, json!(address)), named(name), "{address}");
            }
            for address in [
                "@corp.example",
                "ann",
                "ann@",
                "corp.example",
                "ann@evil.example",
                "ann@corp.example.evil.example",
                "ann@evilcorp.example",
                "ann@sub.corp.example",
                "ann@corpXexample",
                "ann@corp.example.",
                "ann@evil.example@corp.example",
                "ann@corp.example@evil.example",
                "ann@@corp.example",
                "a n@corp.example",
                "ann @corp.example",
                "ann@corp.example ",
                " ann@corp.example",
                "\u{a0}@corp.example",
            ] {
                assert_eq!(of(rule, json!(address)), Err(IdentityError::UserMismatch), "{address:?}");
            }
            for unusable in [
                json!(null),
                json!(["ann@corp.example"]),
                json!({"a": 1}),
                json!(true),
                json!(1.5),
                json!(""),
                json!("   "),
                // AT-HS-11; `$` does not match before a line end.
                json!("ann@corp.example\n"),
                json!("ann@corp.example\r\n"),
                json!("ann\nroot@corp.example"),
                json!("x@evil.example\nann@corp.example"),
                json!("a\0@corp.example"),
            ] {
                assert_eq!(of(rule, unusable.clone()), Err(IdentityError::UserMissing), "{unusable}");
            }
            assert_eq!(rule.of(&Claims::new(), true), Err(IdentityError::UserMissing));
        }
        assert_eq!(of(&rules[0], json!("Ann@CORP.Example")), named("Ann"), "the case of a domain means nothing");
        assert_eq!(of(&rules[1], json!("Ann@CORP.Example")), Err(IdentityError::UserMismatch), "a pattern is exact");
        assert_eq!(of(&matching(r"^(?i)(.+)@corp\.example$"), json!("Ann@CORP.Example")), named("Ann"));
    }

    #[test]
    fn an_unverified_address_names_nobody_whatever_claim_it_came_in() {
        // UI-06
        let claims = Claims::from_iter([("email".to_owned(), json!("ann@corp.example"))]);
        for rule in [before("corp.example"), matching("^(.+)$")] {
            assert_eq!(rule.of(&claims, false), Err(IdentityError::UserUnverified));
        }
        // Somebody else's address is no reason to verify it.
        assert_eq!(before("other.example").of(&claims, false), Err(IdentityError::UserMismatch));
        let plain = Claims::from_iter([("email".to_owned(), json!("ann-7"))]);
        assert_eq!(matching("^([a-z]+)-[0-9]+$").of(&plain, false), named("ann"));
    }

    #[test]
    fn other_claims_than_addresses_are_matched_too() {
        assert_eq!(of(&matching(r"^CORP\\(\w+)$"), json!(r"CORP\änn")), named("änn"));
        assert_eq!(of(&matching("^u-(?P<number>[0-9]+)$"), json!("u-7")), named("7"));
        assert_eq!(of(&matching("^([0-9]+)$"), json!(12)), named("12"));
        assert_eq!(of(&matching("^(.*)x$"), json!("x")), Err(IdentityError::UserMismatch), "an empty name");
        assert_eq!(of(&matching("^( *)x$"), json!("  x")), Err(IdentityError::UserMismatch), "a blank name");
        assert_eq!(
            of(&UserName::from(ClaimPath::named("email")), json!("any@thing@at all")),
            named("any@thing@at all")
        );
        assert_eq!(of(&UserName::from(ClaimPath::named("email")), json!([])), Ok(None));
    }

    #[test]
    fn a_pattern_without_both_anchors_and_one_group_is_refused() {
        use NamePatternError::*;
        for pattern in [
            "",
            "(.+)",
            "^(.+)@corp",
            "(.+)@corp$",
            r"^(.+)@corp\$",
            r"\^(.+)@corp$",
            "^(a)|b$",
            "^a|(b)$",
            "^?(a)$",
            "^(a)$?",
            "(?:^|x)(a)$",
            "^(a)(?:$|x)",
            "(?m)^(.+)@corp$",
            "(?m:^)(.+)@corp$",
            "^(.+)@corp(?m:$)",
            "(?mR)^(.+)$",
            "[^](a)[$]",
            r"\b(a)\b",
        ] {
            let error = NamePattern::parse(pattern).unwrap_err();
            assert!(matches!(error, NotAnchored | Syntax(_)), "{pattern} {error:?}");
        }
        for (pattern, groups) in [("^.+@corp$", 0), ("^(?:.+)@corp$", 0), ("^(a)(b)$", 2), ("^((a)|b)$", 2)] {
            assert_eq!(NamePattern::parse(pattern).unwrap_err(), Groups(groups), "{pattern}");
        }
        for pattern in ["^(a)?b$", "^(?:(a)|b)$", "^([a-z])+@corp$", "^(?:x(a))*$", "^(?:(a)@){2}$"] {
            assert_eq!(NamePattern::parse(pattern).unwrap_err(), GroupNotFixed, "{pattern}");
        }
        for pattern in ["^(a", "^(a))$", r"^(\q)$", "^(?=a)(a)$", "^(?<!a)(a)$", r"^(a)\1$", "^(a{2,1})$"] {
            assert!(matches!(NamePattern::parse(pattern), Err(Syntax(_))), "{pattern}");
        }
        assert_eq!(NamePattern::parse(&format!("^({})$", "a".repeat(600))).unwrap_err(), TooLarge);
        assert_eq!(NamePattern::parse(r"^((?:\w{100}){100})$").unwrap_err(), TooLarge);
        for pattern in [r"^(.+)@corp\.example$", r"\A(.+)\z", "(?s)^(.+)$", "(?:^)(a)(?:$)", "^x-(?:(?i)(a)x)$"] {
            assert!(NamePattern::parse(pattern).is_ok(), "{pattern}");
        }
    }

    proptest! {
        /// Whatever somebody writes before and behind an address, it does not become that address's name.
        #[test]
        fn a_name_is_exactly_what_stands_before_the_domain(
            local in "[ -~]{0,12}",
            domain in "(corp\\.example|evil\\.example|corp\\.example\\.evil|@?corp\\.example)",
            tail in "[\\n\\r\\x00 .@a]{0,2}",
        ) {
            let text = format!("{local}@{domain}{tail}");
            for rule in [before("corp.example"), matching(r"^(.+)@corp\.example$")] {
                if let Ok(name) = of(&rule, json!(text)) {
                    prop_assert_eq!(format!("{}@corp.example", name.unwrap_or_default()), text.clone());
                    prop_assert_eq!(text.matches('@').count(), 1);
                }
            }
        }
    }
}
