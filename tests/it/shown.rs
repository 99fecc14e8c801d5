//! Commands that show a configuration, lay it out, or make something of it: `show`, `fmt`, `check --format`, `generate`.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;
use tempfile::TempDir;
use vestibule::config::{Config, Sources};

use crate::harness::Program;

#[test]
fn what_is_shown_with_the_defaults_means_the_same_but_for_secrets() {
    for path in configurations() {
        let (text, env, flags) = given(&path);
        let shown = said(&run(&["show", "--effective", "-c", path.to_str().unwrap()], &env, &flags));
        for (_, secret) in SECRETS {
            assert!(!shown.contains(secret), "{}", path.display());
        }
        let load = |text: &str, env: &[(String, String)], flags: &[(String, String)]| {
            let file = Some((path.display().to_string(), text.to_owned()));
            let base_dir = path.parent().unwrap().to_owned();
            let sources = Sources { file, env: env.to_vec(), flags: flags.to_vec(), base_dir, ..Sources::default() };
            let config =
                Config::load(&sources).unwrap_or_else(|report| panic!("{}:\n{text}\n{report}", path.display()));
            let Config { server, gateway, session, keys, providers, log, .. } = config;
            format!("{server:#?}{gateway:#?}{session:#?}{}{providers:#?}{log:#?}", keys.len())
        };
        assert_eq!(load(&revealed(&shown, &env), &[], &[]), load(&text, &env, &flags), "{}:\n{shown}", path.display());
    }
}

#[test]
fn each_value_is_shown_with_where_it_came_from_and_only_what_is_set_unless_asked() {
    let folder = folder_with(SMALLEST);
    let env = [("VESTIBULE__SERVER__WORKERS".to_owned(), "3".to_owned())];
    let flags = [("log.level".to_owned(), "debug".to_owned())];
    let file = folder.path().join("vestibule.toml");
    let file = file.to_str().unwrap();
    let shown = said(&run(&["show", "--origin", "-c", file], &env, &flags));
    for line in [
        "public_url = \"https://wiki.example.com\" # FILE:2",
        "workers = 3 # VESTIBULE__SERVER__WORKERS",
        "level = \"debug\" # --set log.level",
        "client_secret = \"<redacted len=20 sha256:",
        "keys = [\"<redacted len=44 sha256:",
    ] {
        assert!(shown.contains(&line.replace("FILE", file)), "{line}\n{shown}");
    }
    assert!(shown.contains(", variable CLIENT_SECRET"), "{shown}");
    assert!(!shown.contains("lifetime"), "a default: {shown}");
    let effective = said(&run(&["show", "--origin", "--effective", "-c", file], &env, &flags));
    assert!(effective.contains("lifetime = \"12h\" # default") && effective.contains("workers = 3 #"), "{effective}");
    let json = said(&run(&["show", "--format", "json", "--effective", "-c", file], &env, &flags));
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["server"]["workers"], &json["session"]["lifetime"]), (&3.into(), &"12h".into()));
    let origins = said(&run(&["show", "--format", "json", "--origin", "-c", file], &env, &flags));
    let origins: Vec<Value> = serde_json::from_str(&origins).unwrap();
    let of = |key: &str| origins.iter().find(|it| it["key"] == key).unwrap();
    assert_eq!(of("server.public_url")["place"]["line"], 2);
    assert_eq!(of("server.workers")["place"]["variable"], "VESTIBULE__SERVER__WORKERS");
    // What cannot be used is reported as everywhere.
    assert_eq!(run(&["show", "-c", "tests/config/invalid/empty.toml"], &[], &[]).status.code(), Some(78));
}

#[test]
fn a_file_is_laid_out_once_and_for_all_and_means_what_it_meant() {
    let mut files = vec![PathBuf::from("config.example.toml"), PathBuf::from("src/cli/demo.toml")];
    files.extend(below("tests/config").into_iter().filter(|path| path.extension().is_some_and(|it| it == "toml")));
    let mut compared = 0;
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        let Ok(before) = text.parse::<toml::Table>() else { continue };
        let folder = folder_with(&text);
        let (code, ..) = Program::ended(&["fmt", "vestibule.toml"], &folder);
        assert_eq!(code, 0, "{}", path.display());
        let new = fs::read_to_string(folder.path().join("vestibule.toml")).unwrap();
        assert_eq!(new.parse::<toml::Table>().unwrap(), before, "{}:\n{new}", path.display());
        assert_eq!(comments(&new), comments(&text), "{}", path.display());
        assert_eq!(Program::ended(&["fmt", "--check", "vestibule.toml"], &folder).0, 0, "{}:\n{new}", path.display());
        compared += 1;
    }
    assert!(compared > 100, "{compared}");
}

#[test]
fn a_file_that_is_only_looked_at_stays_as_it_is() {
    let untidy = "[server]\npublic_url=\"https://wiki.example.com\"\n";
    let folder = folder_with(untidy);
    let file = folder.path().join("vestibule.toml");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    // Without a name it is the file that `run` would take.
    let (code, _, told) = Program::ended(&["fmt", "--check"], &folder);
    assert!(code == 65 && told.contains("vestibule.toml"), "{code} {told}");
    assert_eq!(fs::read_to_string(&file).unwrap(), untidy);
    assert_eq!(Program::ended(&["fmt"], &folder).0, 0);
    assert_eq!(fs::read_to_string(&file).unwrap(), untidy.replace("url=", "url = "));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    fs::write(&file, "[server\n").unwrap();
    let (code, _, told) = Program::ended(&["fmt"], &folder);
    assert!(code == 65 && told.contains("VB-0001"), "{code} {told}");
}

#[test]
fn findings_are_commands_of_a_github_workflow() {
    let file = "tests/config/invalid/unknown_key_near.toml";
    let output = run(&["check", "--offline", "--format", "github", "-c", file], &[], &[]);
    assert_eq!(output.status.code(), Some(78));
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find(|line| line.starts_with("::error ")).unwrap();
    assert!(line.starts_with(&format!("::error file={file},line=2,col=1,title=VB-0002::")), "{line}");
    assert!(line.contains("%0Ahelp: did you mean"), "{line}");
    assert!(text.lines().all(|line| line.starts_with("::error ") || line.starts_with("::warning ")), "{text}");
    let good = folder_with(SMALLEST);
    let file = good.path().join("vestibule.toml");
    assert_eq!(said(&run(&["check", "--offline", "--format", "github", "-c", file.to_str().unwrap()], &[], &[])), "");
}

#[test]
fn findings_are_a_log_of_sarif() {
    let file = "tests/config/invalid/everything_at_once.toml";
    let output = run(&["check", "--offline", "--format", "sarif", "-c", file], &[], &[]);
    assert_eq!(output.status.code(), Some(78));
    let log: Value = serde_json::from_slice(&output.stdout).unwrap();
    let run = &log["runs"][0];
    let (rules, results) = (&run["tool"]["driver"]["rules"], run["results"].as_array().unwrap());
    assert!(results.len() > 5 && log["version"] == "2.1.0", "{log:#}");
    for result in results {
        let rule = &rules[usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap()];
        assert_eq!(rule["id"], result["ruleId"]);
        assert!(rule["help"]["text"].as_str().unwrap().contains("What to do: "), "{rule}");
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], file);
        let region = &place["region"];
        if let Some(end) = region["endColumn"].as_u64() {
            let begins = (region["startLine"].as_u64(), region["startColumn"].as_u64());
            assert!(begins < (region["endLine"].as_u64(), Some(end + 1)), "{result}");
        }
    }
}

#[test]
fn shells_complete_and_man_shows_each_command() {
    let commands = ["run", "check", "show", "fmt", "keys", "generate", "health", "explain", "demo"];
    for (shell, begins) in [("bash", "_vestibule()"), ("zsh", "#compdef vestibule"), ("fish", "# Print an optspec")] {
        let script = said(&run(&["generate", "completions", shell], &[], &[]));
        assert!(script.starts_with(begins) && commands.iter().all(|command| script.contains(command)), "{script}");
    }
    let folder = TempDir::new().unwrap();
    assert_eq!(Program::ended(&["generate", "man", "man/pages"], &folder).0, 0);
    let page = |name: &str| fs::read_to_string(folder.path().join("man/pages").join(name)).unwrap();
    assert!(page("vestibule.1").contains(".TH vestibule 1"));
    assert!(page("vestibule-check.1").contains("deny\\-warnings"));
    assert!(page("vestibule-keys-rotate.1").contains(".TH"));
    assert!(page("vestibule.toml.5").contains("public_url"));
}

#[test]
fn what_is_generated_for_a_cluster_is_the_users_own_configuration() {
    // Secrets that are files elsewhere do not matter here.
    let text = SMALLEST
        .replace("{ env = \"CLIENT_SECRET\" }", "{ file = \"/nowhere/corp_secret\" }")
        .replace("wiki.example.com\"", "docs.example.com\"\nlisten = \"127.0.0.1:8080\" # here")
        .replace("http://127.0.0.1:3000", "http://pages:5000");
    let folder = folder_with(&text);
    let (code, objects, told) = Program::ended(&["generate", "k8s"], &folder);
    assert_eq!(code, 0, "{told}");
    for part in [
        "    # Comments stay.\n",
        "    listen = \"0.0.0.0:8080\"",
        "    client_secret = { file = \"/run/secrets/vestibule/corp_secret\" }\n",
        "containerPort: 8080\n",
        "name: docs-vestibule\n",
        "--from-file=corp_secret=/nowhere/corp_secret",
        "              key: SESSION_KEY\n",
        "              app.kubernetes.io/name: pages\n",
        "        - port: 5000\n",
        "        - port: 8443\n",
    ] {
        assert!(objects.contains(part), "{part}\n{objects}");
    }
    assert!(
        !objects.contains("wiki-") && !objects.contains("port: 3000") && !objects.contains("port: 443\n"),
        "{objects}"
    );
    let (code, values, told) = Program::ended(&["generate", "helm-values"], &folder);
    assert_eq!(code, 0, "{told}");
    for part in [
        "existingSecret: docs-vestibule\n",
        "extraEnv:\n  - name: SESSION_KEY\n",
        "    - name: pages\n",
        "  # Comments stay.\n",
    ] {
        assert!(values.contains(part), "{part}\n{values}");
    }
    assert!(!values.contains("listen"), "the chart says where to listen: {values}");
    // Whoever uses no mounted Secret gets none.
    let (_, objects, _) = Program::ended(&["generate", "k8s"], &folder_with(SMALLEST));
    assert!(!objects.contains("vestibule-secrets") && objects.contains("key: CLIENT_SECRET\n"), "{objects}");
}

#[test]
fn what_is_generated_for_systemd_is_what_the_unit_does_not_say() {
    let text = SMALLEST
        .replace("{ env = \"CLIENT_SECRET\" }", "{ credential = \"client_secret\" }")
        .replace("{ env = \"SESSION_KEY\" }", "{ credential = \"new_key\" }")
        .replace("wiki.example.com\"", "wiki.example.com\"\nlisten = [\"0.0.0.0:443\", \"systemd:http\"]")
        + "[log]\naccess = \"/srv/logs/access.log\"\n";
    let (code, unit, told) = Program::ended(&["generate", "systemd"], &folder_with(&text));
    assert_eq!(code, 0, "{told}");
    for line in [
        "AmbientCapabilities=CAP_NET_BIND_SERVICE",
        "LoadCredential=new_key:/etc/vestibule/new_key",
        "ReadWritePaths=/srv/logs",
        "Requires=vestibule.socket",
        "ExecStart=",
    ] {
        assert!(unit.lines().any(|it| it == line), "{line}\n{unit}");
    }
    assert!(!unit.contains("client_secret"), "the unit loads it: {unit}");
}

#[test]
fn what_others_read_is_what_is_shipped() {
    for (what, file) in [
        ("schema", "deploy/schema/vestibule.schema.json"),
        ("dashboard", "deploy/grafana/vestibule.json"),
        ("alerts", "deploy/prometheus/rules.yaml"),
    ] {
        let printed = said(&run(&["generate", what], &[], &[]));
        if std::env::var_os("VESTIBULE_UPDATE_EXPECTED").is_some() {
            fs::write(file, &printed).unwrap();
        }
        assert_eq!(printed, fs::read_to_string(file).unwrap(), "run `vestibule generate {what} > {file}`");
    }
    assert!(
        fs::read_to_string("config.example.toml")
            .unwrap()
            .starts_with("#:schema deploy/schema/vestibule.schema.json\n")
    );
}

/// The configurations that are valid.
fn configurations() -> Vec<PathBuf> {
    below("tests/config/valid").into_iter().filter(|path| path.extension().is_some_and(|it| it == "toml")).collect()
}

/// The files of a folder and of those in it.
fn below(folder: &str) -> Vec<PathBuf> {
    let (mut found, mut open) = (Vec::new(), vec![PathBuf::from(folder)]);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { open.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

/// Pairs of a name and a value.
type Pairs = Vec<(String, String)>;

/// A file with the variables and flags that it says belong to it, and the secrets of all of them.
fn given(path: &Path) -> (String, Pairs, Pairs) {
    let text = fs::read_to_string(path).unwrap();
    let pairs = |what: &str| -> Pairs {
        let lines = text.lines().filter_map(|line| line.strip_prefix(what));
        lines.map(|line| line.split_once('=').unwrap()).map(|(a, b)| (a.to_owned(), b.to_owned())).collect()
    };
    let mut env: Pairs = SECRETS.map(|(name, secret)| (name.to_owned(), secret.to_owned())).to_vec();
    env.extend(pairs("# env: "));
    let flags = pairs("# flag: ");
    (text, env, flags)
}

/// Runs a command with these variables and flags.
fn run(arguments: &[&str], env: &[(String, String)], flags: &[(String, String)]) -> Output {
    let mut command = Program::command();
    command.args(arguments).envs(SECRETS).envs(env.iter().cloned());
    for (key, value) in flags {
        command.args(["--set", &format!("{key}={value}")]);
    }
    command.output().unwrap()
}

/// Standard output of what went well.
fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The text with each secret in the place of what was shown of it.
fn revealed(text: &str, secrets: &[(String, String)]) -> String {
    let mut parts = text.split("<redacted len=");
    let mut whole = parts.next().unwrap().to_owned();
    for part in parts {
        let (len, rest) = part.split_once(' ').unwrap();
        let (_, secret) = secrets.iter().find(|(_, secret)| secret.len().to_string() == len).unwrap();
        whole.push_str(secret);
        whole.push_str(rest.split_once('>').unwrap().1);
    }
    whole
}

/// Every comment, in order. No string of these files holds the sign.
fn comments(text: &str) -> BTreeSet<String> {
    text.lines()
        .filter_map(|line| line.trim_start().strip_prefix('#'))
        .map(|comment| comment.trim_end().to_owned())
        .collect()
}

/// A folder with this vestibule.toml.
fn folder_with(text: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("vestibule.toml"), text).unwrap();
    folder
}

const SECRETS: [(&str, &str); 3] = [
    ("CLIENT_SECRET", "s3cr3t-of-the-client"),
    ("SESSION_KEY", "9b1ZpHnK2mXr0qTt7wYc4uEj8sLd5vAg3fNo6iRkQxM="),
    ("OLD_SESSION_KEY", "f3a9c1d07be2846519ac3fd82e60b7451d98f0c2a7e34b6d5c8091fe62d7a4b3"),
];
const SMALLEST: &str = "[server]
public_url = \"https://wiki.example.com\"
trusted_proxies = [\"10.0.0.0/8\"]

# Comments stay.
[provider.corp]
issuer = \"https://login.example.com:8443/realms/corp\"
client_id = \"wiki\"
client_secret = { env = \"CLIENT_SECRET\" }

[session]
keys = [{ env = \"SESSION_KEY\" }]

[route.wiki]
upstream = \"http://127.0.0.1:3000\"
";
