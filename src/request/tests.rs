//! Tests of a whole request's reading.

use http::{HeaderValue, Request};

use super::*;

struct Ask {
    request: Request<()>,
    peer: Peer,
    tls: bool,
}

impl Ask {
    fn get(target: &str) -> Self {
        let request = Request::get(target).body(()).unwrap();
        Self { request, peer: Peer::Ip("198.51.100.9:5000".parse().unwrap()), tls: false }
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.request.headers_mut().append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        self
    }

    fn own(target: &str) -> Self {
        Self::get(target).with("host", "own.example")
    }

    fn by(mut self, peer: &str) -> Self {
        self.peer = Peer::Ip(peer.parse().unwrap());
        self
    }

    fn h2(mut self) -> Self {
        *self.request.version_mut() = Version::HTTP_2;
        self
    }

    fn method(mut self, method: &str) -> Self {
        *self.request.method_mut() = method.parse().unwrap();
        self
    }

    fn read(self) -> Result<RequestMeta, BadRequest> {
        let tls = self.tls.then(TlsFacts::default);
        reader().read(&self.request, &Downstream::new(self.peer, Some(443), tls))
    }
}

const PROXY: &str = "10.0.0.1:4000";

fn reader() -> RequestReader {
    RequestReader::new(vec!["10.0.0.0/8".parse().unwrap()], true, true, "own.example")
}

#[test]
fn hosts_that_are_missing_repeated_or_invalid_are_refused() {
    // PX-09, AT-PM-17
    assert_eq!(Ask::get("/").read().unwrap_err(), BadRequest::HostMissing);
    assert_eq!(Ask::own("/").with("host", "own.example").read().unwrap_err(), BadRequest::HostRepeated);
    assert_eq!(Ask::own("/").with("host", "evil.example").read().unwrap_err(), BadRequest::HostRepeated);
    for bad in [
        "",
        "own:80@evil",
        "own example",
        "own\texample",
        "[fe80::1%25eth0]",
        "own.example,evil.example",
        "\u{e9}.example",
    ] {
        let error = Ask::get("/").with("host", bad).read().unwrap_err();
        assert_eq!(
            (error, error.status(), error.code()),
            (BadRequest::HostInvalid, StatusCode::BAD_REQUEST, "host_invalid"),
            "{bad:?}"
        );
    }
    assert_eq!(Ask::get("/").with("host", "OWN.Example.").read().unwrap().host.name(), "own.example");
}

#[test]
fn the_absolute_targets_authority_replaces_host() {
    // PX-10, AT-PM-11
    let meta = Ask::own("https://other.example/admin?x").read().unwrap();
    assert_eq!((meta.host.name(), meta.path.as_str(), meta.query()), ("other.example", "/admin", Some("x")));
    assert_eq!(Ask::get("http://other.example/").read().unwrap_err(), BadRequest::HostMissing);
    assert_eq!(Ask::get("http://other.example/").with("host", "a b").read().unwrap_err(), BadRequest::HostInvalid);
    assert_eq!(Ask::own("http://user@own.example/").read().unwrap_err(), BadRequest::HostInvalid);
    assert_eq!(Ask::own("ftp://own.example/").read().unwrap_err(), BadRequest::TargetForm);
}

#[test]
fn http2_authority_and_host_are_equal_or_refused() {
    // PX-43, AT-SM-16
    assert_eq!(Ask::get("https://own.example/").h2().read().unwrap().host.name(), "own.example");
    assert_eq!(
        Ask::get("https://own.example/").h2().with("host", "OWN.example:443").read().unwrap().host.name(),
        "own.example"
    );
    assert_eq!(
        Ask::get("https://own.example/").h2().with("host", "evil.example").read().unwrap_err(),
        BadRequest::HostDisagrees
    );
    assert_eq!(Ask::own("/").h2().read().unwrap().host.name(), "own.example");
}

#[test]
fn odd_targets_and_methods_are_refused() {
    // AT-PM-12
    assert_eq!(Ask::own("*").method("OPTIONS").read().unwrap_err(), BadRequest::TargetForm);
    assert_eq!(Ask::own("own.example:80").read().unwrap_err(), BadRequest::TargetForm);
    assert_eq!(Ask::own("http://own.example?x").read().unwrap_err(), BadRequest::TargetForm);
    for method in ["TRACE", "CONNECT"] {
        assert_eq!(Ask::own("/").method(method).read().unwrap_err().status(), StatusCode::METHOD_NOT_ALLOWED);
    }
    let error = Ask::own("/%00").read().unwrap_err();
    assert_eq!((error.status(), error.code()), (StatusCode::BAD_REQUEST, "path_control_character"));
}

#[test]
fn strangers_forwarding_fields_have_no_effect() {
    // FW-04, FW-05, FW-07, PX-11, AT-HS-13, AT-HS-17, AT-OR-10
    let meta = Ask::own("/")
        .with("x-forwarded-for", "127.0.0.1")
        .with("x-forwarded-proto", "http")
        .with("x-forwarded-host", "evil.example")
        .with("x-forwarded-port", "1")
        .with("forwarded", "for=10.0.0.1;host=evil.example;proto=http, \"")
        .with("x-request-id", "chosen")
        .read()
        .unwrap();
    assert_eq!(
        (meta.host.name(), meta.https, meta.peer_trusted, meta.client.to_string().as_str()),
        ("own.example", true, false, "198.51.100.9")
    );
    assert_ne!(meta.id.as_str(), "chosen"); // FW-12
    assert_eq!(meta.forwarded.x_for, "198.51.100.9");
    assert_eq!(meta.forwarded.x_proto, "https");
    assert_eq!(meta.forwarded.x_host, "own.example");
    assert_eq!(meta.forwarded.x_port, "443");
    assert_eq!(meta.forwarded.forwarded, "for=198.51.100.9;host=own.example;proto=https");
}

#[test]
fn trusted_peers_forwarding_fields_are_believed() {
    // FW-04, FW-05, FW-06, PX-11
    let meta = Ask::get("/")
        .by(PROXY)
        .with("host", "internal:4180")
        .with("x-forwarded-for", "127.0.0.1, 203.0.113.7")
        .with("x-forwarded-proto", "http")
        .with("x-forwarded-host", "Own.Example")
        .with("x-request-id", "abc-1")
        .read()
        .unwrap();
    assert_eq!(
        (meta.host.authority(), meta.https, meta.peer_trusted, meta.client.to_string().as_str()),
        ("own.example", false, true, "203.0.113.7")
    );
    assert_eq!(meta.id.as_str(), "abc-1"); // FW-12
    assert_eq!(meta.forwarded.x_for, "203.0.113.7, 10.0.0.1");
    assert_eq!(meta.forwarded.forwarded, "for=203.0.113.7;host=own.example;proto=http, for=10.0.0.1");
    assert_eq!(meta.forwarded.x_port, "80");
}

#[test]
fn a_trusted_peers_garbage_is_not_believed() {
    // AT-HS-14
    let meta = Ask::own("/")
        .by(PROXY)
        .with("x-forwarded-host", "own.example@evil.example")
        .with("x-forwarded-for", "unknown")
        .read()
        .unwrap();
    assert_eq!((meta.host.name(), meta.client.to_string().as_str()), ("own.example", "10.0.0.1"));
    let error = Ask::own("/").by(PROXY).with("forwarded", "for=\"evil, for=203.0.113.7").read().unwrap_err();
    assert_eq!((error.status(), error.code()), (StatusCode::BAD_REQUEST, "forwarded_malformed"));
    let repeated = Ask::own("/").by(PROXY).with("x-request-id", "a").with("x-request-id", "b").read().unwrap();
    assert_eq!(repeated.id.as_str().len(), 24);
}

#[test]
fn the_scheme_is_the_browsers() {
    // FW-07: TLS in front of us is what an https public URL says
    assert!(Ask::own("/").read().unwrap().https);
    let plain = RequestReader::new(Vec::new(), false, false, "own.example");
    let read = |tls| {
        let downstream = Downstream::new(Peer::Unix, None, tls);
        plain.read(&Ask::own("/").request, &downstream).unwrap()
    };
    assert!(!read(None).https);
    assert!(read(Some(TlsFacts::default())).https);
    assert_eq!(read(None).client.to_string(), "127.0.0.1");
    assert!(Ask { tls: true, ..Ask::own("/") }.read().unwrap().https);
}

#[test]
fn unix_peers_are_believed_where_configured() {
    let downstream = Downstream::new(Peer::Unix, None, None);
    let request = Ask::own("/").with("x-forwarded-for", "203.0.113.7").request;
    let believed = reader().read(&request, &downstream).unwrap();
    assert_eq!(
        (believed.client.to_string().as_str(), believed.forwarded.x_for.to_str().unwrap()),
        ("203.0.113.7", "203.0.113.7, 127.0.0.1")
    );
    let not = RequestReader::new(Vec::new(), false, true, "own.example")
        .read(&request, &Downstream::new(Peer::Unix, None, None))
        .unwrap();
    assert_eq!((not.client.to_string().as_str(), not.peer_trusted), ("127.0.0.1", false));
}

#[test]
fn mapped_addresses_are_the_addresses_that_they_map() {
    let meta = Ask::own("/").by("[::ffff:10.0.0.1]:80").with("x-forwarded-for", "203.0.113.7").read().unwrap();
    assert_eq!((meta.peer_trusted, meta.client.to_string().as_str()), (true, "203.0.113.7"));
}

#[test]
fn the_method_is_the_real_one() {
    // AT-HS-16
    let meta = Ask::own("/?_method=DELETE").method("POST").with("x-http-method-override", "GET").read().unwrap();
    assert_eq!(meta.method, Method::POST);
}

#[test]
fn what_a_connection_remembers_follows_the_request() {
    let reader = reader();
    let downstream = Downstream::new(Peer::Ip("198.51.100.9:5000".parse().unwrap()), Some(443), None);
    for host in ["own.example", "own.example", "other.example", "own.example"] {
        let meta = reader.read(&Ask::get("/").with("host", host).request, &downstream).unwrap();
        assert_eq!((meta.host.name(), meta.forwarded.x_host.to_str().unwrap()), (host, host)); // AT-SM-13
    }
    let evil = Ask::get("/").with("host", "own.example@evil").request;
    assert_eq!(reader.read(&evil, &downstream).unwrap_err(), BadRequest::HostInvalid);
}

#[test]
fn a_proxys_connection_does_not_remember_a_client() {
    let reader = reader();
    let downstream = Downstream::new(Peer::Ip(PROXY.parse().unwrap()), None, None);
    for client in ["203.0.113.7", "203.0.113.8"] {
        let request = Ask::own("/").with("x-forwarded-for", client).request;
        let meta = reader.read(&request, &downstream).unwrap();
        assert_eq!(
            (meta.client.to_string().as_str(), meta.forwarded.x_for.to_str().unwrap()),
            (client, format!("{client}, 10.0.0.1").as_str())
        );
    }
    let meta = reader.read(&Ask::own("/").request, &downstream).unwrap();
    assert_eq!(meta.forwarded.x_for, "10.0.0.1");
}

#[test]
fn return_to_here_is_the_page_asked_for() {
    // CK-26
    use super::return_to::ReturnTo;
    let here = |target| ReturnTo::here(&Ask::own(target).read().unwrap()).to_url(true);
    assert_eq!(here("/a%2Fb/c?x=%20&y=/"), "https://own.example/a%2Fb/c?x=%20&y=/");
    assert_eq!(here("//evil.example/x"), "https://own.example/evil.example/x"); // AT-OR-02
    assert_eq!(here("/é?ü"), "https://own.example/%C3%A9?%C3%BC");
}
