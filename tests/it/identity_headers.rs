//! Identity headers as the application receives them: from the gateway alone, whatever the client and the provider say.

use crate::harness::idp::{IdpSettings, Person};
use serde_json::json;

use crate::harness::Scene;
use crate::harness::upstream::Recorded;

/// Every kind of route, and one that sends headers of its own.
const ROUTES: &str = r#"
[route.api]
path = "/api"
upstream = "UPSTREAM"
access = "api"
[route.optional]
path = "/optional"
upstream = "UPSTREAM"
access = "optional"
[route.public]
path = "/public"
upstream = "UPSTREAM"
access = "public"
[route.own]
path = "/own"
upstream = "UPSTREAM"
[route.own.identity]
set = "none"
headers = { X-Department = "claim:department", sm_role = "text:reader" }
"#;

async fn scene_with(people: Vec<Person>) -> Scene {
    Scene::set_up(IdpSettings { people, ..IdpSettings::default() }, ROUTES).await
}

fn ada_with(claims: &[(&str, serde_json::Value)]) -> Vec<Person> {
    let mut ada = Person::new("1", "Ada Lovelace", "ada", &["staff"]);
    ada.claims.extend(claims.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    vec![ada]
}

/// Every name that some application takes for an identity, an assertion, a certificate or another path; and every spelling.
const SPOOFS: &[&str] = &[
    "X-Forwarded-User",
    "x-forwarded-user",
    "X-FORWARDED-USER",
    "X-fOrWaRdEd-UsEr",
    "X_Forwarded_User",
    "X-Forwarded_User",
    "X.Forwarded.User",
    "X_Forwarded.Email",
    "X-Forwarded-Email",
    "X-Forwarded-Groups",
    "x_forwarded_groups",
    "X-Forwarded-Preferred-Username",
    "X-Forwarded-Access-Token",
    "X-Forwarded-Prefix",
    "X-Forwarded-Uri",
    "X_Forwarded_For",
    "X.Forwarded.Proto",
    "X-Forwarded",
    "Remote-User",
    "REMOTE_USER",
    "Remote-Groups",
    "X-Remote-User",
    "X-WEBAUTH-USER",
    "X_WebAuth_User",
    "X-WebAuth-Role",
    "X-Auth-Request-User",
    "X-Auth-Request-Email",
    "X-Auth-Request-Access-Token",
    "X-authentik-username",
    "X-Proxy-User",
    "SM_USER",
    "sm-user",
    "X-Department",
    "x_department",
    "X.Department",
    "SM-Role",
    "X-Pomerium-Jwt-Assertion",
    "X-Goog-IAP-JWT-Assertion",
    "X-Goog-Authenticated-User-Email",
    "Cf-Access-Jwt-Assertion",
    "X-Amzn-Oidc-Identity",
    "X-Amzn-Oidc-Data",
    "X-Vestibule-Assertion",
    "Vestibule-Assertion",
    "X-Jwt-Assertion",
    "X-MS-CLIENT-PRINCIPAL-NAME",
    "Tailscale-User-Login",
    "X-SSL-Client-Cert",
    "X_SSL_Client_Verify",
    "SSL-Client-S-Dn",
    "Client-Cert",
    "Client_Cert",
    "Client-Cert-Chain",
    "X-Client-Cert",
    "X-Client-Cert-Dn",
    "X-Original-URL",
    "X-Rewrite-URL",
    "X-Original-Uri",
    "X-Real-IP",
    "Proxy",
    "Proxy-User",
    // Gateways that sign people in.
    "X-MS-CLIENT-PRINCIPAL",
    "X-MS-Client-Principal-Idp",
    "X-MS-TOKEN-AAD-ID-TOKEN",
    "X-ZUMO-AUTH",
    "OIDC_CLAIM_sub",
    "OIDC-Claim-Groups",
    "OIDC_access_token",
    "OIDC_id_token_payload",
    "MELLON_NAME_ID",
    "CAS-User",
    "Shib-Session-ID",
    "Shib_Identity_Provider",
    "AJP_eppn",
    "eppn",
    "unscoped-affiliation",
    "X-User",
    "X-Userinfo",
    "X_Userinfo",
    "X-ID-Token",
    "X-Access-Token",
    "X.Access.Token",
    "X-Refresh-Token",
    "X-Auth-Email",
    "X-Auth-User",
    "X-Auth-Username",
    "X-Auth-Userid",
    "X-Auth-Subject",
    "X-Auth-Roles",
    "X-Auth-CouchDB-UserName",
    "X-Token-Subject",
    "X-Token-User-Email",
    "X-Vouch-User",
    "X-Vouch-IdP-Claims-Groups",
    "X-Consumer-Username",
    "X_Consumer_Custom_ID",
    "X-Credential-Identifier",
    "X-Authenticated-Userid",
    "X-Anonymous-Consumer",
    "X-Kratos-Authenticated-Identity-Id",
    "sec-username",
    "Auth-User",
    "Login-User",
    "GAP-Signature",
    // Access management products and platforms.
    "SM_USERDN",
    "SM_UNIVERSALID",
    "OAM_REMOTE_USER",
    "Osso-User-Dn",
    "iv-user",
    "IV_GROUPS",
    "$WSRU",
    "WL-Proxy-Client-Cert",
    "HTTP_REMOTE_USER",
    "Logon-User",
    "MS-ASPNETCORE-WINAUTHTOKEN",
    "X-Amzn-Mtls-Clientcert",
    "X-AppEngine-User-Email",
    "X-Endpoint-API-UserInfo",
    "Cf-Client-Cert-Sha256",
    "Sf-Context-Current-User",
    "X-Replit-User-Name",
    "l5d-client-id",
    "sec-istio-auth-userinfo",
    "X-JWT-Payload",
    "Impersonate-User",
    "Impersonate_Extra_Scopes",
    "X-Remote-Group",
    "es-security-runas-user",
    "opendistro_security_impersonate_as",
    "X-Proxy-Ext-Attribute",
    "X-SSL-CERT",
    "ssl_cipher",
    "X-Client-Certificate",
    "X-Client-Verify",
    "X-ARR-ClientCert",
    "X-Forwarded-Client-Cert",
    "ngrok-auth-user-email",
    "zrok-auth-email",
    "X-ExeDev-Email",
    "X-NetBird-User",
    "kubeflow-userid",
    "domino-username",
    "X-ProxiedEntitiesChain",
    "LIFERAY_EMAIL_ADDRESS",
    "X-Alfresco-Remote-User",
    "Posit-Connect-User-Session-Token",
    "X-OAuth2-Proxy-Id-Token",
    "X-ApiGateway-Event",
    // The way here in other words.
    "X-ProxyHost",
    "X-ProxyContextPath",
    "X-JFrog-Override-Base-Url",
    "X-Script-Name",
    "Script_Name",
    "X-Envoy-Original-Path",
    "X-Waws-Unencoded-Url",
    "X-Sendfile-Type",
];

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_an_identity_header_arrives_on_any_route() {
    // FW-01, FW-02, AT-HS-01, AT-HS-02, AT-HS-04, AT-HS-10, AT-HS-19, AT-HS-20
    let scene = scene_with(ada_with(&[("department", json!("it"))])).await;
    let session = scene.session_of("Ada").await;
    let lines: Vec<String> = SPOOFS.iter().map(|name| format!("{name}: evil\r\n")).collect();
    let repeated = "X-Forwarded-User:\r\nX-Forwarded-User: evil\r\nX_Forwarded_User: evil\r\nX-Forwarded-User: evil\r\nX-Forwarded-User:\r\n";
    for (path, session, status) in [
        ("/", "", 401),
        ("/", &*session, 200),
        ("/api", "", 401),
        ("/api", &session, 200),
        ("/optional", "", 200),
        ("/optional", &session, 200),
        ("/public", "", 200),
        ("/public", &session, 200),
        ("/own", "", 401),
        ("/own", &session, 200),
    ] {
        // No server takes all of them at once.
        for spoofs in lines.chunks(70).map(<[_]>::concat) {
            scene.upstream.forget_seen();
            let answer = scene.sends("GET", path, &format!("{spoofs}{session}{repeated}")).await;
            assert_eq!(answer.status, status, "{path}");
            assert_eq!(scene.upstream.seen().len(), usize::from(status == 200));
            for seen in scene.upstream.seen() {
                assert!(!seen.head.contains("evil"), "{path}: {}", seen.head);
                let told = !session.is_empty() && !["/public", "/own"].contains(&path);
                assert_eq!(seen.all("x-forwarded-user"), if told { vec!["1"] } else { vec![] }, "{path}");
                assert_eq!(seen.all("x-department"), if path == "/own" { vec!["it"] } else { vec![] }, "{path}");
            }
        }
    }
    assert!(scene.idp.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_may_keep_a_field_of_another_gateway_in_one_spelling() {
    // FW-01, FW-02
    let mut scene = scene_with(Person::two()).await;
    scene.gateway.reload_with("[route.public]\ninsecure_keep_headers = ['X-Userinfo', 'iv-user']");
    let sent = "X-Userinfo: 1\r\nX_Userinfo: 2\r\nX-Id-Token: 3\r\nIV-User: 4\r\nX-Forwarded-User: 5\r\n";
    for (path, kept) in [("/public", true), ("/optional", false)] {
        assert_eq!(scene.sends("GET", path, sent).await.status, 200);
        let seen = scene.upstream.last_request();
        assert_eq!(seen.all("x-userinfo"), if kept { vec!["1"] } else { vec![] }, "{path}");
        assert_eq!(seen.all("iv-user"), if kept { vec!["4"] } else { vec![] }, "{path}");
        for name in ["x_userinfo", "x-id-token", "x-forwarded-user"] {
            assert_eq!(seen.header(name), None, "{name} on {path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connection_cannot_take_an_identity_header_away() {
    // PX-02, AT-HS-05
    let scene = scene_with(Person::two()).await;
    let session = scene.session_of("Ada").await;
    for trick in [
        "Connection: X-Forwarded-User\r\n",
        "Connection: close, X-Forwarded-User\r\n",
        "Connection: keep-alive, x-forwarded-user, X_FORWARDED_USER,X-Forwarded-Email,, \r\n",
        "Connection: close\r\nConnection: X-Forwarded-User, X-Forwarded-For\r\n",
        "Connection: \"X-Forwarded-User\"\r\nX-Forwarded-User: evil\r\n",
        "Connection: X-Forwarded-User\r\nX-Forwarded-User: evil\r\n",
    ] {
        assert_eq!(scene.sends("GET", "/", &format!("{trick}{session}")).await.status, 200);
        let seen = scene.upstream.last_request();
        assert_eq!(seen.all("x-forwarded-user"), ["248289761001"], "{trick}");
        assert_eq!(seen.all("x-forwarded-email"), ["ada@example.com"], "{trick}");
        assert_eq!(seen.all("x-forwarded-for"), ["127.0.0.1"], "{trick}");
    }
    // It cannot take the session away either.
    assert_eq!(scene.sends("GET", "/", "Connection: Cookie\r\n").await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_name_nobody() {
    // AT-HS-07
    let scene = scene_with(Person::two()).await;
    let session = scene.session_of("Ada").await;
    let mut raw = scene.raw().await;
    let announced = "Trailer: X-Forwarded-User, X_Forwarded_Email, X-Sum\r\nTransfer-Encoding: chunked\r\n";
    raw.send(scene.request("POST", "/", &format!("{session}{announced}"))).await;
    raw.send("1\r\na\r\n0\r\nX-Forwarded-User: evil\r\nX_Forwarded_Email: evil\r\nX-Sum: 1\r\n\r\n").await;
    assert_eq!(raw.answer("POST").await.status, 200);
    let seen = scene.upstream.only_request();
    assert_eq!(seen.trailers.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>(), ["1"]);
    assert!(!seen.head.to_ascii_lowercase().contains("trailer: x-forwarded"), "{}", seen.head);
    assert_eq!(seen.all("x-forwarded-user"), ["248289761001"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_become_headers_as_the_route_says() {
    // UI-07, UI-08
    let claims = [
        ("department", json!("it")),
        ("level", json!(7)),
        ("on_call", json!(true)),
        ("realm", json!({ "roles": ["a", "b"] })),
        ("object", json!({ "a": 1 })),
    ];
    let scene = scene_with(ada_with(&claims)).await;
    let mut gateway = scene.gateway;
    gateway.reload_with(
        r#"[route.app.identity]
set = "grafana"
separator = "|"
[route.app.identity.headers]
X-Subject = "subject"
X-Department = "claim:department"
X-Level = "claim:level"
X-On-Call = "claim:on_call"
X-Roles = "claim:/realm/roles"
X-Object = "claim:object"
X-Missing = "claim:missing"
X-Provider = "provider"
X-Token = "access_token"
X-Fixed = "text:a b""#,
    );
    let scene = Scene { gateway, ..scene };
    let session = scene.session_of("Ada").await;
    scene.sends("GET", "/", &session).await;
    let seen = scene.upstream.only_request();
    for (name, value) in [
        ("x-webauth-user", Some("ada")),
        ("x-webauth-email", Some("ada@example.com")),
        ("x-webauth-groups", Some("staff")),
        ("x-subject", Some("1")),
        ("x-department", Some("it")),
        ("x-level", Some("7")),
        ("x-on-call", Some("true")),
        ("x-roles", Some("a|b")),
        ("x-object", None),
        ("x-missing", None),
        ("x-provider", Some("idp")),
        ("x-fixed", Some("a b")),
        ("x-forwarded-user", None),
    ] {
        assert_eq!(seen.header(name), value, "{name}");
    }
    assert!(seen.header("x-token").is_some_and(|token| token.len() > 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_cannot_break_out_of_its_header() {
    // AT-HS-11, AT-SM-20
    let hostile = [
        "x\r\nSet-Cookie: a=b",
        "x\nX-Forwarded-Groups: admins",
        "x\0y",
        "x\u{7f}",
        "x\u{85}y",
        "x\u{2028}y",
        " ada",
        "ada\t",
        "\u{a0}ada",
    ];
    for text in hostile {
        let mut people = ada_with(&[("department", json!(text))]);
        people[0].claims.insert("preferred_username".to_owned(), json!(text));
        people[0].claims.insert("groups".to_owned(), json!(["staff", text]));
        let scene = scene_with(people).await;
        let session = scene.session_of("Ada").await;
        for path in ["/", "/own"] {
            assert_eq!(
                scene.sends("GET", path, &format!("{session}X-Forwarded-Preferred-Username: evil\r\n")).await.status,
                200
            );
            let seen = scene.upstream.last_request();
            assert_eq!(seen.header("x-department"), None, "{text:?}");
            assert_eq!(seen.header("x-forwarded-preferred-username"), None, "{text:?}");
            assert_eq!(seen.header("set-cookie"), None, "{text:?}");
            assert_eq!(seen.header("x-forwarded-groups"), (path == "/").then_some("staff"), "{text:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn long_and_foreign_claims_arrive_whole_or_not_at_all() {
    // AT-HS-11
    let scene = scene_with(ada_with(&[("department", json!("d".repeat(9000)))])).await;
    let session = scene.session_of("Ada").await;
    scene.sends("GET", "/own", &session).await;
    assert_eq!(scene.upstream.only_request().header("x-department"), None);
    let scene = scene_with(ada_with(&[("department", json!("Zoë & 東京"))])).await;
    let session = scene.session_of("Ada").await;
    scene.sends("GET", "/own", &session).await;
    assert_eq!(scene.upstream.only_request().header("x-department"), Some("Zoë & 東京"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_holds_the_separator_is_one_group() {
    // Nobody becomes an admin by founding a group with a comma in its name: not here, not in the application.
    let mut people = ada_with(&[]);
    people[0].claims.insert("groups".to_owned(), json!(["staff,admins", "a, admins", "x", "staff%2Cadmins"]));
    let scene = scene_with(people).await;
    let mut gateway = scene.gateway;
    gateway
        .reload_with("[route.admin]\npath = '/admin'\nupstream = 'static:200'\nallow.groups = ['admins', ' admins']");
    let scene = Scene { gateway, ..scene };
    let session = scene.session_of("Ada").await;
    assert_eq!(scene.sends("GET", "/admin", &session).await.status, 403);
    scene.assert_nobody_was_asked("not an admin");
    assert_eq!(scene.sends("GET", "/", &session).await.status, 200);
    let seen = scene.upstream.only_request();
    let groups: Vec<&str> = seen.header("x-forwarded-groups").unwrap().split(',').map(str::trim).collect();
    assert_eq!(groups, ["staff%2Cadmins", "a%2C admins", "x", "staff%252Cadmins"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_is_absent_is_an_absent_header() {
    // AT-HS-10
    let mut people = ada_with(&[]);
    for claim in ["email", "groups"] {
        people[0].claims.remove(claim);
    }
    let scene = scene_with(people).await;
    let session = scene.session_of("Ada").await;
    scene
        .sends("GET", "/", &format!("X-Forwarded-Email: evil@example.com\r\nX-Forwarded-Groups: admins\r\n{session}"))
        .await;
    let seen = scene.upstream.only_request();
    assert_eq!((seen.header("x-forwarded-email"), seen.header("x-forwarded-groups")), (None, None));
    assert_eq!(seen.header("x-forwarded-user"), Some("1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_no_user_name_is_not_called_by_the_subject() {
    // UI-07, AT-TP-18: who has the subject `root` must not become the user `root` of an application that knows user names.
    let mut people = ada_with(&[("preferred_username", serde_json::Value::Null)]);
    people[0].claims.remove("preferred_username");
    let mut scene = scene_with(people).await;
    for set in ["default", "auth-request"] {
        scene.gateway.reload_with(&format!(
            "[provider.idp.claims]\nuser = 'preferred_username'\n[route.app]\nidentity = '{set}'\n[route.own.identity]\n\
             headers = {{ X-Who = 'user' }}"
        ));
        let session = scene.session_of("Ada").await;
        for target in ["/", "/own"] {
            scene.upstream.forget_seen();
            assert_eq!(scene.sends("GET", target, &session).await.status, 200);
            let seen = scene.upstream.only_request();
            let names = ["x-forwarded-user", "x-auth-request-user", "x-who"];
            assert!(names.iter().all(|name| seen.header(name).is_none()), "{set} {target}: {:?}", seen.headers);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clients_own_authorization_stays_goes_or_is_replaced() {
    // BE-08
    let mut scene = scene_with(Person::two()).await;
    let session = scene.session_of("Ada").await;
    let of = |seen: &Recorded| seen.all("authorization").join("|");
    let own = format!("Authorization: Basic b3duOm93bg==\r\n{session}");
    scene.sends("GET", "/", &own).await;
    assert_eq!(of(&scene.upstream.last_request()), "Basic b3duOm93bg==");

    scene.gateway.reload_with("[route.app.identity]\nauthorization = 'remove'");
    scene.sends("GET", "/", &own).await;
    assert_eq!(of(&scene.upstream.last_request()), "");

    for (token, dots) in [("access_token", None), ("id_token", Some(2))] {
        let set = format!(
            "[route.app.identity]\nauthorization = '{token}'\n[route.optional.identity]\nauthorization = '{token}'"
        );
        scene.gateway.reload_with(&set);
        scene.sends("GET", "/", &own).await;
        let sent = of(&scene.upstream.last_request());
        let sent = sent.strip_prefix("Bearer ").unwrap_or_else(|| panic!("{sent}"));
        assert!(dots.is_none_or(|dots| sent.matches('.').count() == dots), "{sent}");
        // Nobody there: another person's credentials do not stand in for the session's.
        scene.sends("GET", "/optional", "Authorization: Bearer evil\r\n").await;
        assert_eq!(of(&scene.upstream.last_request()), "");
    }
}
