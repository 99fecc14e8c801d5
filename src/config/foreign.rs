//! What other gateways call our keys: oauth2-proxy, mod_auth_openidc, Pomerium, Authelia and their kin, and usual words for the same.

/// What a key of another gateway is here; `None` for one that nobody knows.
///
/// Spelling does not count: `cookie_secret`, `cookie-secret`, `cookieSecret` and `OIDCCryptoPassphrase` are found alike.
pub(super) fn meaning(key: &str) -> Option<Meaning> {
    let bare = squashed(key);
    let without_prefix = PREFIXES.iter().filter_map(|prefix| bare.strip_prefix(prefix));
    std::iter::once(bare.as_str()).chain(without_prefix).find_map(|name| {
        let is_named = |names: &str| names.split_whitespace().any(|known| squashed(known) == name);
        TABLE.iter().find(|(names, ..)| is_named(names)).map(|(_, keys, words)| Meaning { keys, words })
    })
}

/// What a foreign key is here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meaning {
    /// Our keys for it, whole, with `NAME` for names of the operator's choice; none where there is no such setting.
    pub(super) keys: &'static [&'static str],
    /// What else there is to know.
    pub(super) words: &'static str,
}

/// Letters and digits alone, in lower case.
pub(super) fn squashed(key: &str) -> String {
    key.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

const PREFIXES: [&str; 4] = ["oauth2proxy", "oidc", "oauth2", "idp"];

/// Names elsewhere, our keys, and what else to say.
const TABLE: &[(&str, &[&str], &str)] = &[
    // Where we are, and where we listen.
    (
        "http_address https_address address addr bind bind_address bind_addr listen_address listen_addr listen_on port host_port http_port",
        &["server.listen"],
        "written \"0.0.0.0:4180\"",
    ),
    (
        "metrics_address metrics_secure_address metrics_listen metrics_port health_address ping_path ready_path gcp_healthchecks metrics",
        &["admin.listen"],
        "it serves /livez, /readyz and /metrics",
    ),
    (
        "redirect_url redirect_uri redirect_uris redirection_url callback_url callback_path authenticate_callback_path url_path",
        &["provider.NAME.redirect_path", "server.public_url"],
        "the redirect URI is made of both, and `vestibule check` shows it",
    ),
    (
        "external_url base_url root_url site_url app_url authelia_url authenticate_service_url auth_host public_origin",
        &["server.public_url"],
        "",
    ),
    (
        "relative_redirect_url default_redirection_url default_url default_logged_out_url",
        &["server.public_url"],
        "people come back to the page that they asked for",
    ),
    ("proxy_prefix path_prefix url_prefix", &["server.prefix"], ""),
    (
        "reverse_proxy trusted_proxy_ips trusted_proxy trust_proxy real_client_ip_header x_forwarded_headers trusted_headers set_real_ip_from use_forwarded_headers",
        &["server.trusted_proxies"],
        "the networks of the proxies in front",
    ),
    ("tls_cert_file tls_cert ssl_certificate certificate_file cert_file", &["server.tls.cert"], ""),
    ("tls_key_file tls_key ssl_certificate_key certificate_key_file key_file", &["server.tls.key"], ""),
    (
        "tls_min_version tls_cipher_suite ssl_protocols ssl_ciphers",
        &[],
        "TLS 1.2 and 1.3 with safe cipher suites are always used: leave it out",
    ),
    ("force_https http_redirect_addr insecure_server", &["server.public_url"], "written \"https://…\""),
    ("max_connections worker_connections", &["server.limits.connections"], ""),
    ("client_max_body_size max_body_size", &["server.limits.body_bytes", "route.NAME.body_bytes"], ""),
    ("threads worker_processes num_workers", &["server.workers"], ""),
    ("shutdown_timeout graceful_timeout grace_period", &["server.drain.grace"], ""),
    // Sessions and their cookie.
    (
        "cookie_secret cookie_secrets session_secret session_key secret_key encryption_key crypto_passphrase cookie_encryption_key cookie_key jwt_secret shared_secret signing_key secret",
        &["session.keys"],
        "make one with `vestibule keys new`",
    ),
    ("cookie_name session_cookie_name cookie", &["session.cookie.name"], ""),
    ("cookie_domain cookie_domains session_domain", &["session.cookie.domain"], ""),
    ("cookie_samesite", &["session.cookie.same_site"], ""),
    (
        "cookie_secure insecure_cookie secure_cookie",
        &["server.public_url"],
        "with \"https://…\" cookies are always Secure",
    ),
    ("cookie_httponly cookie_path", &[], "cookies are always HttpOnly and for the whole host: leave it out"),
    (
        "cookie_expire session_lifetime session_duration session_max_duration session_max_age expiration session_expiration session_timeout max_session_age remember_me",
        &["session.lifetime"],
        "",
    ),
    (
        "inactivity session_inactivity session_inactivity_timeout inactivity_timeout session_idle_timeout",
        &["session.idle_timeout"],
        "",
    ),
    (
        "cookie_refresh refresh_access_token_before_expiry refresh_margin",
        &["session.refresh_before"],
        "tokens are renewed before they expire",
    ),
    ("cookie_csrf_expire state_timeout login_timeout state_ttl", &["session.attempt_life"], ""),
    (
        "cookie_csrf_per_request cookie_csrf_per_request_limit cookie_csrf_domain csrf_cookie_name csrf_secret encode_state state_max_number_of_cookies",
        &[],
        "each sign-in has its own state: leave it out",
    ),
    (
        "session_store_type session_store session_type store_type cache_type storage",
        &["session.store"],
        "sessions live in sealed cookies",
    ),
    (
        "redis_connection_url redis_url redis_cache_server redis_sentinel_connection_urls redis_use_cluster",
        &["session.store"],
        "sessions live in sealed cookies, without Redis",
    ),
    ("session_cookie_minimal enable_refresh_tokens keep_tokens", &["session.keep"], ""),
    // The provider and the client there.
    (
        "issuer issuer_url provider_url provider_issuer provider_metadata_url oidc_url authority well_known_url issuer_uri",
        &["provider.NAME.issuer", "provider.NAME.discovery_url"],
        "",
    ),
    (
        "provider_name provider_type identity_provider identity_providers oidc_provider idp oidc",
        &["provider.NAME.issuer"],
        "each provider is a table [provider.NAME]",
    ),
    ("provider_display_name display_name", &["provider.NAME.title"], ""),
    ("app_id application_id client_id", &["provider.NAME.client_id"], ""),
    ("client_secret client_secret_path app_secret", &["provider.NAME.client_secret"], "written { file = \"…\" }"),
    (
        "token_endpoint_auth_method token_endpoint_auth provider_token_endpoint_auth client_auth_method auth_method client_authentication_method",
        &["provider.NAME.client_auth"],
        "",
    ),
    (
        "jwt_key jwt_key_file client_private_key private_key client_assertion_key",
        &["provider.NAME.client_key", "provider.NAME.client_auth"],
        "",
    ),
    ("scope scopes oidc_scope oauth_scopes oidc_scopes", &["provider.NAME.scopes"], ""),
    (
        "login_url auth_url authorize_url authorization_url provider_authorization_endpoint auth_endpoint",
        &["provider.NAME.authorization_endpoint"],
        "",
    ),
    ("redeem_url token_url provider_token_endpoint access_token_url", &["provider.NAME.token_endpoint"], ""),
    (
        "profile_url validate_url user_info_url user_info_endpoint provider_user_info_endpoint api_url",
        &["provider.NAME.userinfo_endpoint"],
        "",
    ),
    ("jwks_url pubjwk_url jwk_url provider_jwks_uri public_key_files", &["provider.NAME.jwks_uri"], ""),
    (
        "introspection_url validate_token_url oauth_introspection_endpoint",
        &["provider.NAME.introspection_endpoint"],
        "",
    ),
    (
        "backend_logout_url logout_url end_session_url provider_end_session_endpoint signout_url",
        &["provider.NAME.end_session_endpoint"],
        "",
    ),
    (
        "skip_oidc_discovery skip_discovery",
        &["provider.NAME.authorization_endpoint", "provider.NAME.token_endpoint", "provider.NAME.jwks_uri"],
        "where all three are written nothing is discovered",
    ),
    (
        "code_challenge_method force_code_challenge_method pkce_method pkce_enabled use_pkce enable_pkce",
        &["provider.NAME.pkce"],
        "S256 is the default",
    ),
    (
        "approval_prompt auth_params auth_request_params request_params idp_request_params login_url_parameters extra_params authorization_parameters extra_auth_params authorize_params",
        &["provider.NAME.authorization_params", "provider.NAME.prompt"],
        "",
    ),
    (
        "extra_audiences oidc_extra_audiences allowed_audiences audience audience_claims",
        &["provider.NAME.audiences"],
        "",
    ),
    (
        "signing_alg id_token_signed_response_alg jwt_algorithm allowed_algorithms signing_algs",
        &["provider.NAME.id_token_algorithms"],
        "",
    ),
    (
        "provider_ca_files provider_ca_file ca_file ca_cert ca_bundle ca_path root_ca ssl_ca_file use_system_trust_store custom_ca",
        &["provider.NAME.ca", "route.NAME.tls.ca"],
        "",
    ),
    (
        "ssl_insecure_skip_verify insecure_skip_verify ssl_validate_server skip_verify skip_tls_verify tls_insecure",
        &["provider.NAME.ca", "route.NAME.tls.insecure_skip_verify"],
        "a provider's certificate is always verified: name its authority",
    ),
    ("clock_skew allowed_clock_skew leeway id_token_iat_slack clock_tolerance", &["provider.NAME.clock_leeway"], ""),
    ("http_timeout_long http_timeout_short request_timeout idp_timeout oidc_timeout", &["provider.NAME.timeout"], ""),
    ("user_info_refresh_interval refresh_interval", &["provider.NAME.userinfo_every"], ""),
    ("skip_claims_from_profile_url", &["provider.NAME.userinfo"], "written \"never\""),
    ("entra_id_allowed_tenants azure_tenant tenant tenant_id tenants", &["provider.NAME.allowed_tenants"], ""),
    ("insecure_oidc_allow_unverified_email allow_unverified_email", &["provider.NAME.insecure_unverified_email"], ""),
    (
        "insecure_oidc_skip_issuer_verification skip_issuer_verification",
        &["provider.NAME.allowed_tenants"],
        "the issuer is always verified; several tenants of one provider are named there",
    ),
    ("insecure_oidc_skip_nonce skip_nonce", &[], "the nonce is always checked: leave it out"),
    ("email_claim oidc_email_claim", &["provider.NAME.claims.email"], ""),
    ("groups_claim oidc_groups_claim roles_claim role_claim group_claim", &["provider.NAME.claims.groups"], ""),
    (
        "user_id_claim remote_user_claim user_claim username_claim preferred_username_claim oidc_user_claim",
        &["provider.NAME.claims.user"],
        "",
    ),
    // Routes: who may pass, and what the application gets.
    (
        "upstreams upstream_url upstream_urls backend backends proxy_pass to target targets forward_to upstream_config",
        &["route.NAME.upstream"],
        "each application is a table [route.NAME]",
    ),
    (
        "routes applications apps services sites virtual_hosts",
        &["route.NAME.upstream"],
        "each application is a table [route.NAME]",
    ),
    ("from hosts hostname server_name domain_name vhost", &["route.NAME.host"], ""),
    ("location path_regex uri url_paths resources", &["route.NAME.path", "route.NAME.paths"], ""),
    (
        "allowed_groups allowed_roles groups_allowed required_groups required_roles roles group github_team github_org gitlab_group google_group keycloak_group allow_groups",
        &["route.NAME.allow.groups"],
        "",
    ),
    (
        "email_domains email_domain allowed_domains allowed_email_domains domains_allowed",
        &["route.NAME.allow.domains"],
        "leave it out for everybody who signed in",
    ),
    (
        "authenticated_emails_file allowed_emails emails_allowed whitelist authenticated_emails",
        &["route.NAME.allow.emails"],
        "",
    ),
    ("allowed_users github_users user_list users_allowed", &["route.NAME.allow.users"], ""),
    ("allowed_idp_claims required_claims require_claims allowed_claims match_claims", &["route.NAME.allow.claims"], ""),
    (
        "trusted_ips trusted_ip allowed_networks allowed_ips ip_whitelist allow_from",
        &["route.NAME.allow.networks", "route.NAME.access"],
        "",
    ),
    (
        "access_control policy policies rules authorization acl access_rules default_policy default_action allow_any_authenticated_user",
        &["route.NAME.allow", "route.NAME.access"],
        "",
    ),
    (
        "skip_auth_routes skip_auth_regex skip_auth_regexes skip_auth bypass public_paths whitelisted_paths skip_auth_preflight un_auth_action allow_public_unauthenticated_access exclude_paths unauthenticated_paths cors_allow_preflight",
        &["route.NAME.paths", "route.NAME.access"],
        "as in paths.\"/public\" = { access = \"public\" }",
    ),
    ("api_routes force_json_errors", &["route.NAME.access"], "written \"api\": 401 instead of a redirect"),
    (
        "whitelist_domains whitelist_domain redirect_domains programmatic_redirect_domain_whitelist",
        &["route.NAME.host"],
        "people may come back to the hosts that routes name",
    ),
    (
        "websocket_allowed_origins allow_websockets proxy_websockets",
        &["route.NAME.websocket_origins"],
        "WebSockets of our own origin always pass",
    ),
    (
        "set_xauthrequest pass_user_headers pass_identity_headers prefer_email_to_user jwt_claims_headers pass_claims_as claim_prefix inject_request_headers set_request_headers auth_n_header header_name user_header remote_user_header",
        &["route.NAME.identity"],
        "the name of a set, or headers of one's own",
    ),
    (
        "set_authorization_header pass_access_token pass_authorization_header forward_access_token pass_token",
        &["route.NAME.identity.authorization"],
        "or a header with the value access_token or id_token",
    ),
    (
        "remove_request_headers skip_auth_strip_headers strip_headers",
        &["route.NAME.insecure_keep_headers"],
        "what clients send under identity headers' names is always removed, but for what is named there",
    ),
    (
        "pass_host_header preserve_host preserve_host_header host_rewrite proxy_set_header",
        &["route.NAME.host_header"],
        "",
    ),
    (
        "upstream_timeout proxy_read_timeout proxy_timeout read_timeout",
        &["route.NAME.timeouts.first_byte", "route.NAME.timeouts.idle"],
        "",
    ),
    ("connect_timeout proxy_connect_timeout dial_timeout", &["route.NAME.timeouts.connect"], ""),
    (
        "ssl_upstream_insecure_skip_verify upstream_insecure_skip_verify proxy_ssl_verify",
        &["route.NAME.tls.insecure_skip_verify"],
        "",
    ),
    ("tls_skip_verify", &["route.NAME.tls.insecure_skip_verify"], ""),
    ("tls_custom_ca_file upstream_ca proxy_ssl_trusted_certificate", &["route.NAME.tls.ca"], ""),
    ("tls_client_cert_file upstream_client_cert proxy_ssl_certificate", &["route.NAME.tls.cert"], ""),
    ("tls_client_key_file upstream_client_key proxy_ssl_certificate_key", &["route.NAME.tls.key"], ""),
    ("tls_server_name sni proxy_ssl_name", &["route.NAME.tls.server_name"], ""),
    (
        "prefix_rewrite strip_prefix rewrite regex_rewrite strip_path rewrite_target",
        &["route.NAME.upstream"],
        "a path there is put before the request's; nothing is taken off",
    ),
    (
        "flush_interval disable_keep_alives",
        &[],
        "answers are passed on as they come, and connections are kept: leave it out",
    ),
    // Logs and pages.
    ("log_level logging_level verbosity debug verbose", &["log.level"], ""),
    (
        "log_format logging_format standard_logging_format request_logging_format auth_logging_format",
        &["log.format"],
        "",
    ),
    ("request_logging access_log access_logs access_log_file", &["log.access"], ""),
    ("auth_logging audit_log audit_log_file", &["log.audit"], ""),
    (
        "logging_filename log_file log_path file_path",
        &["log.access", "log.audit"],
        "the process log is on standard error",
    ),
    (
        "standard_logging silence_ping_logging exclude_logging_paths exclude_logging_path errors_to_info_log show_debug_on_error",
        &["log.level"],
        "",
    ),
    ("footer support_email support_contact help_url contact_email", &["pages.contact"], ""),
    ("site_name company_name app_name banner custom_sign_in_logo theme custom_templates_dir", &["pages.title"], ""),
    ("skip_provider_button auto_login", &[], "with one provider people are sent there at once: leave it out"),
    // What there is nothing for.
    (
        "htpasswd_file htpasswd_user_groups display_htpasswd_form basic_auth_password pass_basic_auth set_basic_auth signature_key authentication_backend totp webauthn",
        &[],
        "people sign in at a provider, never with passwords",
    ),
    (
        "skip_jwt_bearer_tokens extra_jwt_issuers bearer_token_login_fallback",
        &[],
        "bearer tokens of clients are not accepted in place of a session",
    ),
    (
        "outgoing_proxy http_proxy https_proxy no_proxy proxy_url",
        &[],
        "providers are called directly; a proxy on the way is not supported by this version",
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::file::File;
    use super::super::reading::{Key, Section as _, Shape};
    use super::*;

    fn exists(key: &str, keys: &[Key]) -> bool {
        let (first, rest) = key.split_once('.').map_or((key, None), |(first, rest)| (first, Some(rest)));
        keys.iter().filter(|known| known.name == first).any(|known| match ((known.shape)(), rest) {
            (Shape::Reserved, _) => false,
            (_, None) => true,
            (Shape::Table(keys) | Shape::Tables(keys), Some(rest)) => exists(rest, &keys),
            (Shape::Named(keys), Some(rest)) => rest.strip_prefix("NAME.").is_some_and(|rest| exists(rest, &keys)),
            (Shape::Value, Some(_)) => false,
        })
    }

    #[test]
    fn every_key_that_is_named_for_another_one_exists() {
        for (names, keys, words) in TABLE {
            assert!(!keys.is_empty() || !words.is_empty(), "{names}");
            for key in *keys {
                assert!(exists(key, &File::keys()), "{key}, for {names}");
            }
        }
    }

    #[test]
    fn a_foreign_name_has_one_meaning() {
        let mut seen = HashSet::new();
        for name in TABLE.iter().flat_map(|(names, ..)| names.split_whitespace()) {
            assert!(seen.insert(squashed(name)), "{name}");
        }
    }

    #[test]
    fn spelling_and_prefixes_do_not_count() {
        for (name, key) in [
            ("redirect_url", "provider.NAME.redirect_path"),
            ("redirect-url", "provider.NAME.redirect_path"),
            ("cookieSecret", "session.keys"),
            ("OIDCCryptoPassphrase", "session.keys"),
            ("oidc-issuer-url", "provider.NAME.issuer"),
            ("OAUTH2_PROXY_EMAIL_DOMAINS", "route.NAME.allow.domains"),
            ("OIDCProviderMetadataURL", "provider.NAME.issuer"),
            ("idp_scopes", "provider.NAME.scopes"),
        ] {
            assert_eq!(meaning(name).and_then(|it| it.keys.first().copied()), Some(key), "{name}");
        }
        assert!(meaning("zzz").is_none() && meaning("oidc").is_some());
    }
}
