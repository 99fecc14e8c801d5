//! The answers: from flags, and on a terminal from whoever sits there.

use std::io::{BufRead, IsTerminal as _, Write};

use super::flags::InitArguments;
use super::providers::{KnownProvider, all};
use crate::cli::Exit;

/// Everything that the configuration needs to know.
#[derive(Debug)]
pub(super) struct Answers {
    pub(super) provider: KnownProvider,
    pub(super) endpoints: Endpoints,
    pub(super) client_id: String,
    pub(super) public_url: String,
    pub(super) upstream: String,
    /// Whether systemd hands the secrets over.
    pub(super) credentials: bool,
}

/// Where the provider is.
#[derive(Debug)]
pub(super) enum Endpoints {
    /// By discovery.
    Issuer(String),
    /// Each by itself.
    OAuth2 { authorization: String, token: String, userinfo: Option<String>, subject: String },
}

impl Answers {
    /// From the flags, and questions where there is a terminal.
    ///
    /// # Errors
    /// A usage error that names every flag that is missing.
    pub(super) fn gather(arguments: &InitArguments) -> Result<Self, Exit> {
        let (stdin, stderr) = (std::io::stdin(), std::io::stderr());
        if stdin.is_terminal() && stderr.is_terminal() {
            Self::answered(arguments, &mut Questions { asked: Some((stdin.lock(), stderr)), missing: Vec::new() })
        } else {
            let nobody: Option<(std::io::Empty, std::io::Sink)> = None;
            Self::answered(arguments, &mut Questions { asked: nobody, missing: Vec::new() })
        }
    }

    fn answered<I: BufRead, O: Write>(
        arguments: &InitArguments,
        questions: &mut Questions<I, O>,
    ) -> Result<Self, Exit> {
        let providers = all();
        let words: Vec<&str> = providers.iter().map(|it| it.word.as_str()).collect();
        let word = questions.ask(arguments.provider.as_ref(), "--provider", &words.join(", "), None);
        let provider = providers.iter().find(|it| it.word == word).cloned();
        if provider.is_none() && !word.is_empty() {
            return Err(Exit::usage(format!("--provider is one of {}", words.join(", "))));
        }
        let provider = provider.unwrap_or_default();
        let endpoints = endpoints(arguments, &provider, questions);
        let client_id =
            questions.ask(arguments.client_id.as_ref(), "--client-id", "the client ID at the provider", None);
        let public_url = questions.ask(
            arguments.public_url.as_ref(),
            "--public-url",
            "what people type, such as https://wiki.example.com",
            None,
        );
        let upstream = questions.ask(
            arguments.upstream.as_ref(),
            "--upstream",
            "where the application listens",
            Some("http://127.0.0.1:3000"),
        );
        if !questions.missing.is_empty() {
            return Err(Exit::usage(format!(
                "without a terminal to ask on, these are needed: {}",
                questions.missing.join(", ")
            )));
        }
        Ok(Self { provider, endpoints, client_id, public_url, upstream, credentials: arguments.credentials })
    }
}

fn endpoints<I: BufRead, O: Write>(
    arguments: &InitArguments,
    provider: &KnownProvider,
    questions: &mut Questions<I, O>,
) -> Endpoints {
    let known = |given: &Option<String>, known: &Option<String>| given.clone().or_else(|| known.clone());
    let authorization = known(&arguments.authorization_endpoint, &provider.authorization_endpoint);
    if !provider.asks_endpoints && authorization.is_none() {
        let default = provider.default_issuer.as_deref();
        // Nothing to be asked of nobody.
        let hint = if provider.word.is_empty() { "the issuer, for OpenID Connect" } else { &provider.issuer };
        return Endpoints::Issuer(questions.ask(arguments.issuer.as_ref(), "--issuer", hint, default));
    }
    let token = known(&arguments.token_endpoint, &provider.token_endpoint);
    let userinfo = known(&arguments.userinfo_endpoint, &provider.userinfo_endpoint);
    let subject = known(&arguments.subject, &provider.subject);
    let mut ask = |given: &Option<String>, flag, hint, default| questions.ask(given.as_ref(), flag, hint, default);
    Endpoints::OAuth2 {
        authorization: ask(&authorization, "--authorization-endpoint", "the URL that people are sent to", None),
        token: ask(&token, "--token-endpoint", "the URL of the token endpoint", None),
        userinfo: Some(ask(&userinfo, "--userinfo-endpoint", "the URL that says who somebody is, or none", None))
            .filter(|url| url != "none"),
        subject: ask(&subject, "--subject", "the member of its answer that names a person for ever", Some("sub")),
    }
}

/// Asks, where there is somebody to ask.
struct Questions<I, O> {
    asked: Option<(I, O)>,
    /// Flags without which nothing can be written.
    missing: Vec<&'static str>,
}

impl<I: BufRead, O: Write> Questions<I, O> {
    /// The flag's value; else the answer; else what holds for everybody.
    fn ask(&mut self, given: Option<&String>, flag: &'static str, hint: &str, default: Option<&str>) -> String {
        if let Some(given) = given {
            return given.clone();
        }
        let Some((input, output)) = &mut self.asked else {
            if default.is_none() {
                self.missing.push(flag);
            }
            return default.unwrap_or_default().to_owned();
        };
        loop {
            let shown = default.map(|default| format!(" [{default}]")).unwrap_or_default();
            let _ = write!(output, "{} ({hint}){shown}: ", flag.trim_start_matches('-').replace('-', " "));
            let _ = output.flush();
            let mut line = String::new();
            let is_over = input.read_line(&mut line).map_or(true, |length| length == 0);
            match (line.trim(), default) {
                ("", Some(default)) => return default.to_owned(),
                ("", None) if is_over => {
                    self.missing.push(flag);
                    return String::new();
                }
                ("", None) => {}
                (answer, _) => return answer.to_owned(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(flags: &InitArguments, typed: &str) -> (Result<Answers, Exit>, String) {
        let mut shown = Vec::new();
        let mut questions = Questions { asked: Some((typed.as_bytes(), &mut shown)), missing: Vec::new() };
        let answers = Answers::answered(flags, &mut questions);
        (answers, String::from_utf8(shown).unwrap())
    }

    #[test]
    fn what_no_flag_says_is_asked_for_and_nothing_else() {
        let flags = InitArguments { client_id: Some("wiki".to_owned()), ..InitArguments::default() };
        let (answers, shown) = answered(&flags, "google\n\n\nhttps://wiki.example.com\n\n");
        let answers = answers.unwrap();
        assert!(matches!(&answers.endpoints, Endpoints::Issuer(issuer) if issuer == "https://accounts.google.com"));
        assert_eq!((answers.client_id.as_str(), answers.upstream.as_str()), ("wiki", "http://127.0.0.1:3000"));
        assert!(shown.contains("provider (keycloak, entra") && !shown.contains("client id"), "{shown}");
        // Asked again where an answer is needed.
        assert_eq!(shown.matches("public url").count(), 2, "{shown}");
    }

    #[test]
    fn nonsense_and_the_end_of_the_input_are_usage_errors() {
        let none = InitArguments::default();
        assert_eq!(answered(&none, "nonsense\n").0.unwrap_err(), Exit::Usage);
        assert_eq!(answered(&none, "oauth2\nhttps://a/b\n").0.unwrap_err(), Exit::Usage);
    }
}
