//! Logs that other programs take: a syslog daemon over TCP, UDP and a local socket, also one that comes late.

use std::io::{BufReader, Read};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::Scene;

#[tokio::test(flavor = "multi_thread")]
async fn a_syslog_daemon_gets_each_request_and_each_event_as_a_message() {
    let folder = TempDir::new().unwrap();
    let local = UnixDatagram::bind(folder.path().join("log")).unwrap();
    local.set_read_timeout(Some(LONGEST)).unwrap();
    let remote = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, path) = (remote.local_addr().unwrap().port(), folder.path().join("log"));
    let log = format!("[log]\naccess = 'syslog:tcp://127.0.0.1:{port}'\naudit = 'syslog:{}'", path.display());
    let Scene { idp: _idp, upstream: _upstream, gateway, .. } = Scene::built(|gateway| gateway.with(&log)).await;
    let browser = gateway.browser();
    browser.signs_in(&gateway.url("/page?a=b"), "Grace").await;

    let (daemon, _) = remote.accept().unwrap();
    daemon.set_read_timeout(Some(LONGEST)).unwrap();
    let mut daemon = BufReader::new(daemon);
    // Lines of different threads may stand in another order than they were made in.
    loop {
        let message = counted(&mut daemon);
        let (header, line) = message.split_once(" - {").unwrap();
        let words: Vec<&str> = header.split(' ').collect();
        // <PRI>1 TIMESTAMP HOSTNAME APP-NAME PROCID MSGID, facility daemon, severity informational
        assert_eq!((words.len(), words[0], words[3], words[5]), (6, "<30>1", "vestibule", "access"), "{message}");
        let line: Value = serde_json::from_str(&format!("{{{line}")).unwrap();
        if line["path"] == "/page?a=b" && line["status"] == 302 {
            break;
        }
    }

    let mut events = Vec::new();
    while events.len() < 3 {
        let mut message = [0; 4096];
        let length = local.recv(&mut message).unwrap();
        let message = String::from_utf8(message[..length].to_vec()).unwrap();
        // Facility authpriv, severity notice: nothing has failed.
        assert!(message.starts_with("<85>1 "), "{message}");
        events.push(message.split(' ').nth(5).unwrap().to_owned());
    }
    events.sort();
    assert_eq!(events, ["access.granted", "login.started", "login.succeeded"]);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_wait_for_a_daemon_that_is_away_and_no_request_does() {
    // A port that is free, and taken later.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let log = format!("[log]\naccess = 'syslog:tcp://127.0.0.1:{port}'\naccess_format = 'combined'");
    let Scene { idp: _idp, upstream: _upstream, gateway, .. } = Scene::built(|gateway| gateway.with(&log)).await;
    let browser = gateway.browser();
    for _ in 0..50 {
        browser.opens(&gateway.url("/page")).await;
    }
    let daemon = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let (taken, _) = daemon.accept().unwrap();
    taken.set_read_timeout(Some(LONGEST)).unwrap();
    let mut taken = BufReader::new(taken);
    for _ in 0..50 {
        let message = counted(&mut taken);
        assert!(message.contains("] \"GET /page HTTP/1.1\" 302 "), "{message}");
    }
    let lost = gateway.admin_text("/metrics").await;
    assert!(lost.contains("vestibule_log_lines_lost_total{log=\"access\"} 0"), "{lost}");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_datagram_holds_one_line_in_the_names_of_the_elastic_common_schema() {
    let daemon = UdpSocket::bind("127.0.0.1:0").unwrap();
    daemon.set_read_timeout(Some(LONGEST)).unwrap();
    let port = daemon.local_addr().unwrap().port();
    let log = format!("[log]\naudit = 'syslog:udp://127.0.0.1:{port}'\naudit_format = 'ecs'");
    let Scene { idp: _idp, upstream: _upstream, gateway, .. } = Scene::built(|gateway| gateway.with(&log)).await;
    gateway.browser().opens(&gateway.own("callback?code=c0de")).await;
    let mut message = [0; 4096];
    let length = daemon.recv(&mut message).unwrap();
    let message = String::from_utf8(message[..length].to_vec()).unwrap();
    // Severity warning: a sign-in has failed.
    assert!(message.starts_with("<84>1 "), "{message}");
    let line: Value = serde_json::from_str(message.split_once(" - ").unwrap().1).unwrap();
    assert_eq!((&line["event.action"], &line["event.outcome"]), (&"login.failed".into(), &"failure".into()), "{line}");
    assert_eq!((&line["event.reason"], &line["source.ip"]), (&"state_missing".into(), &"127.0.0.1".into()), "{line}");
    assert!(!message.contains("c0de"), "{message}");
    gateway.stop().await;
}

/// The next octet-counted message (RFC 6587 section 3.4.1).
fn counted(stream: &mut impl Read) -> String {
    let mut length = 0;
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        match byte {
            [b' '] => break,
            [digit] => length = length * 10 + usize::from(digit - b'0'),
        }
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message).unwrap();
    String::from_utf8(message).unwrap()
}

const LONGEST: Duration = Duration::from_secs(20);
