//! Tests of what is believed of proxies, and of what applications are told.

use http::HeaderMap;
use proptest::prelude::*;

use super::*;

fn trust() -> Trust {
    Trust { networks: vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()], unix: false }
}

fn map(fields: &[(&HeaderName, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn said(fields: &[(&HeaderName, &str)]) -> Result<Said, ForwardedError> {
    read(&map(fields), &trust())
}

fn hops(fields: &[(&HeaderName, &str)]) -> Vec<String> {
    said(fields).unwrap().hops.iter().map(|hop| hop.address.to_string()).collect()
}

type Node = (Option<String>, Option<u16>);

fn grammar(text: &str) -> Result<Vec<Node>, ForwardedError> {
    let elements = elements(&map(&[(&FORWARDED, text)]))?;
    Ok(elements.iter().map(|e| (e.hop.map(|h| h.address.to_string()), e.hop.and_then(|h| h.port))).collect())
}

#[test]
fn the_walk_ends_at_the_first_stranger_from_the_right() {
    // FW-06, AT-HS-13
    let lists = |text: &str| hops(&[(&X_FORWARDED_FOR, text)]);
    assert_eq!(lists("203.0.113.7"), ["203.0.113.7"]);
    assert_eq!(lists("127.0.0.1, 203.0.113.7, 10.0.0.2"), ["203.0.113.7", "10.0.0.2"]);
    assert_eq!(lists("10.0.0.3, 10.0.0.2"), ["10.0.0.3", "10.0.0.2"]);
    assert_eq!(hops(&[(&X_FORWARDED_FOR, "127.0.0.1"), (&X_FORWARDED_FOR, "203.0.113.7")]), ["203.0.113.7"]);
    let standard = |text| hops(&[(&FORWARDED, text)]);
    assert_eq!(standard("for=127.0.0.1, for=203.0.113.7;proto=https, for=10.0.0.2"), ["203.0.113.7", "10.0.0.2"]);
}

#[test]
fn what_stands_before_the_client_is_noticed_in_either_field() {
    // FW-06
    let on = |fields: &[(&HeaderName, &str)]| goes_on(&map(fields), &trust());
    for (text, more) in [
        ("203.0.113.7", false),
        ("203.0.113.7, 10.0.0.2", false),
        ("10.0.0.1, 10.0.0.2", false),
        (" , ,203.0.113.7", false),
        ("", false),
        ("127.0.0.1, 203.0.113.7, 10.0.0.2", true),
        ("unknown, 203.0.113.7", true),
        ("x, , 203.0.113.7", true),
        ("203.0.113.7, unknown", true),
    ] {
        assert_eq!(on(&[(&X_FORWARDED_FOR, text)]), more, "{text}");
    }
    assert!(on(&[(&X_FORWARDED_FOR, "127.0.0.1"), (&X_FORWARDED_FOR, "203.0.113.7")]));
    for (text, more) in [
        ("for=203.0.113.7", false),
        ("for=203.0.113.7, for=10.0.0.2", false),
        ("for=127.0.0.1, for=203.0.113.7, for=10.0.0.2", true),
        ("for=unknown, for=203.0.113.7", true),
    ] {
        assert_eq!(on(&[(&FORWARDED, text)]), more, "{text}");
    }
    // Where there are both, hops are read from the first.
    assert!(!on(&[(&X_FORWARDED_FOR, "203.0.113.7"), (&FORWARDED, "for=203.0.113.7;proto=https")]));
    // More hops than anybody walks.
    assert!(on(&[(&X_FORWARDED_FOR, &vec!["10.0.0.1"; MOST_HOPS + 1].join(","))]));
    assert!(!on(&[]));
}

#[test]
fn garbage_ends_the_walk_and_is_never_believed() {
    // AT-HS-14
    let lists = |text: &str| hops(&[(&X_FORWARDED_FOR, text)]);
    for garbage in [
        "unknown",
        "",
        "evil",
        "_hidden",
        "10.0.0.256",
        "fe80::1%eth0",
        "[fe80::1%1]:80",
        "010.0.0.1",
        "10.0.0.1:99999",
        "0x0a.1",
        "\u{e9}",
    ] {
        assert_eq!(lists(&format!("203.0.113.7, {garbage}")), Vec::<String>::new(), "{garbage}");
        assert_eq!(lists(&format!("{garbage}, 203.0.113.7")), ["203.0.113.7"], "{garbage}");
        assert_eq!(lists(&format!("203.0.113.7, {garbage}, 10.0.0.2")), ["10.0.0.2"], "{garbage}");
    }
    let many = vec!["10.0.0.1"; 10_000].join(",");
    assert_eq!(lists(&many).len(), MOST_HOPS);
}

#[test]
fn addresses_come_in_several_spellings() {
    // FW-03
    for (text, address, port) in [
        ("203.0.113.7:4711", "203.0.113.7", Some(4711)),
        ("2001:db9::1", "2001:db9::1", None),
        ("[2001:db9::1]", "2001:db9::1", None),
        ("[2001:DB9::1]:80", "2001:db9::1", Some(80)),
        ("::ffff:203.0.113.7", "203.0.113.7", None),
    ] {
        assert_eq!(parse_hop(text), Some(Hop { address: address.parse().unwrap(), port }), "{text}");
    }
}

#[test]
fn forwarded_is_read_by_its_grammar() {
    // FW-03
    let one = |address: &str, port| Ok(vec![(Some(address.to_owned()), port)]);
    assert_eq!(grammar("for=192.0.2.60;proto=http;by=203.0.113.43"), one("192.0.2.60", None));
    assert_eq!(grammar("For=\"[2001:db8:cafe::17]:4711\""), one("2001:db8:cafe::17", Some(4711)));
    assert_eq!(grammar("for=\"192.0.2.60:_obfuscated\""), one("192.0.2.60", None));
    assert_eq!(grammar("for=\"192.\\0.2.60\""), one("192.0.2.60", None));
    assert_eq!(grammar("for=[2001:db8::1]:80"), one("2001:db8::1", Some(80)));
    for no_address in [
        "for=unknown",
        "for=_hidden",
        "for=\"_hidden:80\"",
        "for=_SEVKISEK",
        "proto=https",
        "for=\"2001:db8::1\"",
        "for=\"\"",
        "ext=\"a,b;c=d\"",
    ] {
        assert_eq!(grammar(no_address), Ok(vec![(None, None)]), "{no_address}");
    }
    assert_eq!(grammar("for=192.0.2.43, , for=\"[2001:db8::1]\" ;proto=https ,").unwrap().len(), 2);
    assert_eq!(grammar("for=unknown;;"), Ok(vec![(None, None)]));
    assert_eq!(grammar(""), Ok(vec![]));
}

#[test]
fn a_broken_forwarded_field_is_refused_rather_than_hiding_the_proxys_own_element() {
    // AT-HS-14: the first would swallow what the proxy appended, and make the proxy itself the client.
    for broken in [
        "for=\"evil, for=203.0.113.7",
        "for=\"[::1]:80\";host=\"evil, for=203.0.113.7",
        "by=\", for=\"[2001:db8::1]\"",
        "for=\"a\"b",
        "for",
        "for=",
        "=x",
        "for =x",
        "for=a b",
        "for=a;for=b",
        "for=\"a\\",
        "f(r=x",
        "for={x}",
    ] {
        assert_eq!(grammar(broken), Err(ForwardedError::Malformed), "{broken}");
        assert_eq!(said(&[(&FORWARDED, broken)]).unwrap_err(), ForwardedError::Malformed);
        // Also beside the other field: it could be the one that a stranger wrote.
        assert_eq!(
            said(&[(&X_FORWARDED_FOR, "203.0.113.7"), (&FORWARDED, broken)]).unwrap_err(),
            ForwardedError::Malformed
        );
    }
    assert!(grammar(&vec!["for=203.0.113.7"; 100].join(", ")).is_ok());
}

#[test]
fn two_fields_that_name_different_clients_are_refused() {
    // FW-05: one of them was let through by a proxy that writes only the other
    let both =
        |forwarded| said(&[(&X_FORWARDED_FOR, "203.0.113.7"), (&FORWARDED, forwarded)]).map(|said| said.hops.len());
    assert_eq!(both("for=198.51.100.1"), Err(ForwardedError::Disagrees));
    assert_eq!(both("for=\"203.0.113.7:4711\";proto=https"), Ok(1));
    assert_eq!(both("for=unknown"), Ok(1));
    for hidden in ["unknown", "", "10.0.0.2"] {
        let error = said(&[(&X_FORWARDED_FOR, hidden), (&FORWARDED, "for=203.0.113.7")]).unwrap_err();
        assert_eq!(error, ForwardedError::Disagrees, "{hidden}");
    }
}

#[test]
fn scheme_host_and_port_are_those_of_the_clients_own_hop() {
    // FW-05
    let read = |fields: &[(&HeaderName, &str)]| {
        let said = said(fields).unwrap();
        (said.https, said.host, said.port)
    };
    let client = (&X_FORWARDED_FOR, "203.0.113.7, 10.0.0.2");
    assert_eq!(
        read(&[client, (&X_FORWARDED_PROTO, "https"), (&X_FORWARDED_HOST, "own.example")]),
        (Some(true), Some("own.example".into()), None)
    );
    // Appended in step: what the client itself wrote stands left of its proxy's entry.
    assert_eq!(read(&[client, (&X_FORWARDED_PROTO, "https, http, https")]).0, Some(false));
    assert_eq!(read(&[client, (&X_FORWARDED_PORT, "8443")]).2, Some(8443));
    assert_eq!(read(&[(&X_FORWARDED_PROTO, "WSS")]).0, Some(true));
    for garbage in ["", "gopher", "https;x"] {
        assert_eq!(read(&[client, (&X_FORWARDED_PROTO, garbage)]).0, None, "{garbage}");
    }
    for garbage in ["", "0", "65536", "-1", "x"] {
        assert_eq!(read(&[client, (&X_FORWARDED_PORT, garbage)]).2, None, "{garbage}");
    }
    let standard = (
        &FORWARDED,
        "for=1.1.1.1;host=evil.example, for=203.0.113.7;host=\"own.example:8443\";proto=https, for=10.0.0.2;proto=http",
    );
    assert_eq!(read(&[standard]), (Some(true), Some("own.example:8443".into()), None));
    // Beside X-Forwarded-For, a Forwarded field says nothing more.
    let beside = (&FORWARDED, "for=203.0.113.7;host=evil.example;proto=https");
    assert_eq!(read(&[(&X_FORWARDED_FOR, "203.0.113.7"), beside]), (None, None, None));
}

#[test]
fn both_forms_say_the_same_to_the_application() {
    // FW-03, FW-05
    let hop = |address: &str, port| Hop { address: address.parse().unwrap(), port };
    let host = Host::parse("own.example:8443", true).unwrap();
    let out = ForwardedOut::new(&[hop("203.0.113.7", Some(4711)), hop("2001:db8::1", None)], true, &host, None);
    let fields: Vec<(&str, &str)> =
        out.fields().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    assert_eq!(
        fields,
        [
            ("x-forwarded-for", "203.0.113.7, 2001:db8::1"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "own.example:8443"),
            ("x-forwarded-port", "8443"),
            ("forwarded", "for=\"203.0.113.7:4711\";host=\"own.example:8443\";proto=https, for=\"[2001:db8::1]\""),
        ]
    );
    let plain =
        ForwardedOut::new(&[hop("203.0.113.7", None)], false, &Host::parse("own.example", false).unwrap(), None);
    assert_eq!(
        (plain.forwarded.to_str().unwrap(), plain.x_port.to_str().unwrap()),
        ("for=203.0.113.7;host=own.example;proto=http", "80")
    );
    // What we write, we can read.
    let again = read(&plain.fields().iter().map(|(n, v)| ((*n).clone(), (*v).clone())).collect(), &trust()).unwrap();
    assert_eq!((again.hops, again.https), (vec![hop("203.0.113.7", None)], Some(false)));
}

proptest! {
    // AT-HS-13, AT-HS-14: whatever a stranger writes before it, the address that the trusted proxy appended is the client.
    #[test]
    fn a_stranger_cannot_choose_their_address(garbage in "[ -~é]{0,40}") {
        let list = format!("{garbage}, 203.0.113.7");
        prop_assert_eq!(hops(&[(&X_FORWARDED_FOR, &list)]), ["203.0.113.7"]);
        for appended in ["for=203.0.113.7", "for=\"203.0.113.7:80\"", "for=\"[2001:db9::7]\";proto=https"] {
            if let Ok(said) = said(&[(&FORWARDED, &format!("{garbage}, {appended}"))]) {
                let client = said.hops.first().map(|hop| hop.address.to_string());
                prop_assert!(matches!(client.as_deref(), Some("203.0.113.7" | "2001:db9::7")), "{client:?}");
            }
        }
    }

    #[test]
    fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        if let Ok(value) = HeaderValue::from_bytes(&bytes) {
            for name in [&FORWARDED, &X_FORWARDED_FOR, &X_FORWARDED_PROTO, &X_FORWARDED_HOST, &X_FORWARDED_PORT] {
                let mut headers = HeaderMap::new();
                headers.append(name, value.clone());
                let _ = read(&headers, &trust());
            }
        }
    }
}
