//! The harness shown to do what its users believe: cookies, forms, records, splitting, faults on the wire.

use std::time::Duration;

use crate::harness::idp::Breakage;
use crate::harness::idp::paths;
use vestibule::demo::start_upstream;

use crate::harness::browser::Ask;
use crate::harness::idp::CLIENT_ID;
use crate::harness::{Browser, Raw, RecordingUpstream, TestIdp, clock};

#[tokio::test]
async fn a_browser_picks_a_person_and_lands_at_the_client_with_a_code() {
    let (idp, client) = (TestIdp::start().await, RecordingUpstream::start().await);
    let back = format!("{}/callback", client.url());
    idp.allow_return_to(CLIENT_ID, &back, &back);
    let browser = Browser::new(idp.clock.clone());

    let page = browser.signs_in(&authorization_url(&idp, &back), "Grace").await;
    assert!(page.param("code").is_some());
    assert_eq!(page.param("state").as_deref(), Some("s-1"));
    assert_eq!(page.param("iss").as_deref(), Some(idp.issuer()));
    assert!(client.only_request().header("cookie").is_none(), "the provider's cookie is of the provider's path");

    // Single sign-on: nobody is asked again, until the provider forgets.
    assert!(!browser.opens(&authorization_url(&idp, &back)).await.is_choosing());
    idp.forget_browsers();
    assert!(browser.opens(&authorization_url(&idp, &back)).await.is_choosing());
}

#[tokio::test]
async fn the_person_may_also_cancel() {
    let (idp, client) = (TestIdp::start().await, RecordingUpstream::start().await);
    idp.allow_return_to(CLIENT_ID, &client.url(), &client.url());
    let browser = Browser::new(idp.clock.clone());
    let page = browser.opens(&authorization_url(&idp, &client.url())).await;
    let page = browser.submits(&page, "choose", &[("person", "")]).await;
    assert_eq!(page.param("error").as_deref(), Some("access_denied"));
}

#[tokio::test]
async fn cookies_follow_prefix_domain_path_and_expiry_rules() {
    let clock = clock();
    let browser = Browser::new(clock.clone());
    let plant = |field: &str| browser.plants("https://a.example.com/dir/page", field);
    plant("__Host-a=1; Path=/; Secure");
    plant("__Host-b=1; Path=/");
    plant("__Host-c=1; Path=/; Secure; Domain=example.com");
    plant("__Host-d=1; Path=/dir; Secure");
    plant("e=1; Domain=example.com; Path=/");
    plant("f=1; Domain=other.example; Path=/");
    plant("g=1");
    plant("h=1; Path=/; Max-Age=60");
    plant("i=1; Domain=com; Path=/");
    browser.plants("http://a.example.com/", "j=1; Secure; Path=/");
    let names = |url: &str| -> Vec<String> {
        let all = "__Host-a __Host-b __Host-c __Host-d e f g h i j";
        all.split(' ').filter(|name| browser.cookie(url, name).is_some()).map(str::to_owned).collect()
    };
    assert_eq!(names("https://a.example.com/dir/x"), ["__Host-a", "e", "g", "h"]);
    assert_eq!(names("https://a.example.com/directory"), ["__Host-a", "e", "h"]);
    assert_eq!(names("https://b.example.com/"), ["e"]);
    assert_eq!(names("http://a.example.com/dir/x"), ["e", "g", "h"]);
    clock.advance(Duration::from_secs(60));
    assert_eq!(names("https://a.example.com/"), ["__Host-a", "e"]);
    plant("e=; Domain=example.com; Path=/; Max-Age=0");
    assert_eq!(names("https://b.example.com/"), Vec::<String>::new());
}

#[tokio::test]
async fn same_site_and_fetch_metadata_follow_the_cause() {
    let upstream = RecordingUpstream::start().await;
    let browser = Browser::new(clock()).resolving("https://app.example.com", upstream.address);
    let app = "https://app.example.com/";
    browser.plants(app, "strict=1; SameSite=Strict; Secure");
    browser.plants(app, "lax=1; SameSite=Lax");
    browser.plants(app, "none=1; SameSite=None; Secure");
    let foreign = "https://evil.test/".parse().unwrap();
    let own = "https://www.example.com/".parse().unwrap();
    let asks = [
        (Ask::navigation(app), "strict=1; lax=1; none=1", "none"),
        (Ask::navigation(app).from(&own), "strict=1; lax=1; none=1", "same-site"),
        (Ask::navigation(app).from(&foreign), "lax=1; none=1", "cross-site"),
        (Ask::form(app, &[]).from(&foreign), "none=1", "cross-site"),
        (Ask::script(app).from(&foreign), "none=1", "cross-site"),
    ];
    for (ask, cookies, site) in asks {
        browser.does(ask.clone()).await;
        let seen = upstream.last_request();
        assert_eq!((seen.header("cookie"), seen.header("sec-fetch-site")), (Some(cookies), Some(site)), "{ask:?}");
    }
}

#[tokio::test]
async fn the_record_keeps_names_order_and_repeats() {
    let upstream = RecordingUpstream::start().await;
    let mut raw = Raw::connect(upstream.address).await;
    let head = "POST /a//b?c HTTP/1.1\r\nHost: x\r\nX-One: 1\r\nx-one: 2\r\nTransfer-Encoding: chunked\r\n\r\n";
    raw.send(format!("{head}3\r\nabc\r\n0\r\nX-Trailer: t\r\n\r\n")).await;
    assert_eq!(raw.answer("POST").await.status, 200);
    let seen = upstream.only_request();
    assert_eq!(seen.head, head);
    assert_eq!(seen.all("x-one"), ["1", "2"]);
    assert_eq!((seen.text().as_str(), seen.target.as_str()), ("abc", "/a//b?c"));
    assert_eq!(seen.trailers, [("X-Trailer".to_owned(), "t".to_owned())]);
    assert!(raw.rest().await.is_empty());
}

#[tokio::test]
async fn bytes_after_an_answer_are_found() {
    let upstream = RecordingUpstream::start().await;
    upstream.answers_once(
        "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200",
    );
    let mut raw = Raw::connect(upstream.address).await;
    raw.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(raw.any_answer("GET").await.unwrap().status, 103);
    assert_eq!(raw.answer("GET").await.text(), "ok");
    assert_eq!(raw.rest().await, b"HTTP/1.1 200");
}

#[tokio::test]
async fn an_upgraded_connection_echoes() {
    let upstream = RecordingUpstream::start().await;
    upstream.answers("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
    let mut raw = Raw::connect(upstream.address).await;
    raw.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nhello").await;
    assert_eq!(raw.answer("GET").await.status, 101);
    assert_eq!(raw.exactly(5).await.unwrap(), b"hello");
    assert_eq!(upstream.upgraded_bytes(), b"hello");
}

#[tokio::test]
async fn the_provider_breaks_on_the_wire_as_it_is_told() {
    let idp = TestIdp::start().await;
    let address = idp.issuer().strip_prefix("http://").unwrap().parse().unwrap();
    let request = format!("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", paths::DISCOVERY);
    let honest = Raw::once(address, &request).await;
    assert_eq!((honest.status, honest.header("content-type")), (200, Some("application/json")));

    idp.break_with(|faults| faults.discovery.break_with(Breakage::Reset));
    let mut raw = Raw::connect(address).await;
    raw.send(&request).await;
    assert!(raw.is_closed().await);

    idp.break_with(|faults| faults.discovery.break_with(Breakage::Truncated));
    let mut raw = Raw::connect(address).await;
    raw.send(&request).await;
    assert!(raw.any_answer("GET").await.is_none());

    idp.break_with(|faults| faults.discovery.break_with(Breakage::Drip(Duration::from_micros(1))));
    assert_eq!(Raw::once(address, &request).await.body, honest.body);

    idp.heal();
    idp.break_with(|faults| {
        faults.discovery.members.set("issuer", "https://evil.example").remove("token_endpoint");
    });
    let edited = Raw::once(address, &request).await.text();
    assert!(edited.contains("https://evil.example") && !edited.contains("\"token_endpoint\":"));
    assert_eq!(idp.seen_at(paths::DISCOVERY).len(), 5);
}

#[tokio::test]
async fn the_sample_application_greets_by_name_and_echoes() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    start_upstream(listener, tokio_util::sync::CancellationToken::new()).unwrap();
    let browser = Browser::new(clock()).sending("x-forwarded-user", "<Ada>");
    let page = browser.opens(&format!("http://{address}/some/path/")).await;
    assert!(page.text().contains("Hello, &lt;Ada&gt;"));
    assert_eq!(page.form("/logout").action, format!("http://{address}/_vestibule/logout"));

    let mut raw = Raw::connect(address).await;
    let handshake = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    raw.send(format!("GET /deep/echo HTTP/1.1\r\nHost: x\r\n{handshake}\r\n\r\n")).await;
    let answer = raw.answer("GET").await;
    assert_eq!(answer.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")); // RFC 6455 section 1.3
    // A masked text frame that says "hi"; it comes back unmasked.
    raw.send([0x81, 0x82, 0, 0, 0, 0, b'h', b'i']).await;
    assert_eq!(raw.exactly(4).await.unwrap(), [0x81, 0x02, b'h', b'i']);

    let mut raw = Raw::connect(address).await;
    raw.send("GET /ticks HTTP/1.0\r\n\r\n").await;
    assert_eq!(raw.exactly(15).await.unwrap(), b"HTTP/1.0 200 OK");
}

fn authorization_url(idp: &TestIdp, back: &str) -> String {
    let mut url = url::Url::parse(&idp.url(paths::AUTHORIZE)).unwrap();
    url.query_pairs_mut().extend_pairs([
        ("response_type", "code"),
        ("client_id", CLIENT_ID),
        ("redirect_uri", back),
        ("scope", "openid profile"),
        ("state", "s-1"),
        ("code_challenge", &"x".repeat(43)),
        ("code_challenge_method", "S256"),
    ]);
    url.into()
}
