//! What decisions need to know of the configuration, already proven: `access` and `allow` of `[route.NAME]`.

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::identity::ClaimPath;
use crate::policy::names::NameList;

/// Who may pass: a list is any-of, several keys are all-of, an absent key (`None`, or empty `claims`) asks nothing. Lists are never
/// empty, but for those in files that were emptied since the start: they let nobody pass.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AllowSettings {
    /// One of these groups.
    pub groups: Option<NameList>,
    /// One of these e-mail addresses; ASCII case does not matter.
    pub emails: Option<NameList>,
    /// An e-mail address in one of these domains, exactly, or below one that is written `*.example.com`; ASCII case does not matter.
    pub domains: Option<NameList>,
    /// One of these users: the user claim, and nothing else.
    pub users: Option<NameList>,
    /// One of these subjects: the subject, and nothing else.
    pub subjects: Option<NameList>,
    /// Each claim equals, or as a list holds, one of the values.
    pub claims: Vec<(ClaimPath, Vec<Value>)>,
    /// The client's address is in one of these networks.
    pub networks: Option<Vec<IpNet>>,
}

/// What a route asks of a request.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, JsonSchema, PartialEq)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Access {
    /// Sign in, then `allow`: the default.
    #[default]
    Login,
    /// The same, but never a redirect: 401 with `WWW-Authenticate`.
    Api,
    /// An identity if there is a session.
    Optional,
    /// No session is looked at.
    Public,
    /// Nobody.
    Deny,
}

impl Access {
    /// Whether a session, where there is one, counts for anything.
    pub fn looks_at_session(self) -> bool {
        !matches!(self, Self::Public | Self::Deny)
    }
}
