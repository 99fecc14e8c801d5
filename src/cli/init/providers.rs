//! What is known of providers, from `providers.toml`.

use serde::Deserialize;

/// A provider that `init` knows, or a kind of them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct KnownProvider {
    /// What `--provider` takes, and the name of its table.
    pub(super) word: String,
    /// What people call it.
    pub(super) title: String,
    /// The hint of the question for its issuer; there is no question where this is empty.
    pub(super) issuer: String,
    /// The answer to it, where it is the same for everybody.
    pub(super) default_issuer: Option<String>,
    /// Whether the endpoints are asked for.
    pub(super) asks_endpoints: bool,
    /// The endpoints of a provider without discovery.
    pub(super) authorization_endpoint: Option<String>,
    pub(super) token_endpoint: Option<String>,
    pub(super) userinfo_endpoint: Option<String>,
    pub(super) subject: Option<String>,
    /// Lines of its table.
    pub(super) lines: String,
    /// Lines of its table of claims.
    pub(super) claims: String,
    /// Lines about who may pass.
    pub(super) allow: String,
    /// Where a client is registered.
    pub(super) steps: Vec<String>,
    /// What becomes of signing out, where there is no field for the post-logout redirect URI.
    pub(super) signed_out: Option<String>,
}

#[derive(Deserialize)]
struct All {
    provider: Vec<KnownProvider>,
}

/// Every one of them, in the order in which they are offered.
pub(super) fn all() -> Vec<KnownProvider> {
    toml::from_str::<All>(TEXT).map(|all| all.provider).unwrap_or_default()
}

const TEXT: &str = include_str!("providers.toml");

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::CommandLine;

    #[test]
    fn the_data_is_whole_and_the_help_names_every_provider() {
        let all = all();
        assert_eq!(all.len(), 10);
        let command = CommandLine::command();
        let init = command.find_subcommand("init").unwrap();
        let help = init.get_arguments().find(|it| it.get_id() == "provider").unwrap().get_help().unwrap().to_string();
        for provider in all {
            assert!(help.split([' ', ',']).any(|word| word == provider.word), "{} is not in {help}", provider.word);
            let asks = [!provider.issuer.is_empty(), provider.asks_endpoints, provider.token_endpoint.is_some()];
            assert_eq!(asks.iter().filter(|asks| **asks).count(), 1, "{}", provider.word);
            let steps = provider.steps.join(" ");
            assert!(steps.contains("{redirect_uri}"), "{}", provider.word);
            assert_eq!(steps.contains("{signed_out}"), provider.signed_out.is_none(), "{}", provider.word);
        }
    }
}
