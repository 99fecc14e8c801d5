//! Generated targets through routes that map paths, to programs as they are known to read: none finds the path of a stricter rule, or
//! one outside the base. These programs are written anew here, after what is known of each, and share nothing with the gateway's own
//! model of readings; `tests/real` asks real ones.

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use url::Url;

use crate::harness::{Gateway, RecordingUpstream};

/// How many targets each configuration gets.
const TARGETS: usize = 1500;

/// Whether a stranger may see a browser's path. Case does not count.
fn is_public(path: &str) -> bool {
    let path = path.to_lowercase();
    let below = |prefix: &str| path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    below("/wiki") && (!below("/wiki/admin") || below("/wiki/admin/open"))
}

const RULES: &str = "[route.app]\npath = '/wiki'\nstrip_prefix = '/wiki'\naccess = 'public'\n\
    [route.app.paths]\n'/wiki/admin' = { access = 'deny' }\n'/wiki/admin/open' = { access = 'public' }\n\
    [route.rest]\nupstream = 'static:204'\naccess = 'public'";

fn decoded(text: &str) -> String {
    let (bytes, mut out, mut at) = (text.as_bytes(), Vec::new(), 0);
    while at < bytes.len() {
        let escape = text.get(at + 1..at + 3).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match escape.filter(|_| bytes[at] == b'%') {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Dot segments resolved; empty segments merged, or kept.
fn resolved(path: &str, merges: bool) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            "" if merges => {}
            segment => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

fn each_segment(path: &str, read: impl Fn(&str) -> String) -> String {
    path.split('/').map(read).collect::<Vec<_>>().join("/")
}

fn cut(text: &str, at: char) -> &str {
    text.split(at).next().unwrap()
}

/// What programs make of a request target.
fn readings(target: &str) -> Vec<(&'static str, String)> {
    let path = cut(target, '?');
    let once = decoded(path);
    let whatwg = Url::parse("http://own.example").unwrap().join(target);
    let whatwg = whatwg.map_or_else(|_| path.to_owned(), |url| url.path().to_owned());
    let whole = decoded(target);
    vec![
        ("as it was sent", path.to_owned()),
        ("resolved", resolved(path, false)),
        ("nginx", resolved(&once, true)),
        ("nginx with merge_slashes off", resolved(&once, false)),
        ("a decoder that cuts afterwards", resolved(cut(cut(&once, '?'), '#'), true)),
        ("twice decoded", resolved(&decoded(&once), true)),
        ("three times decoded", resolved(&decoded(&decoded(&once)), true)),
        ("WHATWG URL", whatwg.clone()),
        ("WHATWG URL, decoded", resolved(&decoded(&whatwg), true)),
        ("backslashes", resolved(&once.replace('\\', "/"), true)),
        ("backslashes, undecoded", resolved(&path.replace('\\', "/"), true)),
        ("a servlet container", resolved(&each_segment(path, |segment| decoded(cut(segment, ';'))), true)),
        ("parameters after decoding", resolved(&each_segment(&once, |segment| cut(segment, ';').to_owned()), true)),
        ("Apache Shiro", resolved(cut(&once, ';'), true)),
        ("path.join of the whole target", cut(&resolved(target, true), '?').to_owned()),
        ("path.join of the decoded target", cut(&resolved(&whole, true), '?').to_owned()),
        (
            "a program that trims",
            resolved(&each_segment(&once.replace('+', " "), |segment| segment.trim().to_owned()), true),
        ),
        ("Windows names", resolved(&each_segment(&once, windows_name), true)),
        ("a C string", resolved(cut(&once, '\0'), true)),
    ]
}

fn windows_name(segment: &str) -> String {
    if matches!(segment, "." | "..") { segment.to_owned() } else { segment.trim_end_matches([' ', '.']).to_owned() }
}

/// Targets that want to get somewhere, from within the route or from without.
fn targets() -> impl Strategy<Value = String> {
    let starts = ["/wiki", "/wiki", "/wiki/x", "/wiki/admin/open", "", "/%77iki", "/wiki;a", "/x/../wiki"];
    let separators =
        ["/", "/", "/", "//", "%2f", "%252F", "\\", "%5c", "/./", "/;/", "/%2e/", "/\\", "/x/../", "/.//", ";/"];
    let steps = [
        "..",
        "..",
        "%2e%2e",
        ".%2E",
        "%252e%252e",
        "..;",
        "..;x=1",
        "..%3b",
        "..%20",
        "..+",
        "x",
        "admin",
        "Admin",
        "open",
        "%61dmin",
        "ad%256din",
        "x%3f",
        "x?",
        "?",
        "http:",
        "http://x",
        "x@h",
        "..%23",
        "..%00",
        "...",
        "base",
        "wiki",
        "",
        "admin.",
        "admin%20",
        "\u{ff0e}\u{ff0e}",
    ];
    let step = (prop::sample::select(separators.to_vec()), prop::sample::select(steps.to_vec()));
    let step = step.prop_map(|(separator, step)| format!("{separator}{step}"));
    let goals = ["/admin", "/admin/x", "", "/", "/admin/open/../x", "/y", "%2fadmin", "\\admin", "/admin%3f", "/ADMIN"];
    (prop::sample::select(starts.to_vec()), prop::collection::vec(step, 0..4), prop::sample::select(goals.to_vec()))
        .prop_map(|(start, steps, goal)| format!("{start}{}{goal}", steps.concat()))
        .prop_filter("a target starts with a slash", |target| target.starts_with('/'))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_generated_target_passes_a_rule_by_being_read_as_another_or_leaves_the_base() {
    for base in ["", "/base", "/base/deep"] {
        let upstream = RecordingUpstream::start().await;
        let url = format!("[route.app]\nupstream = '{}{base}'", upstream.url());
        let gateway = Gateway::in_front_of(&upstream).with(RULES).with(&url).start().await;
        let host = gateway.authority();
        let (mut runner, strategy) = (TestRunner::deterministic(), targets());
        let (mut raw, mut without_us) = (gateway.raw().await, 0);
        for _ in 0..TARGETS {
            let target = strategy.new_tree(&mut runner).unwrap().current();
            raw.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
            if !matches!(raw.any_answer("GET").await, Some(answer) if answer.header("connection") != Some("close")) {
                raw = gateway.raw().await;
            }
            // What a gateway would send on that only takes the prefix off.
            let naive = target.strip_prefix("/wiki").filter(|rest| rest.starts_with('/'));
            without_us += usize::from(naive.is_some_and(|rest| fault(base, &format!("{base}{rest}")).is_some()));
        }
        let seen = upstream.seen();
        for request in &seen {
            let sent = request.head.split(' ').nth(1).unwrap();
            assert_eq!(fault(base, sent), None, "{sent:?}");
        }
        // Otherwise nothing was tried.
        assert!(
            seen.len() >= 100 && without_us >= 100,
            "{base}: {} let through, {without_us} would do harm",
            seen.len()
        );
    }
}

/// Which program reads what it must not read in a target, and which path.
fn fault(base: &str, sent: &str) -> Option<(&'static str, String)> {
    // A framework that mounts its application at the base reads the rest alone.
    let alone = sent.strip_prefix(base).filter(|rest| rest.starts_with('/'));
    let alone = readings(alone.unwrap_or("/")).into_iter().map(|(who, read)| (who, format!("{base}{read}")));
    readings(sent).into_iter().chain(alone).find(|(_, read)| {
        let rest = read.strip_prefix(base).filter(|rest| rest.is_empty() || rest.starts_with('/'));
        !rest.is_some_and(|rest| is_public(&format!("/wiki{rest}")))
    })
}

#[test]
fn the_readers_of_this_test_find_what_a_naive_gateway_lets_through() {
    for (base, sent) in [
        ("", "/..%2fadmin"),
        ("", "//x/admin"),
        ("", "/x%3f/../../admin"),
        ("/base", "/base/..%2fother"),
        ("/base", "/base/..%2fbasement"),
        ("/base", "/base//x/admin"),
        ("/base", "/base?/../../x"),
    ] {
        assert!(fault(base, sent).is_some(), "{sent}");
    }
    for (base, sent) in [("", "/x"), ("/base", "/base"), ("/base", "/base/a%2Fb"), ("", "/admin/open/x")] {
        assert_eq!(fault(base, sent), None);
    }
}
