//! `userinfo_every`: whether there is anybody to ask, and anything to ask with.

use super::super::file::ProviderTable;
use super::{Field, Named, Problems, kinds};
use crate::provider::settings::{OAuth2Identity, ProviderKind, ProviderSettings, UserinfoUse};
use crate::session::settings::{SessionSettings, TokenKinds};

/// Checks the interval of each provider that has one.
pub(super) fn check(
    tables: &Field<Named<ProviderTable, true>>,
    providers: &[ProviderSettings],
    session: &SessionSettings,
    problems: &mut Problems,
) {
    for (name, table) in tables.value().into_iter().flat_map(|named| &named.0) {
        let settings = providers.iter().find(|settings| *settings.name == *name.value);
        let (Some(settings), Some(table)) = (settings, table.value()) else { continue };
        let Some(found) = table.userinfo_every.given() else { continue };
        match &settings.kind {
            ProviderKind::Oidc { .. } if settings.userinfo == UserinfoUse::Never => {
                let what = "is set, but `userinfo` is \"never\"";
                problems.on(kinds::NOTHING_ASKED, found, what).help("write userinfo = \"always\", or remove the key");
            }
            ProviderKind::OAuth2 { identity: OAuth2Identity::Nobody, .. } => {
                problems.on(kinds::NOTHING_ASKED, found, "is set, but the provider is not asked who anybody is");
            }
            kind if !has_token(kind, session.keep) => {
                problems.on(
                    kinds::NOTHING_TO_ASK_WITH,
                    found,
                    "is set, but `session.keep` leaves the access token out",
                );
            }
            _ if found.value.0 >= session.lifetime => {
                problems.on(kinds::ASKED_TOO_LATE, found, "is not shorter than `session.lifetime`");
            }
            _ => {}
        }
    }
}

/// Whether sessions have a token to ask with. A refresh brings a new access token; plain OAuth 2.0 seldom has refresh tokens.
fn has_token(kind: &ProviderKind, keep: TokenKinds) -> bool {
    keep.access || (keep.refresh && matches!(kind, ProviderKind::Oidc { .. }))
}
