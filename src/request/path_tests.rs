//! What is a path, and the readings that each trick of a path has.

use proptest::prelude::*;

use super::*;

fn path(text: &str) -> CanonicalPath {
    CanonicalPath::new(&text.parse().unwrap()).unwrap()
}

fn error(text: &str) -> PathError {
    CanonicalPath::new(&text.parse().unwrap()).unwrap_err()
}

/// Every reading, and whether these are all.
fn readings_of(path: &CanonicalPath) -> (Vec<String>, bool) {
    let mut readings = Vec::new();
    let complete = path.holds_for_every_reading(|reading| {
        readings.push(reading.to_owned());
        true
    });
    (readings, complete)
}

fn readings(text: &str) -> Vec<String> {
    let (readings, complete) = readings_of(&path(text));
    assert!(complete, "{text}: {} readings, and more", readings.len());
    readings
}

#[test]
fn plain_paths_are_borrowed_and_not_ambiguous() {
    for text in
        ["/", "/admin", "/admin/", "/a/b.c/..d/.well-known/", "/a,b:c@d!$&'()*+=~", "/é", "/c++/x", "/http", "/a:b"]
    {
        let path = path(text);
        assert_eq!((path.as_str(), path.is_ambiguous(), path.decoded.is_none()), (text, false, true), "{text}");
        assert_eq!(readings(text), [text]);
    }
}

#[test]
fn what_needs_its_escapes_is_not_ambiguous() {
    for (sent, read) in [("/caf%C3%A9%20x", "/café x"), ("/%5Bid%5D/%7Ba%7C%7D", "/[id]/{a|}"), ("/%d0%b9", "/й")] {
        let path = path(sent);
        assert_eq!((path.as_str(), path.raw(), path.is_ambiguous()), (read, sent, false), "{sent}");
    }
}

#[test]
fn rules_see_every_escape_decoded_once() {
    // PX-41, AT-PM-05
    for (sent, read) in [
        ("/%61dmin", "/admin"),
        ("/%252e%252e/admin", "/%2e%2e/admin"),
        ("/public/100%25", "/public/100%"),
        ("/%E9t%E9", "/%E9t%E9"),
        ("/%e9", "/%E9"),
        ("/a%2fb%2Fc", "/a%2Fb%2Fc"),
    ] {
        let path = path(sent);
        assert_eq!((path.as_str(), path.raw(), path.is_ambiguous()), (read, sent, true), "{sent}");
        assert!(readings(sent).contains(&read.to_owned()), "{sent}");
    }
}

#[test]
fn query_and_fragment_are_no_part_of_the_path() {
    let path = path("/admin?.png/x;%zz"); // AT-PM-08
    assert_eq!((path.as_str(), path.query(), path.is_ambiguous()), ("/admin", Some(".png/x;%zz"), false));
    assert!(path.holds_past_the_query(|_| false));
    assert_eq!(
        "/admin#/public".parse::<PathAndQuery>().map(|t| CanonicalPath::new(&t).unwrap().raw().to_owned()).unwrap(),
        "/admin"
    );
}

#[test]
fn what_nobody_honest_sends_is_refused() {
    assert_eq!(error("/%00"), PathError::ControlCharacter);
    assert_eq!(error("/a%0d%0aSet-Cookie:x"), PathError::ControlCharacter); // AT-SM-20
    assert_eq!(error("/a%7fb"), PathError::ControlCharacter);
    assert_eq!(error("/100%"), PathError::BrokenEscape);
    assert_eq!(error("/%u002e"), PathError::BrokenEscape);
    assert_eq!(error("/%2"), PathError::BrokenEscape);
    assert_eq!(error("/%c0%ae%c0%ae/admin"), PathError::Overlong);
    assert_eq!(error("/%e0%80%af"), PathError::Overlong);
    assert_eq!(error("*"), PathError::NotAbsolute); // AT-PM-12
}

/// Tricks, and where they lead in some reading.
const TRICKS: &[(&str, &str)] = &[
    // AT-PM-02, AT-PM-03, AT-PM-09, and the rest of their class
    ("//admin", "/admin"),
    ("///admin", "/admin"),
    ("/public//../admin", "/admin"),
    ("/public/../admin", "/admin"),
    ("/public/./../admin", "/admin"),
    ("/public/%2e%2e/admin", "/admin"),
    ("/public/.%2E/admin", "/admin"),
    ("/public%2f..%2fadmin", "/admin"),
    ("/public%2F%2e%2e%2Fadmin", "/admin"),
    ("/public/..%2fadmin", "/admin"),
    ("/public/..%5cadmin", "/admin"),
    ("/public/%2e%2e%5cadmin", "/admin"),
    ("/public%5c..%5cadmin", "/admin"),
    ("/admin%5c", "/admin/"),
    ("/public/..;/admin", "/admin"),
    ("/public/..;x=1/admin", "/admin"),
    ("/public/..%3b/admin", "/admin"),
    ("/public/;/../admin", "/admin"),
    ("/admin;x", "/admin"),
    ("/admin;x/secret", "/admin/secret"),
    ("/admin;/../public/x", "/admin"),
    ("/;/admin", "/admin"),
    ("/./admin", "/admin"),
    ("/../admin", "/admin"),
    ("/public/../../../admin", "/admin"),
    ("/oauth/callback/../admin", "/oauth/admin"),
    ("//oauth/callback", "/oauth/callback"),
    ("/oauth/callback%2fx", "/oauth/callback/x"),
    ("/public//..//admin", "/public//admin"),
    ("/admin/..", "/"),
    // The path ends somewhere else.
    ("/admin%3fx", "/admin"),
    ("/admin%23/public", "/admin"),
    ("/public/..%2fadmin%3F", "/admin"),
    ("/admin/assets/..%23", "/admin/"),
    ("/admin/assets/..%3f", "/admin/"),
    ("/admin/assets/x/../..%23", "/admin/"),
    ("/admin/assets/..%3bx%23", "/admin/"),
    ("/admin%2500.css", "/admin"),
    // An authority.
    ("//x/admin", "/admin"),
    ("//u@h:80/admin/y", "/admin/y"),
    ("/%2fx/admin", "/admin"),
    ("/%5cx/admin", "/admin"),
    ("/%5c%5cx%5cadmin", "/admin"),
    ("///x/admin", "/admin"),
    ("////x/admin", "/admin"),
    ("/.//x/admin", "/admin"),
    ("/public/..//x/admin", "/admin"),
    ("//x%3f/admin", "/admin"),
    ("/%252fx/admin", "/admin"),
    ("/api//x/admin", "/api/admin"),
    ("/http://x/admin", "/admin"),
    ("/HTTPS:/x/admin", "/admin"),
    ("/http:x/admin", "/admin"),
    ("/http:admin", "/admin"),
    ("/https%3a%2f%2fx/admin", "/admin"),
    // Decoded again.
    ("/%61dmin", "/%61dmin"),
    ("/%2561dmin", "/admin"),
    ("/%252e%252e/admin", "/admin"),
    ("/public/%25252e%25252e/admin", "/admin"),
    ("/public/..%252fadmin", "/admin"),
    ("/public/..%255cadmin", "/admin"),
    ("/public/..%253b/admin", "/admin"),
    ("/public/%25u002e%25u002e/admin", "/admin"),
    ("/public/%25c0%25ae%25c0%25ae/admin", "/admin"),
    ("/public/.%2509./admin", "/admin"),
    ("/ad%250amin", "/admin"),
    // Blanks and endings.
    ("/public/..%20/admin", "/admin"),
    ("/public/%20../admin", "/admin"),
    ("/public/..+/admin", "/admin"),
    ("/public/..%2509/admin", "/admin"),
    ("/public/..%c2%a0/admin", "/admin"),
    ("/admin%20", "/admin"),
    ("/admin.", "/admin"),
    ("/admin./x", "/admin/x"),
    ("/admin...%20/x", "/admin/x"),
    ("/admin::$INDEX_ALLOCATION/x", "/admin/x"),
    ("/admin:$i30:$INDEX_ALLOCATION", "/admin"),
    // Other letters.
    ("/public/%ef%bc%8e%ef%bc%8e/admin", "/admin"),
    ("/public/%e2%80%a5/admin", "/admin"),
    ("/public%ef%bc%8fx", "/public/x"),
    ("/%ef%bd%81dmin", "/admin"),
    ("/%E9t%E9", "/été"),
];

#[test]
fn every_trick_has_a_reading_that_shows_where_it_leads() {
    for (trick, target) in TRICKS {
        assert!(path(trick).is_ambiguous(), "{trick}");
        let readings = readings(trick);
        assert!(readings.iter().any(|r| r == target), "{trick}: {readings:?}");
        assert!(readings.len() > 1, "{trick}: {readings:?}");
    }
}

#[test]
fn raw_backslashes_are_slashes_in_some_reading() {
    // AT-PM-03; the http crate takes them or not
    for trick in ["/public/..\\admin", "/public\\..\\admin", "/\\x/admin", "/\\x\\admin", "/\\/x/admin"] {
        if let Ok(target) = trick.parse::<PathAndQuery>() {
            assert!(readings_of(&CanonicalPath::new(&target).unwrap()).0.iter().any(|r| r == "/admin"), "{trick}");
        }
        let mut found = false;
        readings::all(trick.as_bytes(), |reading| {
            found |= reading == "/admin";
            true
        });
        assert!(found, "{trick}");
    }
}

#[test]
fn dots_in_a_query_may_lead_out_of_it() {
    let past = |target: &str| {
        let mut readings = Vec::new();
        let complete = path(target).holds_past_the_query(|reading| {
            readings.push(reading.to_owned());
            true
        });
        assert!(complete, "{target}");
        readings
    };
    for target in [
        "/public?/../admin",
        "/public?x=/../admin",
        "/public?x=/..\\admin",
        "/public?x/y/../../admin",
        "/public?%2f%2e%2e%2fadmin",
        "/public?x=/%252e%252e/admin",
        "/public?x//y/../../admin",
        "/public?/..;/admin",
        "/public?/..+/admin",
        "/public?/..%23/admin",
        "/x/../public?/../admin",
    ] {
        assert!(path(target).query_climbs, "{target}");
        let past = past(target);
        let leads = |reading: &String| reading.starts_with("/admin") || reading == "/";
        assert!(past.iter().any(leads), "{target}: {past:?}");
    }
    for target in [
        "/public?file=../x",
        "/public?a..b",
        "/public?next=/a/../b",
        "/public?next=https%3A%2F%2Fx%2Fa%2Fb%2F..%2F..%2Fc",
        "/public?token=a..b.c.d",
        "/public?rd=https%3A%2F%2Fx%3Fy%3D%252Fz%25252F",
    ] {
        assert!(!path(target).query_climbs && past(target).is_empty(), "{target}");
    }
}

#[test]
fn whatever_is_sent_is_judged_in_bounded_time() {
    // AT-PM-20
    assert_eq!(error(&format!("/{}", "%2e%2e%2f%5c//;".repeat(2000))), PathError::TooLong);
    for (target, is_complete) in [
        (format!("/{}", "%2e%2e%2f%5c//;".repeat(200)), false),
        (format!("/{}", ".%2e/%2f\\;%5c%3f".repeat(20)), false),
        (format!("/%{}41", "25".repeat(200)), false),
        (format!("/x%2f{}", "y".repeat(2000)), true),
        (format!("/{}", "%61".repeat(1000)), true),
        (format!("/%{}41", "25".repeat(20)), true),
    ] {
        let (readings, complete) = readings_of(&path(&target));
        assert_eq!(complete, is_complete, "{target}: {}", readings.len());
        assert!(readings.len() <= 129 && readings.iter().map(String::len).sum::<usize>() <= 64 * 1024);
    }
    assert!(!path(&format!("/{}", "segment/".repeat(2000))).is_ambiguous());
    let far = format!("/x?%{}2e%2e/..", "25".repeat(4000));
    assert!(!path(&far).holds_past_the_query(|_| true));
}

#[test]
fn folding_costs_nothing_without_upper_case() {
    assert_eq!(folded(path("/Admin").as_str()), "/admin"); // AT-PM-06
    assert_eq!(folded(path("/%41dmin").as_str()), "/admin");
    assert_eq!(folded("/\u{17f}ec\u{212a}ÉT"), "/seckét");
    assert!(matches!(folded(path("/admin").as_str()), Cow::Borrowed("/admin")));
}

/// What one reader does, written once more and without any regard to speed.
fn reads(step: usize, text: &str) -> String {
    let segments = |map: &dyn Fn(&str) -> String| text.split('/').map(map).collect::<Vec<_>>().join("/");
    let until = |end: char| text.split(end).next().unwrap().to_owned();
    match step {
        0 => decoded(text, true),
        1 => decoded(text, false),
        2 => text.replace('\\', "/"),
        3 => {
            let mut text = text.to_owned();
            while text.contains("//") {
                text = text.replace("//", "/");
            }
            text
        }
        4 => match text.find("//") {
            None => text.to_owned(),
            Some(at) => {
                let (before, rest) = text.split_at(at);
                let rest = rest.trim_start_matches('/');
                format!("{before}{}", rest.find('/').map_or("/", |at| &rest[at..]))
            }
        },
        5 => segments(&|segment| segment.split(';').next().unwrap().to_owned()),
        6 => until(';'),
        7 => until('?'),
        8 => until('#'),
        9 => until('\0'),
        10 => text.replace(['\t', '\r', '\n'], ""),
        11 => segments(&|segment| {
            let trimmed = segment.trim_matches([' ', '\t', '+']);
            if matches!(trimmed, "." | "..") { trimmed.to_owned() } else { segment.to_owned() }
        }),
        12 => segments(&|segment| {
            if matches!(segment, "." | "..") {
                segment.to_owned()
            } else {
                // No rule can name a control character, so a reader that trims fewer of them reaches nothing else.
                let name = segment.split_once(':').filter(|_| segment.contains(":$"));
                let name = name.map_or(segment, |(name, _)| name);
                name.trim_end_matches(|sign: char| sign == '.' || sign <= ' ').to_owned()
            }
        }),
        13 => text.replace(['\u{ff0e}', '\u{2024}'], ".").replace('\u{ff0f}', "/"),
        _ => resolved(text),
    }
}

fn decoded(text: &str, slashes: bool) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        match behind {
            [high, low, after @ ..] if byte == b'%' => match hex(*high, *low) {
                Some(value) if slashes || value != b'/' => {
                    bytes.push(value);
                    rest = after;
                }
                Some(_) => {
                    bytes.extend(b"%2F");
                    rest = after;
                }
                None => bytes.push(byte),
            },
            _ => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

fn resolved(text: &str) -> String {
    let segments: Vec<&str> = text.split('/').skip(1).collect();
    let mut kept = Vec::new();
    for (at, segment) in segments.iter().enumerate() {
        match *segment {
            "." | ".." => {
                if *segment == ".." {
                    kept.pop();
                }
                if at + 1 == segments.len() {
                    kept.push("");
                }
            }
            _ => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

/// Every character that some reader knows, escaped up to three times, and two that nobody minds.
fn any_path() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => Just("/".to_owned()),
        3 => Just(".".to_owned()),
        2 => Just("..".to_owned()),
        2 => "[ab]",
        2 => "[\\\\;+:$%#? ]".prop_map(|text| if text == "%" { "%25".to_owned() } else { text.replace([' ', '#', '?'], "%20") }),
        4 => ("(25){0,2}", "(2[0eEfF35]|3[bBfF]|5[cC]|61|ef%bc%8e|EF%BC%8F)").prop_map(|(again, code)| format!("%{again}{code}")),
        1 => "(25){1,2}(00|09|0a|0d)".prop_map(|code| format!("%{code}")),
    ];
    proptest::collection::vec(piece, 0..8).prop_map(|pieces| format!("/{}", pieces.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    // Differential (PX-41): whatever programs stand one behind the other, the path that the last of them sees is among the readings.
    #[test]
    fn whatever_readers_make_of_a_path_is_among_its_readings(
        sent in any_path(), steps in proptest::collection::vec(0_usize..15, 0..7),
    ) {
        let Ok(Ok(path)) = sent.parse().map(|target: PathAndQuery| CanonicalPath::new(&target)) else { return Ok(()) };
        let (readings, complete) = readings_of(&path);
        let Ok(mut theirs) = String::from_utf8(necessary(sent.as_bytes()).into_owned()) else { return Ok(()) };
        for step in steps {
            theirs = reads(step, &theirs);
            if !theirs.starts_with('/') {
                break;
            }
            prop_assert!(!complete || readings.contains(&theirs), "{}: {} is not among {:?}", sent, theirs, readings);
        }
        prop_assert!(readings.contains(&path.as_str().to_owned()) || !complete);
    }

    #[test]
    fn what_is_not_ambiguous_has_one_reading(sent in any_path(), step in 0_usize..15) {
        let Ok(Ok(path)) = sent.parse().map(|target: PathAndQuery| CanonicalPath::new(&target)) else { return Ok(()) };
        if !path.is_ambiguous() {
            prop_assert_eq!(readings_of(&path).0, [path.as_str()]);
            prop_assert_eq!(reads(step, path.as_str()), path.as_str());
        }
    }
}
