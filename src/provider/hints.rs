//! What a link to `login` may add to an authorization request: hints that the operator lets through (`login_params`), such as who is
//! signing in (`login_hint`) or where their account is (`kc_idp_hint`).
//!
//! Anybody can write such a link. Whatever it says, it changes nothing that the flow sets, and asks for no weaker sign-in than the
//! configuration does.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::provider::Provider;

/// Parameters of one authorization request that came with a link, each once: only [`Provider::hints`] lets them through.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Hints(Vec<(String, String)>);

impl Hints {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names and values, in the order of `login_params`.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// How old the sign-in at the provider may be.
    pub fn max_age(&self) -> Option<Duration> {
        self.get(MAX_AGE)?.parse().ok().map(Duration::from_secs)
    }

    /// The authentication contexts of which the ID token has to name one; none where the link asked for none.
    pub fn acr_values(&self) -> Vec<&str> {
        self.get(ACR_VALUES).map(|values| values.split(' ').collect()).unwrap_or_default()
    }

    /// Only what has to be known when the answer comes: it is checked then.
    #[must_use]
    pub fn to_be_checked(&self) -> Self {
        let checked = self.0.iter().filter(|(name, _)| name == MAX_AGE || name == ACR_VALUES);
        Self(checked.cloned().collect())
    }

    /// The value of a parameter.
    fn get(&self, name: &str) -> Option<&str> {
        self.pairs().find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}

impl Provider {
    /// What of a link's parameters goes into an authorization request; `given` finds the decoded value of each. What cannot be
    /// handed on is left out: the link then says that much less.
    pub fn hints<'a>(&self, given: impl Fn(&str) -> Option<&'a str>) -> Hints {
        let hint = |name: &String| Some((name.clone(), self.handed_on(name, given(name)?)?));
        Hints(self.settings.login_params.iter().filter_map(hint).collect())
    }

    /// The value of one parameter as it is handed on.
    fn handed_on(&self, name: &str, value: &str) -> Option<String> {
        // What was no UTF-8 was decoded as U+FFFD.
        let is_odd = |c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER;
        if value.is_empty() || value.len() > LONGEST_HINT || value.contains(is_odd) {
            return None;
        }
        match name {
            "prompt" => self.may_prompt(value).then(|| value.to_owned()),
            MAX_AGE => seconds(value).map(|seconds| seconds.to_string()),
            ACR_VALUES => self.stricter_contexts(value),
            _ => Some(value.to_owned()),
        }
    }

    /// `prompt=none` would let nobody sign in who has to be asked, and where the configuration asks people to prove again who they are,
    /// a link does not take that back.
    fn may_prompt(&self, value: &str) -> bool {
        let is_word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        let asks_to_sign_in = |prompt: &str| prompt.split(' ').any(|word| word == "login");
        value.split(' ').all(|word| is_word(word) && word != "none")
            && (asks_to_sign_in(value) || !self.configured_prompt().is_some_and(asks_to_sign_in))
    }

    /// Those of the contexts that are among the configured ones; where none are configured, all.
    fn stricter_contexts(&self, value: &str) -> Option<String> {
        let written = self.settings.authorization_params.get(ACR_VALUES);
        let written = written.into_iter().flat_map(|values| values.split_whitespace());
        let own: Vec<&str> = match self.settings.acr_values.as_slice() {
            [] => written.collect(),
            required => required.iter().map(String::as_str).collect(),
        };
        let kept: Vec<&str> = value
            .split(' ')
            .filter(|context| !context.is_empty() && (own.is_empty() || own.contains(context)))
            .collect();
        Some(kept.join(" ")).filter(|kept| !kept.is_empty())
    }
}

/// A number of seconds in digits alone.
fn seconds(value: &str) -> Option<u64> {
    value.bytes().all(|b| b.is_ascii_digit()).then(|| value.parse().ok()).flatten()
}

/// Bytes of a decoded value.
const LONGEST_HINT: usize = 512;
/// How old the sign-in may be, in seconds.
const MAX_AGE: &str = "max_age";
/// Requested authentication contexts, separated by spaces.
const ACR_VALUES: &str = "acr_values";
