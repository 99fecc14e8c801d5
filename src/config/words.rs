//! Keys that take one of a few words.

use super::diagnostics::{Code, Diagnostic};
use super::reading::{FromNode, Reading, listed};
use super::tree::Node;
use crate::nearest::nearest;
use crate::policy::settings::Access;
use crate::provider::settings::{LogoutStyle, Quirk, ResponseMode, UserinfoUse};
use crate::proxy::settings::Authorization;
use crate::server::settings::ClientCertificates;
use crate::session::settings::SameSite;
use crate::telemetry::settings::LogFormat;

/// Reads one of the words of a table, or notes which there are. The words of `later` belong to a later version: they are known,
/// so that what to write instead can be said, and never offered.
fn read_word<T: Copy>(
    words: &[(&str, T)],
    later: &[(&str, &str)],
    node: &Node,
    reading: &mut Reading<'_>,
) -> Option<T> {
    let text = String::from_node(node, reading)?;
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
        return Some(*value);
    }
    if let Some((word, instead)) = later.iter().find(|(word, _)| *word == text) {
        let message = format!("`{}` = \"{word}\" is not supported by this version", reading.key());
        reading.report(Diagnostic::error(Code::Unsupported, &node.place, message).help(*instead));
        return None;
    }
    let names = || words.iter().map(|(word, _)| *word);
    let help = match nearest(&text, names()) {
        Some(meant) => format!("did you mean \"{meant}\"? The words are {}", listed(names())),
        None => format!("the words are {}", listed(names())),
    };
    let message = format!("`{}` cannot be \"{}\"", reading.key(), text.escape_default());
    reading.report(Diagnostic::error(Code::UnknownWord, &node.place, message).help(help));
    None
}

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident($meaning:ty) {
        $($word:literal => $value:expr,)* $(later $unsupported:literal: $instead:literal,)*
    })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub(super) struct $name(pub(super) $meaning);

        impl FromNode for $name {
            fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
                read_word(&[$(($word, $value)),*], &[$(($unsupported, $instead)),*], node, reading).map(Self)
            }
        }
    )*};
}

words! {
    /// `access`.
    AccessWord(Access) {
        "login" => Access::Login,
        "api" => Access::Api,
        "optional" => Access::Optional,
        "public" => Access::Public,
        "deny" => Access::Deny,
    }
    /// `identity.authorization`.
    AuthorizationWord(Authorization) {
        "keep" => Authorization::Keep,
        "remove" => Authorization::Remove,
        "access_token" => Authorization::AccessToken,
        "id_token" => Authorization::IdToken,
    }
    /// `provider.NAME.client_auth`.
    ClientAuthWord(ClientAuthMethod) {
        "client_secret_basic" => ClientAuthMethod::Basic,
        "client_secret_post" => ClientAuthMethod::Post,
        "private_key_jwt" => ClientAuthMethod::PrivateKeyJwt,
        "none" => ClientAuthMethod::None,
        later "tls": "use client_auth = \"private_key_jwt\" or a client secret",
    }
    /// `server.tls.client_auth`.
    ClientCertificateWord(ClientCertificates) {
        "none" => ClientCertificates::No,
        "optional" => ClientCertificates::Optional,
        "required" => ClientCertificates::Required,
    }
    /// `provider.NAME.claims.groups_shape`.
    GroupShapeWord(GroupShapeName) {
        "list" => GroupShapeName::List,
        "keys" => GroupShapeName::Keys,
    }
    /// `route.NAME.header_case`: whether senders' capitals are kept.
    HeaderCaseWord(bool) {
        "lower" => false,
        "preserve" => true,
    }
    /// An item of `session.keep`.
    KeepWord(KeptToken) {
        "access" => KeptToken::Access,
        "refresh" => KeptToken::Refresh,
        "id" => KeptToken::Id,
    }
    /// `log.format`.
    LogFormatWord(LogFormat) {
        "auto" => LogFormat::Auto,
        "human" => LogFormat::Human,
        "json" => LogFormat::Json,
    }
    /// `provider.NAME.logout`.
    LogoutWord(LogoutStyle) {
        "auto" => LogoutStyle::Auto,
        "revoke" => LogoutStyle::RevokeOnly,
        "none" => LogoutStyle::None,
    }
    /// An item of `provider.NAME.quirks`.
    QuirkWord(Quirk) {
        "missing-token-type" => Quirk::MissingTokenType,
        "token-content-type" => Quirk::TokenContentType,
    }
    /// `provider.NAME.response_mode`.
    ResponseModeWord(ResponseMode) {
        "query" => ResponseMode::Query,
        "form_post" => ResponseMode::FormPost,
    }
    /// `session.cookie.same_site`.
    SameSiteWord(SameSite) {
        "lax" => SameSite::Lax,
        "strict" => SameSite::Strict,
        "none" => SameSite::None,
    }
    /// `session.store`.
    StoreWord(Store) {
        "cookie" => Store::Cookie,
        later "memory": "sessions live in sealed cookies: write store = \"cookie\", or leave the key out",
        later "file": "sessions live in sealed cookies: write store = \"cookie\", or leave the key out",
        later "redis": "sessions live in sealed cookies: write store = \"cookie\", or leave the key out",
    }
    /// `provider.NAME.userinfo`.
    UserinfoWord(UserinfoUse) {
        "auto" => UserinfoUse::Auto,
        "always" => UserinfoUse::Always,
        "never" => UserinfoUse::Never,
    }
}

/// Client authentication methods, by name only.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum ClientAuthMethod {
    Basic,
    Post,
    PrivateKeyJwt,
    None,
}

/// Shapes of the groups claim, by name only.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum GroupShapeName {
    List,
    Keys,
}

/// Tokens that a session may keep.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum KeptToken {
    Access,
    Refresh,
    Id,
}

/// Where sessions live.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Store {
    Cookie,
}
