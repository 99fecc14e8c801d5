//! The program itself: its commands, signals, exit codes, and what it tells a service manager.

use std::fs;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::harness::gateway::key;
use crate::harness::idp::{CLIENT_ID, CLIENT_SECRET};
use crate::harness::program::{HOST, clock_of_today};
use crate::harness::{Browser, Program, Raw, RecordingUpstream, SlowUpstream, TestIdp};

#[tokio::test(flavor = "multi_thread")]
async fn a_good_reload_is_taken_a_bad_one_is_refused_and_nothing_is_lost() {
    // AT-CL-12
    let mut program = Program::running(&config("static:204")).await;
    let address = program.address().await;
    let enough = CancellationToken::new();
    let traffic = tokio::spawn({
        let enough = enough.clone();
        async move {
            let mut seen = Vec::new();
            while !enough.is_cancelled() {
                let request = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
                let status = Raw::once(address, request).await.status;
                if seen.last() != Some(&status) {
                    seen.push(status);
                }
            }
            seen
        }
    });
    assert_eq!(program.status("/").await, 204);
    program.configure(&config("static:202"));
    program.signals("HUP");
    program.wrote("\"event\":\"config.reloaded\",\"outcome\"").await;
    program.wrote("the new configuration is in force").await;
    assert_eq!(program.status("/").await, 202);

    program.configure(&config("static:201").replace("upstream =", "upstraem ="));
    program.signals("HUP");
    let told = program.wrote("the new configuration is not taken").await;
    assert!(told.contains("VB-0") && told.contains("upstraem") && told.contains("vestibule.toml:"), "{told}");
    let audited = program.wrote("\"event\":\"config.rejected\",\"outcome\":\"failure\"").await;
    assert!(audited.contains("\"detail\":\"VB-0"), "{audited}");
    assert_eq!(program.status("/").await, 202, "the old configuration goes on");
    let metrics = program.admin_text("/metrics").await;
    assert!(metrics.contains("\nvestibule_config_last_reload_successful 0\n"), "{metrics}");
    assert!(program.admin_text("/readyz").await == "ok\n");

    // What no reload can change is reported, not ignored.
    program.configure(&config("static:202").replace("[server]", "[server]\nworkers = 9"));
    program.signals("HUP");
    let told = program.wrote("restart_needed").await;
    assert!(told.contains("\"key\":\"server.workers\""), "{told}");

    enough.cancel();
    assert_eq!(traffic.await.unwrap(), [204, 202], "every request had an answer of one configuration or the other");
    program.signals("TERM");
    assert_eq!(program.exit().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_what_the_first_one_waits_for() {
    let upstream = SlowUpstream::start().await;
    let mut program = Program::running(&config(&upstream.url())).await;
    let mut busy = Raw::connect(program.address().await).await;
    busy.send(format!("GET /slow HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await;
    upstream.wait_for(1).await;
    program.signals("TERM");
    program.wrote("\"event\":\"stopping\"").await;
    program.signals("INT");
    assert_eq!(program.exit().await, 0);
    assert!(busy.is_closed().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_the_answer_of_the_running_gateway_and_not_of_its_file() {
    let upstream = SlowUpstream::start().await;
    let mut program = Program::running(&config(&upstream.url())).await;
    let admin = format!("admin.listen={}", program.admin().await);
    let health = |more: &[&str]| {
        let arguments = [&["health", "-c", "vestibule.toml", "--set", &admin], more].concat();
        tokio::task::block_in_place(|| Program::ended(&arguments, &program.folder))
    };
    assert_eq!(health(&[]), (0, "ok\n".to_owned(), String::new()));
    let (exit, said, _) = health(&["--ready"]);
    assert!(exit == 0 && said.contains("[+]listeners ok\n"), "{said}");
    // Somebody edits the file: the gateway lives all the same.
    program.configure("[server\nlisten");
    assert_eq!(health(&[]).0, 0);
    // A gateway that drains lives, and is not ready.
    let mut busy = Raw::connect(program.address().await).await;
    busy.send(format!("GET /slow HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await;
    upstream.wait_for(1).await;
    program.signals("TERM");
    program.wrote("\"event\":\"stopping\"").await;
    assert_eq!(health(&[]).0, 0);
    let (exit, _, errors) = health(&["--ready"]);
    assert!(exit == 1 && errors.contains("503") && errors.contains("[-]drain failed"), "{exit} {errors}");
    program.signals("TERM");
    program.exit().await;

    let folder = TempDir::new().unwrap();
    let (exit, _, errors) = Program::ended(&["health", "--set", &admin], &folder);
    assert!(exit == 1 && errors.contains("does not answer at 127.0.0.1:"), "{exit} {errors}");
    let (exit, _, errors) = Program::ended(&["health", "--set", "admin.listen=[]"], &folder);
    assert!(exit == 1 && errors.contains("`admin.listen` is empty"), "{exit} {errors}");
}

#[test]
fn exit_codes_tell_a_service_manager_what_to_do() {
    let folder = TempDir::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("server.listen={}", taken.local_addr().unwrap());
    fs::write(folder.path().join("good.toml"), config("static:204")).unwrap();
    fs::write(folder.path().join("bad.toml"), "[server]\nlisten = 1\n").unwrap();
    for (arguments, exit, told) in [
        (&["run", "-c", "good.toml", "--set", &listen] as &[&str], 73, "cannot listen on 127.0.0.1:"),
        (&["run", "-c", "good.toml", "--set", "server.listen=systemd:http"], 73, "handed in: none"),
        (&["run", "-c", "bad.toml"], 78, "server.listen"),
        (&["run", "-c", "absent.toml"], 78, "cannot be read"),
        (&["run", "-c", "good.toml", "--set", "log.access=/nowhere/at/all"], 78, "log"),
        (&["run", "--nonsense"], 64, "--nonsense"),
        (&["check", "-c", "good.toml", "--set", "provider.idp.issuer=http://127.0.0.1:9"], 69, ""),
    ] {
        let (code, _, errors) = Program::ended(arguments, &folder);
        assert_eq!(code, exit, "{arguments:?}: {errors}");
        assert!(errors.contains(told), "{arguments:?}: {errors}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_asks_the_provider_its_keys_its_clock_and_the_application() {
    // DI-09
    let (idp, upstream) = (TestIdp::start().await, RecordingUpstream::start().await);
    registered(&idp, "callback", "signed-out");
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("vestibule.toml");
    fs::write(&file, config_for(&idp, &upstream.url())).unwrap();
    let (exit, said, errors) = checked(&folder, &["check"]).await;
    assert_eq!(exit, 0, "{said}{errors}");
    assert!(!said.contains("warn "), "{said}");
    for part in
        ["ok   provider idp: discovery document", "key set has 1 usable", "clock is", "PKCE S256", "can be reached"]
    {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    assert!(said.contains(&format!("redirect URI to register at the provider: https://{HOST}/_vestibule/callback")));
    assert_eq!(idp.token_requests("authorization_code").len(), 1, "with a code that nobody gave out");

    // Two hours wrong, and the application away.
    let date = ("date".to_owned(), "Thu, 01 Jan 2026 00:00:00 GMT".to_owned());
    idp.break_with(|faults| faults.discovery.headers.push(date));
    let away = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    fs::write(&file, config_for(&idp, &format!("http://{away}"))).unwrap();
    let (exit, said, _) = checked(&folder, &["check", "--format", "json"]).await;
    assert_eq!(exit, 69);
    let report: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&report["ok"], &report["exit"]), (&Value::from(false), &Value::from(69)));
    let verdict = |code: &str| {
        let probes = report["probes"].as_array().unwrap();
        let found = probes.iter().find(|probe| probe["code"] == code);
        found.unwrap_or_else(|| panic!("no {code} in {report:#}"))["verdict"].as_str().unwrap().to_owned()
    };
    assert_eq!(verdict("configuration"), "ok");
    assert_eq!(verdict("discovery"), "ok");
    assert_eq!(verdict("clock_offset"), "fail");
    assert_eq!(verdict("upstream"), "fail");
    assert_eq!(report["redirect_uris"][0], format!("https://{HOST}/_vestibule/callback"));
    // Offline, none of that matters.
    idp.forget_seen();
    assert_eq!(checked(&folder, &["check", "--offline"]).await.0, 0);
    assert!(idp.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn check_finds_each_registration_that_keeps_everybody_out() {
    let upstream = RecordingUpstream::start().await;
    let good = ("callback", "signed-out");
    for (at, setting, code, words) in [
        (good, "", "", vec![]),
        (("other", "signed-out"), "", "authorization_endpoint", vec!["redirect URI", "is not registered"]),
        (good, "client_id = 'nobody'", "authorization_endpoint", vec!["nobody", "unknown or disabled"]),
        (good, "client_secret = 'wrong'", "token_endpoint", vec!["client_secret"]),
        (("callback", "other"), "", "end_session_endpoint", vec!["/_vestibule/signed-out", "is not registered"]),
    ] {
        let idp = TestIdp::start().await;
        registered(&idp, at.0, at.1);
        let folder = TempDir::new().unwrap();
        let config = config_for(&idp, &upstream.url());
        let key = setting.split(' ').next().unwrap();
        let config: Vec<&str> = config.lines().filter(|line| key.is_empty() || !line.starts_with(key)).collect();
        let config = config.join("\n").replace("[provider.idp]", &format!("[provider.idp]\n{setting}"));
        fs::write(folder.path().join("vestibule.toml"), config).unwrap();
        let (exit, said, errors) = checked(&folder, &["check", "--format", "json"]).await;
        assert_eq!(exit, if code.is_empty() { 0 } else { 69 }, "{setting}: {said}{errors}");
        let report: Value = serde_json::from_str(&said).unwrap();
        let failed: Vec<&Value> =
            report["probes"].as_array().unwrap().iter().filter(|probe| probe["verdict"] == "fail").collect();
        assert!(failed.is_empty() == code.is_empty(), "{failed:?}");
        for word in words {
            let told = failed.iter().find(|probe| probe["code"] == code).map(|probe| probe["message"].to_string());
            assert!(told.as_ref().is_some_and(|told| told.contains(word)), "{word} in {failed:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_prints_one_url_and_somebody_signs_in_there() {
    let mut command = Program::command();
    command.arg("demo");
    let mut program = Program::started(command, TempDir::new().unwrap());
    let line = program.said("Open http://").await;
    let url = line.strip_prefix("Open ").unwrap();
    let page = Browser::new(clock_of_today()).signs_in(url, "Ada").await;
    assert_eq!((page.status, page.url.as_str()), (200, url), "{}", page.text());
    assert!(page.text().contains("Ada Lovelace") || page.text().contains("ada"), "{}", page.text());
    program.signals("TERM");
    assert_eq!(program.exit().await, 0);
    assert_eq!(program.says(), [line], "nothing else on standard output");
}

#[test]
fn a_new_key_is_a_session_key() {
    let folder = TempDir::new().unwrap();
    let (exit, first, errors) = Program::ended(&["keys", "new"], &folder);
    assert_eq!((exit, errors.as_str()), (0, ""));
    let (_, second, _) = Program::ended(&["keys", "new"], &folder);
    assert_ne!(first, second);
    // As it stands, with its line's end.
    fs::write(folder.path().join("key"), &first).unwrap();
    let text = config("static:204").replace(&format!("'{}'", key(1)), "{ file = 'key' }");
    fs::write(folder.path().join("vestibule.toml"), &text).unwrap();
    let (exit, said, errors) = Program::ended(&["check", "--offline"], &folder);
    assert_eq!(exit, 0, "{said}{errors}");
    assert!(!said.contains(first.trim()) && !errors.contains(first.trim()));
}

#[test]
fn codes_of_pages_and_of_the_configuration_are_explained() {
    let folder = TempDir::new().unwrap();
    for (code, written) in [("VB-1002", "VB-1002"), ("VB-0001", "VB-0001"), ("VB0001", "VB-0001")] {
        let (exit, said, _) = Program::ended(&["explain", code], &folder);
        assert_eq!(exit, 0);
        assert!(said.starts_with(written) && said.len() > 100, "{said}");
    }
    let (exit, said, errors) = Program::ended(&["explain", "VB-9999"], &folder);
    assert_eq!((exit, said.as_str()), (64, ""));
    assert!(errors.contains("VB-9999"), "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_manager_hands_sockets_in_and_is_told_how_it_goes() {
    let folder = TempDir::new().unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let notices = UnixDatagram::bind(folder.path().join("notify")).unwrap();
    notices.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    fs::write(folder.path().join("vestibule.toml"), config("static:204")).unwrap();
    // The socket is there before the program: this waits in the kernel's queue.
    let mut early = Raw::connect(address).await;
    early.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await;

    // sd_listen_fds(3): sockets from descriptor 3 on, for the very process that is named.
    let script = "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=http exec \"$0\" run --set server.listen=systemd:http";
    let mut command = Command::new("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_vestibule")]);
    command.stdin(OwnedFd::from(socket)).env("NOTIFY_SOCKET", folder.path().join("notify"));
    let mut program = Program::started(command, folder);
    assert_eq!(early.answer("GET").await.status, 204);
    assert_eq!(program.address().await, address);

    let ready = noticed(&notices, "READY=1");
    assert!(ready.contains("STATUS=1 route, provider idp "), "{ready}");
    program.signals("HUP");
    assert!(noticed(&notices, "RELOADING=1").contains("MONOTONIC_USEC="), "in the same message");
    noticed(&notices, "READY=1");
    program.configure("[server]\nlitsen = 1");
    program.signals("HUP");
    let ready = noticed(&notices, "READY=1");
    assert!(ready.contains(", reload refused: VB-0"), "{ready}");
    drop(early);
    program.signals("TERM");
    noticed(&notices, "STOPPING=1");
    assert_eq!(program.exit().await, 0);
}

/// The next message that says this; others (a second STOPPING, say) may come before.
fn noticed(notices: &UnixDatagram, wanted: &str) -> String {
    let mut buffer = [0; 4096];
    loop {
        let count = notices.recv(&mut buffer).unwrap_or_else(|error| panic!("no {wanted}: {error}"));
        let message = String::from_utf8_lossy(&buffer[..count]).into_owned();
        if message.lines().any(|line| line == wanted) {
            return message;
        }
    }
}

/// Runs a command to its end while the provider goes on answering.
async fn checked(folder: &TempDir, arguments: &[&str]) -> (i32, String, String) {
    tokio::task::block_in_place(|| Program::ended(arguments, folder))
}

/// Tells the provider where sign-ins and sign-outs come back to.
fn registered(idp: &TestIdp, callback: &str, signed_out: &str) {
    let own = |end: &str| format!("https://{HOST}/_vestibule/{end}");
    idp.allow_return_to(CLIENT_ID, &own(callback), &own(signed_out));
}

/// One public route.
pub(crate) fn config(upstream: &str) -> String {
    BASE.replace("KEY", &key(1))
        .replace("ISSUER", "http://127.0.0.1:9")
        .replace("CLIENT", CLIENT_ID)
        .replace("SECRET", CLIENT_SECRET)
        .replace("UPSTREAM", upstream)
}

fn config_for(idp: &TestIdp, upstream: &str) -> String {
    config(upstream).replace("http://127.0.0.1:9", idp.issuer())
}

const BASE: &str = "
[server]
listen = '127.0.0.1:0'
public_url = 'https://wiki.example.com'

[server.drain]
grace = '1h'

[admin]
listen = '127.0.0.1:0'

[session]
keys = ['KEY']

[provider.idp]
issuer = 'ISSUER'
client_id = 'CLIENT'
client_secret = 'SECRET'

[route.app]
upstream = 'UPSTREAM'
access = 'public'
";
