//! Clients that are left out of the access log, by what they say in `User-Agent`.

use std::fmt;
use std::str::FromStr;

/// What a whole `User-Agent` has to look like: `*` stands for any run of characters, also for none; every other character for
/// itself, in this case.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AgentPattern {
    /// What stands before the first star, or the whole where there is none.
    start: String,
    /// What stands behind each star.
    rest: Vec<String>,
}

/// Why a pattern can match no `User-Agent`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NoAgentPattern {
    /// Blanks around a field's value are no part of it ([RFC 9110 section 5.5](https://www.rfc-editor.org/rfc/rfc9110#section-5.5)).
    #[error("begins or ends with a blank")]
    Blank,
    /// A field that holds such a character is not compared, and so never left out.
    #[error("holds characters other than those of visible ASCII and blanks")]
    Character,
}

impl AgentPattern {
    /// Whether this is the `User-Agent` of such a client.
    pub fn matches(&self, agent: &str) -> bool {
        let Some(behind_start) = agent.strip_prefix(self.start.as_str()) else { return false };
        let Some((end, between)) = self.rest.split_last() else { return behind_start.is_empty() };
        // The first place at which a part stands is as good as any: it leaves the most for the parts behind it.
        let behind = |left: &'_ str, part: &String| left.find(part.as_str()).map(|at| at + part.len());
        let mut left = behind_start;
        for part in between {
            match behind(left, part).and_then(|at| left.get(at..)) {
                Some(behind) => left = behind,
                None => return false,
            }
        }
        left.ends_with(end.as_str())
    }

    /// Whether it says nothing: every client looks like that.
    pub fn matches_everything(&self) -> bool {
        self.start.is_empty() && !self.rest.is_empty() && self.rest.iter().all(String::is_empty)
    }
}

impl fmt::Display for AgentPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.start)?;
        self.rest.iter().try_for_each(|part| write!(f, "*{part}"))
    }
}

impl FromStr for AgentPattern {
    type Err = NoAgentPattern;

    fn from_str(text: &str) -> Result<Self, NoAgentPattern> {
        if !text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
            return Err(NoAgentPattern::Character);
        }
        if text.starts_with(' ') || text.ends_with(' ') {
            return Err(NoAgentPattern::Blank);
        }
        let mut parts = text.split('*').map(str::to_owned);
        Ok(Self { start: parts.next().unwrap_or_default(), rest: parts.collect() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, agent: &str) -> bool {
        pattern.parse::<AgentPattern>().unwrap().matches(agent)
    }

    #[test]
    fn a_pattern_is_compared_with_the_whole_agent() {
        for (pattern, agent) in [
            ("kube-probe/*", "kube-probe/1.33"),
            ("kube-probe/*", "kube-probe/"),
            ("ELB-HealthChecker/2.0", "ELB-HealthChecker/2.0"),
            ("*HealthCheck*", "GoogleHC HealthCheck/1.0"),
            ("*HealthCheck*", "HealthCheck"),
            ("a*b*c", "a b b c"),
            ("a*b*c", "abc"),
            ("a**c", "ac"),
            ("*", ""),
            ("*", "anything"),
            ("Mozilla/5.0 (compatible; UptimeRobot/2.0; *)", "Mozilla/5.0 (compatible; UptimeRobot/2.0; http://a/)"),
            ("a?[b]", "a?[b]"),
        ] {
            assert_eq!(pattern.parse::<AgentPattern>().unwrap().to_string(), pattern);
            assert!(matches(pattern, agent), "{pattern} does not match {agent}");
        }
        for (pattern, agent) in [
            ("kube-probe/*", "Mozilla/5.0 kube-probe/1.33"),
            ("kube-probe/*", "Kube-Probe/1.33"),
            ("kube-probe/*", "kube-probe"),
            ("kube-probe", "kube-probe/1.33"),
            ("*/1.0", "curl/1.0.1"),
            ("ab*ba", "aba"),
            ("a*b*c", "a c b"),
            ("a*bc*bc", "a bc"),
            ("a?", "ab"),
            ("[ab]", "a"),
        ] {
            assert!(!matches(pattern, agent), "{pattern} matches {agent}");
        }
    }

    #[test]
    fn what_no_agent_could_look_like_is_no_pattern() {
        for (text, why) in [
            (" kube-probe/*", NoAgentPattern::Blank),
            ("kube-probe/* ", NoAgentPattern::Blank),
            ("söhne/*", NoAgentPattern::Character),
            ("kube\tprobe", NoAgentPattern::Character),
            ("kube\nprobe", NoAgentPattern::Character),
        ] {
            assert_eq!(text.parse::<AgentPattern>(), Err(why), "{text:?}");
        }
        assert!(["*", "***"].iter().all(|text| text.parse::<AgentPattern>().unwrap().matches_everything()));
        assert!(
            ["a", "*a", "a*", "*a*"].iter().all(|text| !text.parse::<AgentPattern>().unwrap().matches_everything())
        );
    }

    /// The plain definition: a star takes any number of characters.
    fn by_definition(pattern: &[u8], agent: &[u8]) -> bool {
        match pattern.split_first() {
            None => agent.is_empty(),
            Some((b'*', rest)) => (0..=agent.len()).any(|taken| by_definition(rest, &agent[taken..])),
            Some((byte, rest)) => agent.first() == Some(byte) && by_definition(rest, &agent[1..]),
        }
    }

    proptest! {
        #[test]
        fn a_pattern_means_what_the_plain_definition_says(pattern in "[ab*]{1,8}", agent in "[ab]{0,10}") {
            prop_assert_eq!(matches(&pattern, &agent), by_definition(pattern.as_bytes(), agent.as_bytes()));
        }
    }
}
