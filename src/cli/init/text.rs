//! The configuration file that `init` writes.

use super::answers::{Answers, Endpoints};

/// The whole file, with a comment for whatever somebody may want to change.
pub(super) fn configuration(answers: &Answers) -> String {
    let provider = &answers.provider;
    let (word, title) = (&provider.word, &provider.title);
    let (public_url, upstream, client_id) =
        (quoted(&answers.public_url), quoted(&answers.upstream), quoted(&answers.client_id));
    let (endpoints, subject) = match &answers.endpoints {
        Endpoints::Issuer(issuer) => (format!("issuer = {}\n", quoted(issuer)), String::new()),
        Endpoints::OAuth2 { authorization, token, userinfo, subject } => {
            let userinfo = userinfo.as_ref().map(|url| format!("userinfo_endpoint = {}\n", quoted(url)));
            (
                format!(
                    "authorization_endpoint = {}\ntoken_endpoint = {}\n{}",
                    quoted(authorization),
                    quoted(token),
                    userinfo.unwrap_or_default()
                ),
                format!("# What names a person for ever.\nsubject = {}\n", quoted(subject)),
            )
        }
    };
    let [lines, claims, allow] = [&provider.lines, &provider.claims, &provider.allow].map(|text| text.trim_start());
    let proxies = proxies(&answers.public_url);
    let secret = if answers.credentials { "credential" } else { "file" };
    format!(
        r#"# vestibule in front of an application; people sign in at {title}.
# `vestibule check` says what is wrong with this file, `vestibule run` serves. Every other key: config.example.toml.

[server]
# Where to listen. A proxy in front that ends TLS connects here; to serve https here, see [server.tls] in config.example.toml.
listen = "127.0.0.1:4180"
# What people type.
public_url = {public_url}
{proxies}
[provider.{word}]
{endpoints}client_id = {client_id}
# The file holds the secret of the client and nothing else.
client_secret = {{ {secret} = "client_secret" }}
{lines}
[provider.{word}.claims]
{subject}{claims}
[session]
# The first seals, all open; `vestibule keys rotate` puts a new one first.
keys = [{{ {secret} = "session_key" }}]
# How long somebody stays signed in at most, and without doing anything.
#lifetime = "12h"
#idle_timeout = "1h"

[route.app]
upstream = {upstream}
# Who may pass: everybody who can sign in, unless this says more. A list is any-of, several keys are all-of.
#allow.groups = ["staff"]
#allow.domains = ["example.com"]
{allow}
# Parts of the application with rules of their own.
[route.app.paths]
#"/admin" = {{ allow.groups = ["admins"], max_age = "15m" }}
#"/assets" = {{ access = "public" }}
"#
    )
}

/// Over https, somebody in front ends TLS: on this machine, unless it is said otherwise.
fn proxies(public_url: &str) -> &'static str {
    if public_url.starts_with("https:") {
        "# The proxy in front that ends TLS: what it says of the client's address and scheme is believed.\ntrusted_proxies = [\"127.0.0.1\", \"::1\"]\n"
    } else {
        "# A proxy in front: what it says of the client's address and scheme is believed.\n#trusted_proxies = [\"127.0.0.1\"]\n"
    }
}

/// A text as TOML writes it, whatever is in it.
fn quoted(text: &str) -> String {
    toml_edit::Value::from(text).to_string()
}
