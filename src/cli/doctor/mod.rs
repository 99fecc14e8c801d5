//! `vestibule doctor`: looks at a running deployment from outside, as a browser and as an attacker would.
//!
//! What `check` sees in a file says nothing about the proxy in front, the certificate that browsers get, or a port of the
//! application that is open to everybody. This asks for one page and follows the sign-in up to the provider's own page; it signs
//! nobody in and changes nothing.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use url::Url;

use self::faults::{Fault, Findings};
use self::visitor::{Answer, NoAnswer, Visitor};
use super::{Exit, Format, say};
use crate::request::host::is_loopback;

mod around;
mod faults;
mod sign_in;
mod visitor;

/// What is looked at.
#[derive(Args, Clone, Debug)]
pub struct DoctorArguments {
    /// A page that asks for a sign-in, as people type it
    #[arg(value_parser = web_url)]
    pub url: Url,
    /// The application's own address, which nobody but the gateway should reach
    #[arg(long, value_name = "URL", value_parser = web_url)]
    pub upstream: Option<Url>,
    /// A page that needs no sign-in and shows the request headers that the application got
    #[arg(long, value_name = "PATH")]
    pub echo: Option<String>,
    /// Where the endpoints of the gateway are: `server.prefix`
    #[arg(long, default_value = "/_vestibule")]
    pub prefix: String,
    /// The provider to sign in at, where there are several
    #[arg(long, value_name = "NAME")]
    pub provider: Option<String>,
    /// Connect there instead of to the URL's host: before its name leads to the deployment
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub connect: Option<SocketAddr>,
    /// A PEM file of roots that are trusted besides those of this machine
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// How findings are written
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub format: Format,
}

fn web_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("{error}; write https://wiki.example.com/"))?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        _ => Err("write an http:// or https:// URL".to_owned()),
    }
}

/// Looks, and prints what was found.
pub(super) fn doctor(arguments: &DoctorArguments) -> Exit {
    let tls = match visitor::tls(arguments.ca.as_deref()) {
        Ok(tls) => tls,
        Err(why) => return Exit::usage(why),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Exit::internal(format!("nothing can be looked at: {error}")),
    };
    let examination = Examination {
        arguments,
        deployment: Visitor::new(tls.clone(), arguments.connect),
        elsewhere: Visitor::new(tls, None),
        findings: Findings::default(),
    };
    let found = runtime.block_on(examination.made());
    // A look-up that hangs in the resolver must not keep the command from ending.
    runtime.shutdown_background();
    match found {
        Ok(findings) => told(arguments, &findings),
        Err(why) => Exit::unavailable(format!("nobody answers at {}: {}", arguments.url, why.cause())),
    }
}

fn told(arguments: &DoctorArguments, findings: &Findings) -> Exit {
    let exit = if findings.fails() { Exit::Config } else { Exit::Ok };
    match arguments.format {
        Format::Human => findings.say(),
        Format::Json => {
            let answer = json!({ "url": arguments.url.as_str(), "ok": exit == Exit::Ok, "exit": exit.code(), "findings": findings.to_json() });
            say(&format!("{answer:#}\n"));
        }
    }
    exit
}

/// One look at a deployment.
struct Examination<'a> {
    arguments: &'a DoctorArguments,
    /// Visits the deployment.
    deployment: Visitor,
    /// Visits the provider, and the application around the gateway.
    elsewhere: Visitor,
    findings: Findings,
}

impl Examination<'_> {
    async fn made(mut self) -> Result<Findings, NoAnswer> {
        let page = match self.deployment.opens(&self.arguments.url, &[]).await {
            Ok(page) => page,
            Err(nobody @ NoAnswer::Nobody(_)) => return Err(nobody),
            Err(why) => {
                self.findings.wrong(
                    "https",
                    Fault::Certificate,
                    format!("browsers refuse the connection: {}", why.cause()),
                );
                return Ok(self.findings);
            }
        };
        self.look_at_https(&page);
        if let Some((asked, leads)) = self.find_sign_in(&page).await {
            let answer = self.deployment.opens(&asked, &[]).await?;
            self.look_at_request(&leads, &answer);
            self.look_at_cookies(&answer);
            self.visit_provider(&leads).await;
            self.try_other_host(&asked, &answer, &leads).await;
            self.try_large_cookies(&asked, &answer).await;
        }
        self.try_forged_headers(&page).await;
        self.go_around().await;
        Ok(self.findings)
    }

    fn look_at_https(&mut self, page: &Answer) {
        let url = &self.arguments.url;
        if url.scheme() != "https" {
            if url.host().is_some_and(|host| is_loopback(&host)) {
                self.findings.good("https", "not needed on loopback");
            } else {
                let message = "the page is served without encryption: whoever is on the way reads sessions and pages";
                self.findings.wrong("https", Fault::NotHttps, message);
            }
            return;
        }
        self.findings.good("https", "the certificate is accepted");
        match page.headers.get("strict-transport-security").and_then(|value| value.to_str().ok()) {
            Some(value) => self.findings.good("hsts", value.escape_default().to_string()),
            None => self.findings.wrong(
                "hsts",
                Fault::NoHsts,
                "browsers may be led to http: there is no Strict-Transport-Security",
            ),
        }
    }
}
