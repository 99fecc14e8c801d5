//! Decisions: may this person do this? Pure functions of an identity and an address.
//!
//! `allow` is compiled once into a list of checks. The decision and the reasons of a refusal come from the same checks, so that they
//! cannot disagree.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use self::names::{Listed, Matching};
use self::settings::AllowSettings;
use crate::identity::{ClaimPath, Identity, domain_of};

pub mod names;
pub mod settings;

/// `allow`, compiled.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    checks: Vec<Check>,
    /// A list stands in a file, and changes while the policy does not.
    is_followed: bool,
}

/// The outcome.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Decision {
    /// They may pass.
    Allow,
    /// They may not.
    Deny(DenyReason),
}

/// Why not: every criterion that missed, and what is needed in words for the person who is refused.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DenyReason {
    missed: Vec<(Criterion, String)>,
}

/// A kind of criterion that `allow` can ask for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Criterion {
    /// The address of the client.
    Network,
    /// The user claim.
    User,
    /// The subject.
    Subject,
    /// The e-mail address.
    Email,
    /// The domain of the e-mail address.
    Domain,
    /// That the provider vouches for the e-mail address.
    VerifiedEmail,
    /// A group.
    Group,
    /// Any other claim.
    Claim,
}

impl Criterion {
    /// A stable reason for logs and pages, where it missed.
    pub fn code(self) -> &'static str {
        match self {
            Self::Network => "network_not_allowed",
            Self::User => "user_not_allowed",
            Self::Subject => "subject_not_allowed",
            Self::Email => "email_not_allowed",
            Self::Domain => "email_domain_not_allowed",
            Self::VerifiedEmail => "email_unverified",
            Self::Group => "group_missing",
            Self::Claim => "claim_not_allowed",
        }
    }
}

impl Policy {
    /// Compiles `allow`.
    pub fn new(allow: AllowSettings) -> Self {
        let AllowSettings { groups, emails, domains, users, subjects, claims, networks } = allow;
        // Networks first: they cost least, and whoever is elsewhere needs no better reason. Groups and domains say what to ask for;
        // lists of people, addresses and claims' values stay private.
        let checks = [
            networks.map(|it| Check::new(Criterion::Network, NEEDS_NETWORK, Test::Networks(it))),
            users.map(|it| Check::new(Criterion::User, NEEDS_PERSON, Test::User(Listed::new(it, Matching::Exact)))),
            subjects.map(|it| {
                Check::new(Criterion::Subject, NEEDS_PERSON, Test::Subject(Listed::new(it, Matching::Exact)))
            }),
            emails.map(|it| Check::new(Criterion::Email, NEEDS_EMAIL, Test::Email(Listed::new(it, Matching::Folded)))),
            domains.map(|it| {
                let domains = Listed::new(it, Matching::Domain);
                let need = domains.in_order().map_or_else(
                    || NEEDS_DOMAIN.to_owned(),
                    |all| format!("needs an e-mail address in {}", listed(all, "", "one of ")),
                );
                Check::new(Criterion::Domain, need, Test::Domain(domains))
            }),
            groups.map(|it| {
                let groups = Listed::new(it, Matching::Exact);
                let need = groups.in_order().map_or_else(
                    || NEEDS_GROUP.to_owned(),
                    |all| format!("needs {}", listed(all, "the group ", "one of the groups ")),
                );
                Check::new(Criterion::Group, need, Test::Group(groups))
            }),
        ];
        let claims = claims.into_iter().map(|(path, values)| {
            Check::new(Criterion::Claim, format!("needs another value of {path}"), Test::Claim(path, values))
        });
        let checks: Vec<_> = checks.into_iter().flatten().chain(claims).collect();
        Self { is_followed: checks.iter().any(|check| check.test.is_followed()), checks }
    }

    /// Whether what it decides about a person may change while the person and the configuration do not: a list stands in a file
    /// that somebody else keeps.
    pub fn is_followed(&self) -> bool {
        self.is_followed
    }

    /// Whether anything is asked besides having signed in.
    pub fn is_open(&self) -> bool {
        self.checks.is_empty()
    }

    /// Whether this person, at this address, may pass.
    pub fn decide(&self, identity: &Identity, client: IpAddr) -> Decision {
        let mut missing = self.checks.iter().filter(|check| !check.test.is_met(identity, client)).peekable();
        if missing.peek().is_none() {
            return Decision::Allow;
        }
        Decision::Deny(DenyReason { missed: missing.map(|check| check.missed_by(identity)).collect() })
    }

    /// Whether this address may pass where nobody is asked who they are: of `allow`, only the networks count.
    pub fn networks_only(&self, client: IpAddr) -> Decision {
        let is_elsewhere =
            |check: &&Check| matches!(&check.test, Test::Networks(networks) if !contains(networks, client));
        match self.checks.iter().find(is_elsewhere) {
            None => Decision::Allow,
            Some(check) => Decision::Deny(DenyReason { missed: vec![(check.criterion, check.need.clone())] }),
        }
    }
}

impl DenyReason {
    /// The first criterion that missed.
    pub fn criterion(&self) -> Option<Criterion> {
        self.missed.first().map(|(criterion, _)| *criterion)
    }

    /// A stable reason for logs and pages: that of the first criterion that missed.
    pub fn code(&self) -> &'static str {
        self.criterion().map_or("access_denied", Criterion::code)
    }
}

impl fmt::Display for DenyReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let needs: Vec<&str> = self.missed.iter().map(|(_, need)| need.as_str()).collect();
        f.write_str(&needs.join("; "))
    }
}

/// One key of `allow`.
#[derive(Clone, Debug)]
struct Check {
    criterion: Criterion,
    /// What is needed, as part of a sentence.
    need: String,
    test: Test,
}

impl Check {
    /// Puts the parts together.
    fn new(criterion: Criterion, need: impl Into<String>, test: Test) -> Self {
        Self { criterion, need: need.into(), test }
    }

    /// Why it is not met. An address that the provider does not vouch for is a matter of its own: the person may well be one of
    /// those who are asked for.
    fn missed_by(&self, identity: &Identity) -> (Criterion, String) {
        let doubted = identity.unverified_email.as_deref();
        let is_unverified = match &self.test {
            // The list is not looked at: a refusal must not say whether an address is on it.
            Test::Email(_) => doubted.is_some(),
            Test::Domain(domains) => doubted.and_then(domain_of).is_some_and(|domain| domains.contains(domain)),
            _ => false,
        };
        if is_unverified {
            (Criterion::VerifiedEmail, NEEDS_VERIFIED.to_owned())
        } else {
            (self.criterion, self.need.clone())
        }
    }
}

/// What a check compares with what.
#[derive(Clone, Debug)]
enum Test {
    Networks(Vec<IpNet>),
    User(Listed),
    Subject(Listed),
    Email(Listed),
    Domain(Listed),
    Group(Listed),
    Claim(ClaimPath, Vec<Value>),
}

impl Test {
    /// Whether it compares with a list in a file.
    fn is_followed(&self) -> bool {
        match self {
            Self::User(it) | Self::Subject(it) | Self::Email(it) | Self::Domain(it) | Self::Group(it) => {
                it.is_followed()
            }
            Self::Networks(_) | Self::Claim(..) => false,
        }
    }

    /// Whether this person, at this address, meets it.
    fn is_met(&self, identity: &Identity, client: IpAddr) -> bool {
        match self {
            Self::Networks(networks) => contains(networks, client),
            Self::User(users) => identity.user.as_deref().is_some_and(|user| users.contains(user)),
            Self::Subject(subjects) => !identity.subject.is_empty() && subjects.contains(&identity.subject),
            Self::Email(emails) => identity.email.as_deref().is_some_and(|email| emails.contains(email)),
            Self::Domain(domains) => identity.email_domain().is_some_and(|domain| domains.contains(domain)),
            Self::Group(groups) => groups.contains_any(&identity.groups),
            Self::Claim(path, values) => path.find(&identity.claims).is_some_and(|value| {
                let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
                values.contains(value) || items.iter().any(|item| values.contains(item))
            }),
        }
    }
}

/// Whether an address lies in one of the networks.
pub fn contains(networks: &[IpNet], client: IpAddr) -> bool {
    let client = client.to_canonical();
    networks.iter().any(|network| network.contains(&client))
}

/// A list in words.
fn listed(mut names: Vec<String>, one: &str, several: &str) -> String {
    if let [name] = names.as_slice() {
        return format!("{one}{name}");
    }
    let more = if names.len() > MOST_SHOWN { ", …" } else { "" };
    names.truncate(MOST_SHOWN);
    format!("{several}{}{more}", names.join(", "))
}

/// What is needed where the address misses.
const NEEDS_NETWORK: &str = "needs a network that is allowed in";
/// The same of the user or the subject.
const NEEDS_PERSON: &str = "needs to be one of the people who are allowed in";
/// The same of the e-mail address.
const NEEDS_EMAIL: &str = "needs an e-mail address that is allowed in";
/// The same where the provider does not vouch for it.
const NEEDS_VERIFIED: &str = "needs a verified e-mail address: the sign-in page says that yours is not verified";
/// The same of a domain or a group where somebody else keeps the list: a refusal is no way to read it.
const NEEDS_DOMAIN: &str = "needs an e-mail address in a domain that is allowed in";
/// See [`NEEDS_DOMAIN`].
const NEEDS_GROUP: &str = "needs a group that is allowed in";
/// Names of a list that a refusal shows.
const MOST_SHOWN: usize = 10;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::names::NameList;
    use super::*;
    use crate::identity::{ClaimMapping, Claims};

    fn ada() -> Identity {
        let claims: Claims = serde_json::from_value(json!({
            "sub": "u1", "email": "Ada@Corp.example", "groups": ["eng", "ops"], "level": 3, "roles": ["r1", "r2"], "dept": "x",
        }))
        .unwrap();
        Identity::from_claims("corp".into(), "https://idp.example".into(), claims, &ClaimMapping::default()).unwrap()
    }

    fn here() -> IpAddr {
        "203.0.113.7".parse().unwrap()
    }

    fn decide(allow: AllowSettings) -> Decision {
        Policy::new(allow).decide(&ada(), here())
    }

    fn code(allow: AllowSettings) -> &'static str {
        match decide(allow) {
            Decision::Allow => "allow",
            Decision::Deny(reason) => reason.code(),
        }
    }

    fn some(names: &[&str]) -> Option<NameList> {
        Some(NameList::Written(names.iter().map(|n| (*n).to_owned()).collect()))
    }

    fn claim(path: &str, values: &[Value]) -> AllowSettings {
        AllowSettings { claims: vec![(ClaimPath::parse(path).unwrap(), values.to_vec())], ..AllowSettings::default() }
    }

    #[test]
    fn nothing_asked_allows_whoever_signed_in() {
        assert_eq!(decide(AllowSettings::default()), Decision::Allow);
        let nobody = Identity::nobody("p".into(), "i".into());
        assert_eq!(Policy::default().decide(&nobody, here()), Decision::Allow);
    }

    #[test]
    fn a_list_is_any_of() {
        let groups = |names| code(AllowSettings { groups: some(names), ..AllowSettings::default() });
        assert_eq!(groups(&["none", "ops"]), "allow");
        assert_eq!(groups(&["OPS"]), "group_missing");
        let users = |names| code(AllowSettings { users: some(names), ..AllowSettings::default() });
        assert_eq!((users(&["u1"]), users(&["u"])), ("allow", "user_not_allowed"));
        let networks =
            |net: &str| code(AllowSettings { networks: Some(vec![net.parse().unwrap()]), ..AllowSettings::default() });
        assert_eq!((networks("203.0.113.0/24"), networks("10.0.0.0/8")), ("allow", "network_not_allowed"));
    }

    #[test]
    fn emails_and_domains_match_exactly_but_for_case() {
        // AT-TP-18
        let emails = |names| code(AllowSettings { emails: some(names), ..AllowSettings::default() });
        assert_eq!((emails(&["ADA@corp.example"]), emails(&["da@corp.example"])), ("allow", "email_not_allowed"));
        let domains = |name: &str| code(AllowSettings { domains: some(&[name]), ..AllowSettings::default() });
        assert_eq!(domains("corp.EXAMPLE"), "allow");
        for other in ["example", "sub.corp.example", "orp.example", "@corp.example", ""] {
            assert_eq!(domains(other), "email_domain_not_allowed", "{other}");
        }
    }

    #[test]
    fn a_star_stands_for_the_domains_below() {
        // AT-TP-18
        let domains = |names: &[&str], address: &str| {
            let identity = Identity { email: Some(address.to_owned()), ..ada() };
            let allow = AllowSettings { domains: some(names), ..AllowSettings::default() };
            Policy::new(allow).decide(&identity, here()) == Decision::Allow
        };
        for yes in ["a@sub.corp.example", "a@x.y.Corp.Example"] {
            assert!(domains(&["*.CORP.example"], yes), "{yes}");
        }
        for no in [
            "a@corp.example",
            "a@notcorp.example",
            "a@.corp.example",
            "a@x..corp.example",
            "a@sub.corp.example.org",
            "a@*.corp.exampl",
        ] {
            assert!(!domains(&["*.corp.example"], no), "{no}");
        }
        assert!(domains(&["*.corp.example", "corp.example"], "a@corp.example"));
    }

    #[test]
    fn users_are_users_and_subjects_are_subjects() {
        // AT-TP-18: who may choose a user name must not choose a subject, and the other way round.
        let mapping =
            ClaimMapping { user: ClaimPath::parse("preferred_username").unwrap().into(), ..ClaimMapping::default() };
        let mallory = |sub: &str, name: Option<&str>| {
            let claims = serde_json::from_value(json!({"sub": sub, "preferred_username": name})).unwrap();
            Identity::from_claims("corp".into(), "https://idp.example".into(), claims, &mapping).unwrap()
        };
        let users = Policy::new(AllowSettings { users: some(&["root"]), ..AllowSettings::default() });
        let subjects = Policy::new(AllowSettings { subjects: some(&["root"]), ..AllowSettings::default() });
        for (identity, by_user, by_subject) in [
            (mallory("root", Some("mallory")), false, true),
            (mallory("u-1", Some("root")), true, false),
            (mallory("root", None), false, true),
            (mallory("ROOT", Some(" root")), false, false),
            (Identity::nobody("p".into(), "i".into()), false, false),
        ] {
            assert_eq!(users.decide(&identity, here()) == Decision::Allow, by_user, "{identity:?}");
            assert_eq!(subjects.decide(&identity, here()) == Decision::Allow, by_subject, "{identity:?}");
        }
    }

    #[test]
    fn an_unverified_email_is_a_reason_of_its_own_where_it_is_the_reason() {
        // UI-06
        let claims: Claims =
            serde_json::from_value(json!({"sub": "u2", "email": "Ann@corp.example", "email_verified": false})).unwrap();
        let ann = Identity::from_claims("p".into(), "i".into(), claims, &ClaimMapping::default()).unwrap();
        let reason = |allow| match Policy::new(allow).decide(&ann, here()) {
            Decision::Deny(reason) => reason.code(),
            Decision::Allow => "allow",
        };
        let domains = |name: &str| reason(AllowSettings { domains: some(&[name]), ..AllowSettings::default() });
        assert_eq!(domains("CORP.example"), "email_unverified");
        assert_eq!(domains("*.example"), "email_unverified");
        assert_eq!(domains("other.example"), "email_domain_not_allowed");
        // Says nothing about who else is on the list.
        let emails = |name: &str| reason(AllowSettings { emails: some(&[name]), ..AllowSettings::default() });
        assert_eq!((emails("ann@corp.example"), emails("boss@corp.example")), ("email_unverified", "email_unverified"));
    }

    #[test]
    fn an_unverified_email_matches_nothing() {
        // UI-06, AT-TP-18
        let claims: Claims =
            serde_json::from_value(json!({"sub": "u2", "email": "ada@corp.example", "email_verified": false})).unwrap();
        let mallory = Identity::from_claims("p".into(), "i".into(), claims, &ClaimMapping::default()).unwrap();
        for allow in [
            AllowSettings { emails: some(&["ada@corp.example"]), ..AllowSettings::default() },
            AllowSettings { domains: some(&["corp.example"]), ..AllowSettings::default() },
        ] {
            assert_ne!(Policy::new(allow).decide(&mallory, here()), Decision::Allow);
        }
    }

    #[test]
    fn claims_equal_a_value_or_hold_it() {
        assert_eq!(code(claim("level", &[json!(2), json!(3)])), "allow");
        assert_eq!(code(claim("/roles", &[json!("r2")])), "allow");
        assert_eq!(code(claim("roles", &[json!(["r1", "r2"])])), "allow");
        for (path, value) in [("level", json!("3")), ("roles", json!("r")), ("none", json!(null)), ("dept", json!("X"))]
        {
            assert_eq!(code(claim(path, &[value])), "claim_not_allowed", "{path}");
        }
    }

    #[test]
    fn several_keys_are_all_of_and_every_miss_is_told() {
        let allow = AllowSettings {
            groups: some(&["b", "a"]),
            domains: some(&["other.example"]),
            users: some(&["u1"]),
            ..AllowSettings::default()
        };
        let policy = Policy::new(allow);
        let Decision::Deny(reason) = policy.decide(&ada(), here()) else { panic!() };
        assert_eq!(reason.to_string(), "needs an e-mail address in other.example; needs one of the groups a, b");
        assert_eq!(reason.code(), "email_domain_not_allowed");
    }

    #[test]
    fn refusals_name_no_other_people() {
        let Decision::Deny(reason) = decide(AllowSettings {
            emails: some(&["boss@corp.example"]),
            users: some(&["boss"]),
            ..AllowSettings::default()
        }) else {
            panic!()
        };
        assert!(!reason.to_string().contains("boss"));
    }

    #[test]
    fn only_networks_count_where_nobody_is_asked() {
        let allow = AllowSettings {
            groups: some(&["a"]),
            networks: Some(vec!["10.0.0.0/8".parse().unwrap()]),
            ..AllowSettings::default()
        };
        let policy = Policy::new(allow);
        assert_eq!(policy.networks_only("10.1.2.3".parse().unwrap()), Decision::Allow);
        assert_eq!(policy.networks_only("::ffff:10.1.2.3".parse().unwrap()), Decision::Allow);
        let Decision::Deny(reason) = policy.networks_only(here()) else { panic!() };
        assert_eq!(reason.code(), "network_not_allowed"); // AT-HS-13
        assert_eq!(reason.missed.len(), 1);
    }

    #[test]
    fn nobody_in_particular_has_no_name() {
        let nobody = Identity::nobody("p".into(), "i".into());
        let policy = Policy::new(AllowSettings { users: some(&[""]), ..AllowSettings::default() });
        assert_ne!(policy.decide(&nobody, here()), Decision::Allow);
    }
}
