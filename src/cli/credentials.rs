//! What `vestibule check` says of the Basic credentials that applications get.

use super::probes::Finding;
use crate::gateway::settings::RouteSettings;
use crate::provider::Grade;
use crate::proxy::settings::{Authorization, BasicCredentials, IdentityValue};

/// Whose credentials the application of a route gets, each kind once: a word that is written wrong is a user of that name.
pub(super) fn credentials(route: &RouteSettings) -> Vec<Finding> {
    let mut told: Vec<String> = Vec::new();
    for rule in route.rules().filter(|rule| rule.access.looks_at_session()) {
        let Authorization::Basic(credentials) = &rule.identity.authorization else { continue };
        let message = in_words(credentials);
        if !told.contains(&message) {
            told.push(message);
        }
    }
    let subject = format!("route {}", route.name);
    told.into_iter().map(|told| Finding::new(subject.clone(), Grade::Good, "basic_credentials", told)).collect()
}

/// Who the user is.
fn in_words(credentials: &BasicCredentials) -> String {
    let name = match &credentials.user {
        IdentityValue::Literal(name) => {
            return format!(
                "the application gets the Basic credentials of the user {name:?} with everybody who is signed in"
            );
        }
        IdentityValue::Claim(path) => format!("claim {path}"),
        IdentityValue::Subject => "subject".to_owned(),
        IdentityValue::Email => "e-mail address".to_owned(),
        IdentityValue::Name => "display name".to_owned(),
        IdentityValue::PreferredUsername => "preferred_username".to_owned(),
        // No other value is somebody's name.
        _ => "user name".to_owned(),
    };
    format!(
        "the application gets each person's {name} as the user of Basic credentials, with one password for all; nobody passes whose \
         name cannot be sent"
    )
}
