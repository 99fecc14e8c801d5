//! Compares what the program and its documentation promise with what there is: each command, key, metric, field, event, endpoint,
//! set of headers and reason that a text names is looked for in the program, and what the program has in the documentation.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser as _;

use super::CommandLine;
use crate::codes;
use crate::config::every_key;
use crate::gateway::codes::Problem;
use crate::proxy::settings::IdentityHeaderSettings;
use crate::telemetry;

#[test]
fn each_thing_that_a_codes_text_names_is_there() {
    let known = Known::gather();
    let mut wrong = Vec::new();
    for (code, text) in codes::all() {
        for span in spans(text).filter(|span| !known.has(span)) {
            wrong.push(format!("{code}: `{span}`"));
        }
        for word in plain_names(text).filter(|word| code < "VB-1000" && !known.has(word)) {
            wrong.push(format!("{code}: {word}"));
        }
    }
    assert!(wrong.is_empty(), "not in the program (protocol words stand in PROTOCOL):\n{}", wrong.join("\n"));
    // Not everything is known.
    for made_up in [
        "vestibule doctor",
        "vestibule explain",
        "vestibule check --fast",
        "route.NAME.rule",
        "provider.NAME.nonsense",
        "[route.NAME.nonsense]",
        "nonsense = true",
        "vestibule_nonsense_total",
        "no_such_reason",
        "/_vestibule/nonsense",
    ] {
        assert!(!known.has(made_up), "{made_up}");
    }
}

#[test]
fn a_text_that_promises_a_line_of_a_log_names_the_log_and_the_field() {
    let mut wrong = Vec::new();
    for (code, text) in codes::all() {
        let text = text.replace('\n', " ");
        for sentence in text.split_inclusive(". ").filter(|sentence| !is_about_another_log(sentence)) {
            let promises: Vec<&str> = ["access log", "audit log", "process log"]
                .into_iter()
                .filter(|log| sentence.contains(log) && !sentence.contains("look at the access log"))
                .collect();
            let vague = ["the log", "log line", "logs say"].iter().any(|vague| sentence.to_lowercase().contains(vague));
            if vague && promises.is_empty() {
                wrong.push(format!("{code}: which log? {sentence}"));
            }
            for log in promises {
                let fields = fields_of(log);
                if !spans(sentence).any(|span| fields.contains(span)) {
                    wrong.push(format!("{code}: which field of the {log}? {sentence}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

// What can stand on a page or in a log as a reason, wherever it is made, can be explained.
#[test]
fn every_reason_is_explained() {
    let mut unknown = Vec::new();
    for (path, text) in sources().into_iter().filter(|(path, _)| !STARTING.iter().any(|start| path.ends_with(start))) {
        for body in text.split("fn code(").skip(1).chain(text.split("fn meaning(&self)").skip(1)) {
            let body = body.split("\n    }\n").next().unwrap_or_default();
            for reason in quoted(body).filter(|it| is_name(it) && codes::explain(it).is_none()) {
                unknown.push(format!("{}: {reason}", path.display()));
            }
        }
        for call in ["Internal(\"", "internal(\"", "PANICKED: &str = \"", "EMAIL_UNVERIFIED: &str = \""] {
            for rest in text.split(call).skip(1) {
                let reason = rest.split('"').next().unwrap_or_default();
                if codes::explain(reason).is_none() {
                    unknown.push(format!("{}: {reason}", path.display()));
                }
            }
        }
    }
    assert!(unknown.is_empty(), "not under \"Reasons\" in codes/codes.md:\n{}", unknown.join("\n"));
    let listed = Problem::ALL.iter().flat_map(|code| codes::reasons(code.number())).collect::<BTreeSet<_>>();
    let all: String = sources().into_iter().map(|(_, text)| text).collect();
    let gone: Vec<_> = listed.into_iter().filter(|reason| !all.contains(&format!("\"{reason}\""))).collect();
    assert!(gone.is_empty(), "no longer in the program: {gone:?}");
}

#[test]
fn the_documentation_names_every_set_of_headers_with_its_headers() {
    let reference = document("deploy/REFERENCE.md");
    for name in IdentityHeaderSettings::names() {
        let set = IdentityHeaderSettings::named(name).unwrap();
        let row = reference.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
        let row = row.unwrap_or_else(|| panic!("no row for {name}"));
        let shown: BTreeSet<String> =
            spans(row).filter(|span| span.len() > 2 && *span != name).map(|span| span.to_ascii_lowercase()).collect();
        let sent: BTreeSet<String> = set.headers.iter().map(|(header, _)| header.as_str().to_owned()).collect();
        assert_eq!(shown, sent, "{name}");
        let has_groups =
            row.contains("groups`") || row.contains("Groups`") || row.contains("GROUPS`") || row.contains("Roles`");
        if has_groups {
            let separator = set.separator.replace('|', "\\|");
            assert!(row.ends_with(&format!("| `{separator}` |")), "{row}");
        }
    }
}

#[test]
fn the_documentation_names_every_metric_and_no_other() {
    let reference = document("deploy/REFERENCE.md");
    let known = metrics();
    let named: Vec<&str> = spans(&reference).filter(|span| is_metric(span)).collect();
    let is_form_of = |named: &str, metric: &str| named.strip_prefix(metric).is_some_and(|end| FORMS.contains(&end));
    for metric in &known {
        assert!(named.iter().any(|named| is_form_of(named, metric)), "{metric} is not in deploy/REFERENCE.md");
    }
    for named in named {
        assert!(known.iter().any(|metric| is_form_of(named, metric)), "{named} is no metric");
    }
    let telemetry: String =
        sources().into_iter().filter(|(path, _)| path.starts_with("telemetry")).map(|it| it.1).collect();
    for row in reference.lines().filter(|line| line.starts_with("| `vestibule_") || line.starts_with("| `http_")) {
        for label in spans(row.split(" | ").nth(1).unwrap()) {
            assert!(telemetry.contains(&format!("\"{label}\"")), "{label} is no label: {row}");
        }
    }
}

#[test]
fn the_documentation_names_every_field_and_event_of_the_logs_and_no_other() {
    let reference = document("deploy/REFERENCE.md");
    let part = |from: &str, to: &str| reference.split_once(from).unwrap().1.split_once(to).unwrap().0.to_owned();
    for (log, from, to) in [("access log", "Access log,", "Audit log,"), ("audit log", "Audit log,", "Events:")] {
        let part = part(from, to);
        let rows = part.lines().filter(|line| line.starts_with("| `"));
        let shown: BTreeSet<String> = rows
            .flat_map(|row| spans(row.split(" | ").next().unwrap()).map(str::to_owned).collect::<Vec<_>>())
            .collect();
        assert_eq!(shown, fields_of(log), "{log}");
    }
    let shown: BTreeSet<String> = spans(&part("Events:", "Process log:")).map(str::to_owned).collect();
    assert_eq!(shown, events());
}

#[test]
fn no_page_names_what_is_not_there() {
    let known = Known::gather();
    let mut wrong = Vec::new();
    let pages = pages();
    assert!(pages.len() >= 10, "{pages:?}");
    for name in &pages {
        let text = document(name);
        let looks_like_ours = |span: &&str| {
            span.starts_with("vestibule ")
                || span.starts_with("/_vestibule")
                || span.starts_with("VB-")
                || is_metric(span)
                || is_dotted_key(span)
        };
        wrong.extend(
            spans(&text).filter(looks_like_ours).filter(|it| !known.has(it)).map(|it| format!("{name}: `{it}`")),
        );
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if !leads_somewhere(name, link) {
                wrong.push(format!("{name}: there is no {link}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let readme = document("README.md");
    for said in ["/_vestibule/login?rd=", "/_vestibule/logout", "/_vestibule/session", "deploy/REFERENCE.md"] {
        assert!(readme.contains(said), "README.md does not name {said}");
    }
}

#[test]
fn the_threat_model_names_every_key_that_weakens() {
    let page = document("deploy/HARDENING.md");
    let named: BTreeSet<&str> = spans(&page).collect();
    let keys = every_key();
    let weakening = keys.iter().filter(|key| key.rsplit('.').next().is_some_and(|last| last.starts_with("insecure")));
    let missing: Vec<_> = weakening.filter(|key| !named.contains(key.as_str())).collect();
    assert!(missing.is_empty(), "not in deploy/HARDENING.md: {missing:?}");
}

/// Whether a link of a page names a file that is there, and a heading of it where it names one.
fn leads_somewhere(page: &str, link: &str) -> bool {
    if link.contains(':') {
        return true;
    }
    let (file, heading) = link.split_once('#').unwrap_or((link, ""));
    let page = Path::new(page);
    let target = if file.is_empty() { page.to_owned() } else { page.parent().unwrap().join(file) };
    if !Path::new(env!("CARGO_MANIFEST_DIR")).join(&target).exists() {
        return false;
    }
    let anchor = |line: &str| -> String {
        let kept = line.trim_start_matches('#').trim().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    };
    heading.is_empty()
        || document(&target.to_string_lossy()).lines().any(|line| line.starts_with('#') && anchor(line) == heading)
}

/// README.md and the pages of `deploy/`, by their paths in the tree.
fn pages() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut found, mut open) = (vec!["README.md".to_owned()], vec![root.join("deploy")]);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|ext| ext == "md") {
                found.push(path.strip_prefix(root).unwrap().to_string_lossy().into_owned());
            }
        }
    }
    found
}

/// What the program has.
struct Known {
    keys: BTreeSet<String>,
    metrics: BTreeSet<String>,
    fields: BTreeSet<String>,
    reasons: BTreeSet<&'static str>,
    events: BTreeSet<String>,
    endpoints: BTreeSet<String>,
}

impl Known {
    fn gather() -> Self {
        let fields = ["access log", "audit log", "process log"].into_iter().flat_map(fields_of).collect();
        let reasons = Problem::ALL.iter().flat_map(|code| codes::reasons(code.number())).collect();
        let (_, endpoints) = sources().into_iter().find(|(path, _)| path.ends_with("gateway/endpoints.rs")).unwrap();
        let endpoints = endpoints.lines().filter_map(|line| line.trim().strip_prefix("(\"")?.split('"').next());
        let endpoints = endpoints.map(str::to_owned).collect();
        Self {
            keys: every_key().into_iter().collect(),
            metrics: metrics(),
            fields,
            reasons,
            events: events(),
            endpoints,
        }
    }

    fn has(&self, span: &str) -> bool {
        let span = &span.trim().replace(".corp", ".NAME");
        let span = span.split('{').next().filter(|metric| is_metric(metric)).unwrap_or(span);
        if span.starts_with("vestibule ") {
            return is_command(span);
        }
        if let Some(path) = span.strip_prefix("/_vestibule") {
            return path.is_empty() || self.is_endpoint(path.trim_start_matches('/'));
        }
        if let Some(table) = span.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
            return self.is_table(table);
        }
        if let Some(variable) = span.strip_prefix("VESTIBULE__") {
            return self.is_key(&variable.to_lowercase().replace("__", ".").replace(".corp.", ".NAME."));
        }
        if let Some((key, _)) = span.split_once(" = ") {
            return self.is_key(key) || PROTOCOL.contains(&key);
        }
        let label = span.split_once("=\"").map(|(label, _)| label);
        self.is_key(span)
            || self.is_table(span)
            || FORMS.iter().any(|form| span.strip_suffix(form).is_some_and(|metric| self.metrics.contains(metric)))
            || label == Some("vestibule_peer")
            || self.fields.contains(span)
            || self.reasons.contains(span)
            || self.events.contains(span)
            || codes::explain(span).is_some()
            || (span.contains('?') && self.is_endpoint(span))
            || PROTOCOL.contains(&span)
    }

    fn is_endpoint(&self, path: &str) -> bool {
        let name = path.split(['?', '/']).next().unwrap_or_default();
        self.endpoints.contains(name)
    }

    fn is_key(&self, key: &str) -> bool {
        self.keys.iter().any(|known| {
            // Entries of `paths` take what a route takes.
            known.strip_suffix(key).is_some_and(|above| above.is_empty() || above.ends_with('.'))
        })
    }

    fn is_table(&self, table: &str) -> bool {
        let inner = format!("{table}.");
        self.keys.iter().any(|known| known.starts_with(&inner) || known.contains(&format!(".{inner}")))
    }
}

fn is_command(span: &str) -> bool {
    let command = span.split(['>', '|', '#']).next().unwrap_or_default();
    let words = command.split_whitespace().map(|word| word.trim_matches(['[', ']']));
    CommandLine::try_parse_from(words.map(|word| if word == "…" { "x" } else { word })).is_ok_and(|_| true)
        || ["vestibule --version", "vestibule --help"].contains(&span)
}

fn is_metric(span: &str) -> bool {
    ["vestibule_", "http_server_", "http_client_", "process_"].iter().any(|start| span.starts_with(start))
        && !["vestibule_peer"].contains(&span)
}

fn is_dotted_key(span: &str) -> bool {
    let first = span.trim_start_matches('[').split(['.', ' ']).next().unwrap_or_default();
    span.contains('.') && ["server", "admin", "log", "session", "provider", "route", "pages"].contains(&first)
}

/// Names in a text without backticks: keys with dots, and words that only a program writes.
fn plain_names(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| c.is_whitespace() || "\"`,;:()[]{}=/".contains(c));
    let words = words.map(|word| word.trim_matches('.')).filter(|word| !word.ends_with('…'));
    words.filter(|word| {
        let is_file = [".toml", ".pem", ".log", ".rs"].iter().any(|end| word.ends_with(end));
        !is_file
            && (is_dotted_key(word)
                || (word.contains('_') && is_name(word))
                || (word.starts_with("VESTIBULE__") && word.len() > "VESTIBULE__".len()))
    })
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// Logs that are not ours.
fn is_about_another_log(sentence: &str) -> bool {
    ["own log", "sign-in log", "application's log"].iter().any(|other| sentence.contains(other))
}

fn fields_of(log: &str) -> BTreeSet<String> {
    match log {
        "access log" => telemetry::access::tests::fields().into_iter().collect(),
        "audit log" => telemetry::audit::tests::fields().into_iter().collect(),
        _ => process_fields(),
    }
}

/// The fields of events at the levels that are written unless somebody asks for more.
fn process_fields() -> BTreeSet<String> {
    let mut fields: BTreeSet<String> = ["ts", "level", "target", "message"].map(str::to_owned).into();
    for (_, text) in sources() {
        for level in ["tracing::error!(", "tracing::warn!(", "tracing::info!("] {
            for event in text.split(level).skip(1) {
                let named = event.split_once('"').map_or("", |(before, _)| before);
                let until = event.find(");").unwrap_or(event.len());
                let all = event.get(..until).unwrap_or(event);
                let pairs = all.split(',').filter_map(|part| part.split_once(" = ").map(|(name, _)| name.trim()));
                let short = named.split(',').map(|part| part.trim().trim_start_matches(['%', '?']));
                fields.extend(pairs.chain(short).filter(|name| is_name(name)).map(str::to_owned));
            }
        }
    }
    fields
}

fn metrics() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (_, text) in sources().into_iter().filter(|(path, _)| path.starts_with("telemetry")) {
        for call in ["add(", "put(", "write(", "register("] {
            let first = |rest: &str| rest.trim_start().strip_prefix('"')?.split('"').next().map(str::to_owned);
            names.extend(text.split(call).skip(1).filter_map(first).filter(|name| is_metric(name)));
        }
    }
    assert!(names.len() > 20 && names.contains("vestibule_build"), "{names:?}");
    names
}

/// The names of the audit log's events.
fn events() -> BTreeSet<String> {
    let (_, audit) = sources().into_iter().find(|(path, _)| path.ends_with("telemetry/audit.rs")).unwrap();
    let is_event = |it: &&str| it.contains('.') && it.bytes().all(|b| b.is_ascii_lowercase() || b"._".contains(&b));
    let arms = audit.split("=> ").skip(1).filter_map(|arm| quoted(arm.lines().next()?).find(is_event));
    arms.map(str::to_owned).collect()
}

fn spans(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2).filter(|span| !span.trim().is_empty() && !span.contains('\n'))
}

fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('"').skip(1).step_by(2)
}

fn document(name: &str) -> String {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
    // Blocks of code hold backticks of their own.
    text.split("```").step_by(2).collect()
}

/// The program without its tests, by path below `src`.
fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut found, mut open) = (Vec::new(), vec![root.clone()]);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|ext| ext == "rs") && !path.ends_with("cli/documentation_tests.rs") {
                let text = fs::read_to_string(&path).unwrap();
                let tests =
                    ["mod tests {", "pub(crate) mod tests {"].map(|tests| text.find(&format!("#[cfg(test)]\n{tests}")));
                let end = tests.into_iter().flatten().min().unwrap_or(text.len());
                let text = text.split_at(end).0.to_owned();
                found.push((path.strip_prefix(&root).unwrap().to_owned(), text));
            }
        }
    }
    found
}

/// Errors of the start, which stand on no page.
const STARTING: [&str; 3] = ["proxy/tls.rs", "server/listener.rs", "server/tls.rs"];
/// How OpenMetrics ends the name of a metric.
const FORMS: [&str; 3] = ["", "_total", "_info"];

/// Words of specifications, of providers, of other programs and of examples, which only they can make wrong.
#[rustfmt::skip]
const PROTOCOL: &[&str] = &[
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "\"none\"",
    "\"api\"", "127.0.0.1", "LimitNOFILE=", "Link", "Set-Cookie", "ulimit -n", "CONNECT", "Date", "Destination", "Host", "Max-Forwards", "Retry-After", "Secure", "TRACE", "Via",
    "access_token", "active: true", "at_hash", "aud", "azp", "chronyc tracking", "claims_locales", "client_secret_basic",
    "client_secret_post", "display", "error=access_denied", "error=server_error", "error=temporarily_unavailable", "exp", "h2c",
    "http", "https", "iat", "id_token", "iss", "login_hint", "login_url", "nonce", "profile", "prompt", "prompt=none", "rd",
    "realm_access", "require_pushed_authorization_requests", "require_signed_request_object", "preferred_username", "response_type", "state", "sub", "tid", "timedatectl status", "token_type", "ui_locales",
    "userinfo_encrypted_response_alg", "userinfo_signed_response_alg",
];
