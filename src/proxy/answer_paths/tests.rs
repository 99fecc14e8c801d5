//! Every form of what an answer may name, as an application sends it and as the browser gets it.

use std::sync::Arc;

use http::HeaderName;

use url::Url;

use super::*;
use crate::proxy::settings::{HostHeader, UpstreamProtocol, UpstreamTransport};
use crate::proxy::tests::{settings, tcp};
use crate::request::mapping::PathMapping;

/// An application at `http://app:3000`, behind `wiki.example.com`.
struct Case {
    prefix: &'static str,
    base: &'static str,
    target: &'static str,
    told: Option<&'static str>,
    host: HostHeader,
    address: UpstreamAddress,
}

impl Case {
    fn new(prefix: &'static str, base: &'static str) -> Self {
        let address = UpstreamAddress { authority: "app:3000".into(), ..tcp(3000) };
        let target = if prefix.is_empty() { "/a/b?c" } else { "/wiki/a/b?c" };
        Self { prefix, base, target, told: None, host: HostHeader::Preserve, address }
    }

    fn at(self, target: &'static str) -> Self {
        Self { target, ..self }
    }

    fn told(self, told: &'static str) -> Self {
        Self { told: Some(told), ..self }
    }

    /// The field as the browser gets it.
    fn field(&self, name: &'static str, value: impl AsRef<[u8]>) -> String {
        let address = UpstreamAddress { mapping: PathMapping::new(self.prefix, self.base), ..self.address.clone() };
        let settings = UpstreamSettings { host: self.host.clone(), ..settings(vec![address.clone()]) };
        let mut request = Request::get(self.target).header(HOST, "wiki.example.com").body(()).unwrap();
        if let Some(told) = self.told {
            request.headers_mut().insert("x-forwarded-prefix", HeaderValue::from_static(told));
        }
        let asked = AskedPath::of(&request, &settings).unwrap();
        let name = HeaderName::from_static(name);
        let mut headers = HeaderMap::new();
        headers.insert(&name, HeaderValue::from_bytes(value.as_ref()).unwrap());
        headers.insert("link", HeaderValue::from_static("</base/x>; rel=next"));
        asked.map_back(&address, &settings, &mut headers);
        assert_eq!(headers["link"], "</base/x>; rel=next");
        headers[name].to_str().unwrap_or("no text").to_owned()
    }

    fn location(&self, value: impl AsRef<[u8]>) -> String {
        let mapped = self.field("location", value.as_ref());
        assert_eq!(self.field("content-location", value.as_ref()), mapped, "one rule for both");
        mapped
    }
}

/// What becomes of references; where nothing is given, they stay.
fn check(case: &Case, rows: &[(&str, Option<&str>)]) {
    for (sent, wanted) in rows {
        assert_eq!(case.location(sent), wanted.unwrap_or(sent), "{sent:?} with {:?} and {:?}", case.prefix, case.base);
    }
}

#[test]
fn what_lies_below_the_base_is_mapped_to_the_prefix() {
    let rows = [
        ("/base/x?y=/base/z#f", Some("/wiki/x?y=/base/z#f")),
        ("/base", Some("/wiki")),
        ("/base/", Some("/wiki/")),
        ("/base?q", Some("/wiki?q")),
        ("/base#f", Some("/wiki#f")),
        ("/%62ase/x%2Fy", Some("/wiki/x%2Fy")),
        ("http://app:3000/base/x", Some("/wiki/x")),
        ("HTTP://APP:3000/base/x?q=it's", Some("/wiki/x?q=it's")),
        ("//app:3000/base/x", Some("/wiki/x")),
        ("\\\\app:3000\\base\\x", Some("/wiki/x")),
        ("http:\\\\app:3000/base", Some("/wiki")),
        ("http:/\\app:3000/base", Some("/wiki")),
        ("http:///app:3000/base", Some("/wiki")),
        (" /ba\tse/x ", Some("/wiki/x")),
        ("/\\base/x", None),
        ("/x/../base/y", Some("/wiki/y")),
        ("/base/./a/../x", Some("/wiki/x")),
        ("/base/%2e%2e/base/x", Some("/wiki/x")),
        // As the browser knows the host: scheme and host stay as they were written.
        ("https://wiki.example.com/base/x?q#f", Some("https://wiki.example.com/wiki/x?q#f")),
        ("http://Wiki.example.com:80/base/x", Some("http://wiki.example.com/wiki/x")),
        ("//wiki.example.com/base/x", Some("//wiki.example.com/wiki/x")),
    ];
    check(&Case::new("/wiki", "/base"), &rows);
}

#[test]
fn what_lies_elsewhere_stays_as_it_is() {
    let rows = [
        "/other",
        "/basement/x",
        "/base;x/y",
        "/base/../x",
        "/base/%2E%2e/x",
        "/base%2f..%2fx",
        "/Base/x",
        "http://app:30000/base/x",
        "http://app:300/base/x",
        "http://app/base/x",
        "https://app:3000/base/x",
        "http://app.evil/base/x",
        "http://app:3000.evil/base/x",
        "http://app:3000@evil/base/x",
        "http://user@app:3000/base/x",
        "http://evil/http://app:3000/base/x",
        "http://app:3000/other",
        "http://app:3000",
        "//app.evil:3000/base/x",
        "//evil.example/base/x",
        "/\\evil.example/base/x",
        "/\t/evil.example/base/x",
        "http://wiki.example.com:8080/base/x",
        "http://wiki.example.com.evil/base/x",
        "ftp://app:3000/base/x",
        "javascript:location='/base/x'",
        "mailto:ann@example.com",
        "http://[/base/x",
        "",
        "#f",
        "?q=/base/x",
    ];
    let rows = rows.map(|row| (row, None));
    check(&Case::new("/wiki", "/base"), &rows);
    check(&Case::new("", "/base"), &rows);
}

#[test]
fn without_a_base_everything_is_below_the_prefix() {
    let rows = [
        ("/", Some("/wiki/")),
        ("/x?y", Some("/wiki/x?y")),
        ("/../x", Some("/wiki/x")),
        ("/wikis", Some("/wiki/wikis")),
        ("http://app:3000", Some("/wiki/")),
        ("http://app:3000/x", Some("/wiki/x")),
        ("//app:3000?q", Some("/wiki/?q")),
        ("http://app:3000//x", Some("/wiki//x")),
        // What the application calls by the browser's path is not mapped twice.
        ("/wiki", None),
        ("/wiki/x?y", None),
        ("/wiki?y", None),
        ("https://wiki.example.com/wiki/x", None),
        ("http://app:3000/wiki/x", Some("/wiki/x")),
        // Our own endpoints are where the browser knows them.
        ("/_vestibule/logout?rd=/", None),
        ("/_vestibules", Some("/wiki/_vestibules")),
    ];
    check(&Case::new("/wiki", ""), &rows);
}

#[test]
fn without_a_prefix_the_base_is_taken_off_and_no_other_host_is_named() {
    // AT-OR-02
    let rows = [
        ("/base/x", Some("/x")),
        ("/base", Some("/")),
        ("/base?q", Some("/?q")),
        ("http://app:3000/base/x", Some("/x")),
        ("/base//evil.example/x", Some("/.//evil.example/x")),
        ("/base/\\evil.example/x", Some("/.//evil.example/x")),
        ("/base/\t/evil.example/x", Some("/.//evil.example/x")),
        ("/base/.//evil.example/x", Some("/.//evil.example/x")),
        ("/base/a/..//evil.example", Some("/.//evil.example")),
        ("http://app:3000/base//evil.example", Some("/.//evil.example")),
        ("https://wiki.example.com/base//evil.example", Some("https://wiki.example.com//evil.example")),
    ];
    let case = Case::new("", "/base");
    check(&case, &rows);
    let here = Url::parse("https://wiki.example.com/a").unwrap();
    for (sent, _) in rows {
        assert_eq!(here.join(&case.location(sent)).unwrap().host_str(), Some("wiki.example.com"), "{sent}");
    }
}

#[test]
fn relative_references_stay_unless_browsers_would_go_astray() {
    let rows = [
        ("x", None),
        ("x/../y?q", None),
        ("../x", None),
        ("./", None),
        ("?q", None),
        // The application's root is the prefix.
        ("../../x", Some("/wiki/x")),
        ("../../../x?y#z", Some("/wiki/x?y#z")),
    ];
    check(&Case::new("/wiki", ""), &rows);
    check(&Case::new("/wiki", "/base"), &[("../x", None), ("x", None), ("../../x", None), ("../../../x", None)]);
    // At the prefix itself a browser starts one segment higher than the application.
    let at_prefix = Case::new("/wiki", "").at("/wiki");
    check(&at_prefix, &[("x", Some("/wiki/x")), ("./", Some("/wiki/")), ("wiki/x", Some("/wiki/wiki/x"))]);
    check(&Case::new("/wiki", "/base").at("/wiki"), &[("base/x", Some("/wiki/x")), ("x", None)]);
    check(&Case::new("/wiki", "").at("/wiki/"), &[("x", None)]);
    // It names a page below its own `/wiki`.
    check(&Case::new("/wiki", "").at("/wiki/wiki/a"), &[("x", None)]);
}

#[test]
fn of_a_base_and_a_prefix_the_longer_one_says_whose_path_it_is() {
    check(&Case::new("/wiki", "/wiki"), &[("/wiki/x", None), ("http://app:3000/wiki/x", Some("/wiki/x"))]);
    check(&Case::new("/wiki", "/wiki/app"), &[("/wiki/app/x", Some("/wiki/x")), ("/wiki/x", None)]);
    let deeper = Case::new("/wiki/app", "/wiki").at("/wiki/app/a");
    check(&deeper, &[("/wiki/app/x", None), ("/wiki/x", Some("/wiki/app/x"))]);
}

#[test]
fn an_application_may_heed_the_whole_prefix_that_it_is_told() {
    let case = Case::new("/wiki", "").told("/outer/wiki");
    check(&case, &[("/outer/wiki/x", None), ("/outer/wikis", Some("/wiki/outer/wikis")), ("/x", Some("/wiki/x"))]);
    assert_eq!(case.field("set-cookie", "a=b; Path=/outer/wiki"), "a=b; Path=/outer/wiki");
}

#[test]
fn an_application_is_at_the_host_that_it_was_told() {
    let https = "https://app:3000/base/x";
    let case = |host| Case { host, ..Case::new("/wiki", "/base") };
    check(&case(HostHeader::Upstream), &[(https, Some("/wiki/x")), ("http://app:3000/base/x", Some("/wiki/x"))]);
    let fixed = case(HostHeader::Fixed("app.internal".to_owned()));
    check(&fixed, &[("http://app.internal/base/x", Some("/wiki/x")), ("https://app.internal/base", Some("/wiki"))]);
    check(&fixed, &[(https, None), ("http://app.internal:81/base", None), ("http://x.app.internal/base", None)]);
}

#[test]
fn every_kind_of_upstream_has_its_origin() {
    let of = |transport, protocol, authority: &str| Case {
        address: UpstreamAddress { transport, protocol, authority: authority.into(), mapping: PathMapping::default() },
        ..Case::new("/wiki", "/base")
    };
    let at = |port| UpstreamTransport::Tcp(Arc::from("app"), port);
    let tls = of(at(443), UpstreamProtocol::Tls, "app");
    check(&tls, &[("https://app:443/base/x", Some("/wiki/x")), ("http://app/base/x", None)]);
    let h2c = of(at(80), UpstreamProtocol::H2c, "[::1]");
    check(&h2c, &[("http://[0::1]:80/base/x", Some("/wiki/x")), ("h2c://[::1]/base/x", None)]);
    let unix = of(UpstreamTransport::Unix("/run/app.sock".into()), UpstreamProtocol::Http1, "localhost");
    check(&unix, &[("http://localhost/base/x", Some("/wiki/x")), ("http://localhost:3000/base/x", None)]);
}

#[test]
fn bytes_that_are_not_ascii_are_escaped_as_browsers_do() {
    let case = Case::new("/wiki", "/base");
    assert_eq!(case.location("/base/caf\u{e9}?\u{e9}"), "/wiki/caf%C3%A9?%C3%A9");
    assert_eq!(case.location(b"/base/\xe9"), "/wiki/%E9");
    assert_eq!(Case::new("/wiki", "/café").location("/caf\u{e9}/x"), "/wiki/x");
}

#[test]
fn the_url_of_a_refresh_is_mapped() {
    let case = Case::new("/wiki", "/base");
    for (sent, wanted) in [
        ("5; url=/base/x", "5; url=/wiki/x"),
        ("0;URL='/base/x'", "0;URL='/wiki/x'"),
        ("0;URL=\"http://app:3000/base/x?q='\"", "0;URL=\"/wiki/x?q=%27\""),
        ("5, /base/x", "5, /wiki/x"),
        ("5;url=/other", "5;url=/other"),
        ("5", "5"),
        ("5;url=", "5;url="),
        ("/base/x", "/base/x"),
    ] {
        assert_eq!(case.field("refresh", sent), wanted, "{sent}");
    }
}

#[test]
fn the_path_of_a_cookie_is_mapped() {
    for (prefix, base, sent, wanted) in [
        ("/wiki", "/base", "a=b; Path=/base; HttpOnly", "a=b; Path=/wiki; HttpOnly"),
        ("/wiki", "/base", "a=b;path=/base/x;Secure", "a=b;Path=/wiki/x;Secure"),
        ("/wiki", "/base", "a=b;  PATH = /base/ ", "a=b;  Path=/wiki/"),
        ("/wiki", "/base", "a=b; Path=/", "a=b; Path=/wiki"),
        ("/wiki", "/b/c", "a=b; Path=/b", "a=b; Path=/wiki"),
        ("/wiki", "/b/c", "a=b; Path=/b/", "a=b; Path=/wiki"),
        ("/wiki", "", "a=b; Path=/", "a=b; Path=/wiki"),
        ("/wiki", "", "a=b; Path=/x", "a=b; Path=/wiki/x"),
        ("/wiki", "", "a=b; Path=/x; Path=/y", "a=b; Path=/wiki/x; Path=/wiki/y"),
        ("", "/base", "a=b; Path=/base/x", "a=b; Path=/x"),
        ("", "/base", "a=b; Path=/base", "a=b; Path=/"),
        ("", "/base", "__Secure-a=b; Secure; Path=/base", "__Secure-a=b; Secure; Path=/"),
    ] {
        assert_eq!(Case::new(prefix, base).field("set-cookie", sent), wanted, "{sent} with {prefix:?} and {base:?}");
    }
    for (prefix, base, kept) in [
        ("/wiki", "/base", "__Host-a=b; Secure; Path=/"),
        ("/wiki", "", " __host-a=b; Secure; Path=/"),
        ("/wiki", "/base", "a=b"),
        ("/wiki", "/base", "a=Path=/base; Domain=app"),
        ("/wiki", "/base", "a=b; Path"),
        ("/wiki", "/base", "a=b; Path="),
        ("/wiki", "/base", "a=b; Path=base"),
        ("/wiki", "/base", "a=b; Path=\"/base\""),
        ("/wiki", "/base", "a=b; Path=/basement"),
        ("/wiki", "/base", "a=b; Path=/bas"),
        ("/wiki", "/base", "a=b; Path=/other"),
        ("/wiki", "/base", "a=b; XPath=/base"),
        ("/wiki", "", "a=b; Path=/wiki"),
        ("/wiki", "", "a=b; Path=/wiki/x"),
        ("", "/base", "a=b; Path=/"),
    ] {
        assert_eq!(Case::new(prefix, base).field("set-cookie", kept), kept, "{prefix:?} and {base:?}");
    }
}

#[test]
fn nothing_is_kept_of_a_request_whose_answer_is_not_mapped() {
    let request = Request::get("/a").header(HOST, "wiki.example.com").body(()).unwrap();
    let settings = UpstreamSettings { rewrites_answers: false, ..settings(vec![tcp(3000)]) };
    assert!(AskedPath::of(&request, &settings).is_none());
}

proptest::proptest! {
    /// Whatever an application sends: where it names one of its own pages, the browser's way there leads to the gateway, and to this
    /// page.
    #[test]
    fn what_is_mapped_leads_to_the_same_page(reference in "[/\\\\.?#:a-c \t]{0,3}(//|http://app:3000|/base|/\\\\|http:)?[/\\\\.%2e?#:a-c\t]{0,8}") {
        for (prefix, base, target) in [("/wiki", "/base", "/wiki/a/b"), ("", "/base", "/a/b"), ("/wiki", "", "/wiki")] {
            let case = Case::new(prefix, base).at(target);
            let mapping = PathMapping::new(prefix, base);
            let browser = Url::parse(&format!("https://wiki.example.com{target}")).unwrap();
            let mapped = case.location(reference.as_bytes());
            if mapped != reference {
                let leads = browser.join(&mapped).unwrap();
                proptest::prop_assert_eq!(leads.host_str(), Some("wiki.example.com"));
                let asked = format!("http://app:3000{}", mapping.to_application(target).unwrap());
                let meant = Url::parse(&asked).unwrap().join(&reference).unwrap();
                // The root of the base has a slash once it has been mapped.
                let is_one = |a: &str, b: &str| a.trim_end_matches('/') == b.trim_end_matches('/');
                let arrives = mapping.to_application(leads.path()).unwrap_or_default();
                // By its own path, or by the prefix that it was told.
                let is_there = is_one(&arrives, meant.path()) || is_one(leads.path(), meant.path());
                proptest::prop_assert!(is_there, "{} for {}", mapped, meant);
            }
        }
    }
}
