//! Each rule for headers, by itself.

use http::header::{COOKIE, HOST};

use super::*;
use crate::request::cookies::OwnCookies;
use crate::request::{Downstream, Peer, RequestReader};

fn rules() -> HeaderRules {
    HeaderRules::new("here", &["x-team", "sm_user"].map(HeaderName::from_static), || [0xab; 24])
}

fn request(method: &str, fields: &[(&str, &str)]) -> Request<()> {
    let builder = Request::builder().method(method).uri("/");
    fields.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value)).body(()).unwrap()
}

/// The fields that are left, without `Via`.
fn left(method: &str, fields: &[(&str, &str)]) -> Result<Vec<String>, HeaderRefusal> {
    left_in(RequestContext::default(), method, fields)
}

fn left_in(context: RequestContext<'_>, method: &str, fields: &[(&str, &str)]) -> Result<Vec<String>, HeaderRefusal> {
    let mut request = request(method, fields);
    rules().request(&mut request, context)?;
    let fields = request.headers().iter().filter(|(name, _)| **name != VIA);
    Ok(fields.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect())
}

#[test]
fn every_spelling_of_every_identity_header_is_removed() {
    // FW-01, FW-02, AT-HS-01, AT-HS-02, AT-HS-04, AT-HS-19, AT-HS-20
    for name in [
        "x-forwarded-user",
        "X-FORWARDED-USER",
        "x_forwarded_user",
        "X-Forwarded_User",
        "x.forwarded.user",
        "x!forwarded-user",
        "x-forwarded-email",
        "x-forwarded-groups",
        "x-forwarded-preferred-username",
        "x-forwarded-access-token",
        "x-forwarded-for",
        "x_forwarded_for",
        "x-forwarded-proto",
        "x-forwarded-prefix",
        "forwarded",
        "x-real-ip",
        "x-request-id",
        "remote-user",
        "remote_user",
        "Remote-Groups",
        "x-remote-user",
        "x-auth-request-email",
        "X-WEBAUTH-USER",
        "x_webauth_role",
        "x-authentik-username",
        "x-pomerium-jwt-assertion",
        "cf-access-jwt-assertion",
        "x-goog-iap-jwt-assertion",
        "x-goog-authenticated-user-email",
        "x-amzn-oidc-data",
        "tailscale-user-login",
        "client-cert",
        "x-ssl-client-cert",
        "ssl_client_verify",
        "x-ms-client-principal-name",
        "gap-auth",
        "sm_user",
        "sm-user",
        "x-team",
        "x_team",
        "x-vestibule-assertion",
        "x-original-url",
        // PX-38
        "proxy",
        "proxy-authorization",
        "proxy-connection",
    ] {
        assert_eq!(
            left("GET", &[(name, ""), ("accept", "a"), (name, "admin"), (name, "")]).unwrap(),
            ["accept: a"],
            "{name}"
        );
    }
}

#[test]
fn framing_has_one_spelling() {
    for name in
        ["transfer_encoding", "transfer.encoding", "content_length", "content.length", "content_type", "keep_alive"]
    {
        assert_eq!(left("POST", &[(name, "5"), ("accept", "a")]).unwrap(), ["accept: a"], "{name}");
    }
}

#[test]
fn what_no_head_may_say_no_trailer_may_say() {
    // PX-17, AT-HS-07
    let announced = "X_Host, Content_Length, True-Client-IP, X-HTTP-Method-Override, X-Userinfo, Content-Length, X-Sum";
    for peer_trusted in [false, true] {
        let context = RequestContext { peer_trusted, ..RequestContext::default() };
        assert_eq!(left_in(context, "POST", &[("trailer", announced)]).unwrap(), ["trailer: x-sum"]);
    }
}

#[test]
fn only_a_trusted_proxy_names_the_client_the_scheme_and_the_port() {
    let trusted = RequestContext { peer_trusted: true, ..RequestContext::default() };
    for name in ["true-client-ip", "x-client-ip", "X_Client_IP", "cf-connecting-ip", "front-end-https", "x-client-port"]
    {
        assert_eq!(left("GET", &[(name, "1")]).unwrap(), Vec::<String>::new(), "{name}");
        assert_eq!(left_in(trusted, "GET", &[(name, "1")]).unwrap().len(), 1, "{name}");
    }
    // Hosts and ways are the gateway's own business, and people are nobody's but its.
    for name in
        ["x-host", "X_Host", "x-http-host-override", "x-original-url", "x-envoy-peer", "remote-user", "ssl-client-cert"]
    {
        assert_eq!(left_in(trusted, "GET", &[(name, "1")]).unwrap(), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn no_field_overrides_a_method_that_rules_look_at() {
    // PX-40, AT-HS-16
    let matters = RequestContext { methods_matter: true, ..RequestContext::default() };
    for name in ["x-http-method-override", "X_HTTP_Method_Override", "x.http.method", "x-method-override"] {
        assert_eq!(left("POST", &[(name, "DELETE")]).unwrap().len(), 1, "{name}");
        assert_eq!(left_in(matters, "POST", &[(name, "DELETE")]).unwrap(), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn a_kept_field_passes_in_its_own_spelling_and_is_no_spoof() {
    let kept = ["x-userinfo", "true-client-ip", "connection", "x-host", "content_length"].map(HeaderName::from_static);
    let context = RequestContext { kept: &kept, ..RequestContext::default() };
    let fields = [
        ("x-userinfo", "1"),
        ("x_userinfo", "2"),
        ("true-client-ip", "3"),
        ("x-id-token", "4"),
        ("x-host", "5"),
        ("content_length", "6"),
    ];
    assert_eq!(left_in(context, "GET", &fields).unwrap(), ["x-userinfo: 1", "true-client-ip: 3"]);
    let spoofed = |fields: &[(&str, &str)]| rules().request(&mut request("GET", fields), context).unwrap();
    assert_eq!(spoofed(&fields[..1]), None);
    assert_eq!(spoofed(&fields[..2]).unwrap(), "x_userinfo");
    // Nominated, it stays on this hop like any other field.
    assert_eq!(
        left_in(context, "GET", &[("connection", "x-userinfo"), ("x-userinfo", "1")]).unwrap(),
        Vec::<String>::new()
    );
}

#[test]
fn ordinary_names_are_left_alone() {
    let fields = [
        "accept",
        "accept-encoding",
        "authorization",
        "cookie",
        "host",
        "origin",
        "referer",
        "sec-fetch-mode",
        "user-agent",
        "x-csrf-token",
        "x-requested-with",
        "x-http-method-override",
        "x-teams",
        "x-tea",
        "remote",
        "proxies",
        "upgrade-insecure-requests",
        "if-match",
        "priority",
        "x-api-key",
        "x-auth-token",
        "x-user-id",
        "x-scope-orgid",
        "auth-token",
        "content-type",
        "x-forward",
        "t-e",
        "v-ia",
        "",
        "z",
    ];
    for name in fields.into_iter().filter(|name| !name.is_empty()) {
        assert_eq!(left("GET", &[(name, "1")]).unwrap(), [format!("{name}: 1")]);
    }
}

#[test]
fn connection_fields_stay_on_this_hop() {
    // PX-01
    let hop = [
        ("connection", "close, X-Hop"),
        ("connection", "x-other"),
        ("x-hop", "1"),
        ("x-other", "1"),
        ("keep-alive", "timeout=5"),
        ("te", "gzip"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("proxy-connection", "keep-alive"),
        ("http2-settings", "AAMAAABk"),
        ("accept", "a"),
    ];
    assert_eq!(left("GET", &hop).unwrap(), ["accept: a"]);
}

#[test]
fn nothing_that_matters_to_everybody_can_be_nominated_away() {
    // PX-03
    let fields = [
        ("connection", "authorization, cookie, host, content-length, cache-control, origin, content-type"),
        ("authorization", "a"),
        ("cookie", "b"),
        ("host", "c"),
        ("content-length", "1"),
        ("cache-control", "no-store"),
        ("origin", "d"),
        ("content-type", "e"),
    ];
    assert_eq!(left("POST", &fields).unwrap().len(), 7);
}

#[test]
fn what_the_gateway_sets_cannot_be_nominated_away() {
    // PX-02, AT-HS-05
    let mut request = request("GET", &[("connection", "X-Forwarded-User, X-Team"), ("x-forwarded-user", "admin")]);
    rules().request(&mut request, RequestContext::default()).unwrap();
    let user = HeaderName::from_static("x-forwarded-user");
    inject(request.headers_mut(), &[(user.clone(), HeaderValue::from_static("ada"))]);
    assert_eq!(request.headers().get_all(user).iter().collect::<Vec<_>>(), ["ada"]);
    assert!(!request.headers().contains_key(CONNECTION));
}

#[test]
fn an_injected_name_replaces_and_may_have_several_values() {
    let mut headers = HeaderMap::new();
    let [group, host] = ["x-group", "host"].map(HeaderName::from_static);
    headers.insert(&group, HeaderValue::from_static("admin"));
    let value = HeaderValue::from_static;
    inject(&mut headers, &[(group.clone(), value("a")), (group.clone(), value("b")), (host, value("h"))]);
    assert_eq!(headers.get_all(group).iter().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(headers.get(HOST).unwrap(), "h");
}

#[test]
fn te_passes_only_with_trailers() {
    // PX-18
    assert_eq!(left("GET", &[("te", "gzip, Trailers;q=1"), ("connection", "te")]).unwrap(), Vec::<String>::new());
    assert_eq!(
        left("GET", &[("te", "gzip, trailers"), ("connection", "te")]).unwrap(),
        ["te: trailers", "connection: TE"]
    );
}

#[test]
fn via_is_added_behind_the_others_and_a_loop_is_noticed() {
    // PX-04
    let mut first = request("GET", &[("via", "1.0 fred, 1.1 heretic")]);
    rules().request(&mut first, RequestContext::default()).unwrap();
    assert_eq!(first.headers().get_all(VIA).iter().collect::<Vec<_>>(), ["1.0 fred, 1.1 heretic", "1.1 here"]);
    // PX-05
    assert_eq!(rules().request(&mut first, RequestContext::default()), Err(HeaderRefusal::Loop));
    let mut second = request("GET", &[("via", "1.0 fred,2  HERE (comment)")]);
    assert_eq!(rules().request(&mut second, RequestContext::default()), Err(HeaderRefusal::Loop));
    assert_eq!(HeaderRefusal::Loop.status(), StatusCode::LOOP_DETECTED);
}

#[test]
fn max_forwards_is_counted_for_options_only() {
    // PX-06
    assert_eq!(left("OPTIONS", &[("max-forwards", "5")]).unwrap(), ["max-forwards: 4"]);
    assert_eq!(left("OPTIONS", &[("max-forwards", "0")]), Err(HeaderRefusal::LastHop));
    assert_eq!(left("GET", &[("max-forwards", "0")]).unwrap(), ["max-forwards: 0"]);
    assert_eq!(left("OPTIONS", &[("max-forwards", "-1")]).unwrap(), Vec::<String>::new());
}

#[test]
fn expectations_other_than_100_continue_are_refused() {
    // PX-13
    assert_eq!(left("PUT", &[("expect", "100-Continue")]).unwrap(), ["expect: 100-Continue"]);
    assert_eq!(left("PUT", &[("expect", "100-continue, x")]), Err(HeaderRefusal::Expectation));
}

#[test]
fn a_valid_trace_goes_on_under_a_new_parent() {
    // FW-09
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let valid = format!("00-{trace}-00f067aa0ba902b7-01");
    let fresh = format!("00-{}-{}-00", "ab".repeat(16), "ab".repeat(8));
    let kept = left("GET", &[("traceparent", &valid), ("tracestate", "a=1")]).unwrap();
    assert_eq!(kept, [format!("traceparent: 00-{trace}-{}-01", "ab".repeat(8)), "tracestate: a=1".to_owned()]);
    let later = format!("cc-{trace}-00f067aa0ba902b7-01-what");
    assert_eq!(left("GET", &[("traceparent", &later)]).unwrap().len(), 1);
    for invalid in [
        "",
        "00",
        &valid.to_uppercase(),
        &format!("ff-{trace}-00f067aa0ba902b7-01"),
        &format!("{valid}-more"),
        &format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
        &format!("00-{trace}-{}-01", "0".repeat(16)),
    ] {
        let left = left("GET", &[("traceparent", invalid), ("tracestate", "a=1")]).unwrap();
        assert_eq!(left, [format!("traceparent: {fresh}")], "{invalid}");
    }
    let twice = left("GET", &[("traceparent", &valid), ("traceparent", &valid)]).unwrap();
    assert_eq!(twice, [format!("traceparent: {fresh}")]);
    assert_eq!(left("GET", &[("tracestate", "a=1")]).unwrap(), Vec::<String>::new());
}

#[test]
fn the_client_s_own_authorization_never_stands_in_for_a_token() {
    for (authorization, stays) in
        [(Authorization::Keep, true), (Authorization::Remove, false), (Authorization::AccessToken, false)]
    {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Basic eA=="));
        set_authorization_aside(&mut headers, &authorization);
        assert_eq!(headers.contains_key(AUTHORIZATION), stays);
    }
}

#[test]
fn cookies_of_ours_are_dropped_by_name_whatever_their_spelling() {
    // CK-19
    let builder =
        Response::builder().header(COOKIE, "x").header(SET_COOKIE, "ours=1").header(SET_COOKIE, "theirs=ours");
    let mut response = builder.header(SET_COOKIE, " ours ; Path=/").header(SET_COOKIE, "b=\u{e9}").body(()).unwrap();
    rules().response(&mut response, |name| name == "ours");
    let kept: Vec<_> = response.headers().get_all(SET_COOKIE).iter().map(HeaderValue::as_bytes).collect();
    assert_eq!(kept, [b"theirs=ours".as_slice(), "b=\u{e9}".as_bytes()]);
    assert_eq!(response.headers()[VIA], "1.1 here");
}

#[test]
fn the_way_here_is_told_by_the_gateway_alone() {
    // FW-04, FW-05, AT-HS-13, AT-HS-17
    let spoofed = [
        ("host", "app.example"),
        ("x-forwarded-for", "127.0.0.1"),
        ("X_Forwarded_For", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-port", "1"),
        ("x-forwarded-prefix", "/evil"),
        ("forwarded", "for=127.0.0.1;host=evil.example"),
        ("x-request-id", "evil"),
    ];
    let mut request = request("GET", &spoofed);
    let peer = Downstream::new(Peer::Ip("203.0.113.9:4711".parse().unwrap()), Some(443), None);
    let reader = RequestReader::new(Vec::new(), false, true, "app.example");
    let meta = reader.read(&request, &peer).unwrap();
    rules().request(&mut request, RequestContext::default()).unwrap();
    set_way_here(request.headers_mut(), &meta);
    let parts = request.into_parts().0;
    let mut fields: Vec<_> =
        parts.headers.iter().filter(|(name, _)| !["via", "x-request-id"].contains(&name.as_str())).collect();
    fields.sort_by_key(|(name, _)| name.as_str());
    let fields: Vec<_> =
        fields.into_iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    assert_eq!(
        fields,
        [
            "forwarded: for=203.0.113.9;host=app.example;proto=https",
            "host: app.example",
            "x-forwarded-for: 203.0.113.9",
            "x-forwarded-host: app.example",
            "x-forwarded-port: 443",
            "x-forwarded-proto: https",
        ]
    );
    assert_ne!(parts.headers.get("x-request-id").unwrap(), "evil");
}

#[test]
fn the_application_gets_its_own_cookies_only() {
    // CK-18, PX-45
    let own = OwnCookies::new("__Host-vestibule", &["corp".into()]);
    for (fields, wanted) in [
        (&["a=1; b=\"2\""][..], Some("a=1; b=\"2\"")),
        (&["a=1; __Host-vestibule=x; b=2"], Some("a=1; b=2")),
        (&["__Host-vestibule=x"], None),
        (&["a=1", "__Host-vestibule=x", "b=2"], Some("a=1; b=2")),
    ] {
        let fields: Vec<_> = fields.iter().map(|value| ("cookie", *value)).collect();
        let mut request = request("GET", &fields);
        let scan = own.scan(request.headers());
        set_cookie(request.headers_mut(), &scan.for_upstream);
        let left: Vec<_> = request.headers().get_all(COOKIE).iter().map(|value| value.to_str().unwrap()).collect();
        assert_eq!(left, wanted.into_iter().collect::<Vec<_>>());
    }
}
