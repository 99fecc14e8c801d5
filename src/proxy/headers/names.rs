//! The fields by which gateways, proxies and platforms tell applications who sent a request, from where, and for what.
//!
//! An application that stands, or once stood, behind one of them believes its fields. Clients write whatever they like, so
//! none of these fields passes, unless the route names it in `insecure_keep_headers`. What ordinary clients send by
//! themselves is not listed: `Authorization`, `X-Auth-Token`, `X-Api-Key`, `X-User-Id`, `X-Scope-OrgID` and others.

/// What a proxy does with a field.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Class {
    /// Nothing.
    EndToEnd,
    /// It names the person: only the gateway may.
    Identity,
    /// It names the host that the request is for: only the gateway may.
    Host,
    /// It describes the way here, the path included: only the gateway may.
    Way,
    /// It names the client's address, the scheme or the port: only a trusted proxy may.
    Address,
    /// `Destination`, which means something to `COPY` and `MOVE` only: there it is judged.
    Destination,
    /// It overrides the method.
    Method,
    /// It is not a field of HTTP, but some applications take it for one that frames the message (`Content_Length`).
    Misspelled,
    /// `Connection`.
    Connection,
    /// Another hop-by-hop field.
    Hop,
    /// `TE`.
    Te,
    /// `Via`.
    Via,
    /// `Max-Forwards`.
    MaxForwards,
    /// `Expect`.
    Expect,
    /// `Trailer`.
    Trailer,
    /// `traceparent`, `tracestate`.
    Trace,
}

/// Fields with one origin and one meaning.
pub(super) struct Family {
    /// Who sets them, or where they are specified; stands in messages.
    pub(super) source: &'static str,
    pub(super) class: Class,
    /// Names in lower case, with `-` for every character that is no letter or digit. A star at the end stands for any rest,
    /// also for none. An exact name has precedence over a prefix.
    fields: &'static str,
}

impl Family {
    /// The names that stand for themselves.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.fields.split_ascii_whitespace().filter(|field| !field.ends_with('*'))
    }

    /// The beginnings of names, without the star.
    pub(super) fn prefixes(&self) -> impl Iterator<Item = &'static str> {
        self.fields.split_ascii_whitespace().filter_map(|field| field.strip_suffix('*'))
    }
}

/// Fields that name the person.
const fn identity(source: &'static str, fields: &'static str) -> Family {
    Family { source, class: Class::Identity, fields }
}

/// Fields of another class.
const fn of(class: Class, source: &'static str, fields: &'static str) -> Family {
    Family { source, class, fields }
}

/// All of them.
pub(super) const FAMILIES: [Family; 67] = [
    // Gateways that sign people in.
    identity("vestibule", "vestibule-* x-vestibule-*"),
    identity(
        "oauth2-proxy (nginx auth_request) and BuzzFeed sso",
        "x-auth-request-* x-oauth2-proxy-* gap-auth gap-signature sso-signature",
    ),
    identity("oauth2-proxy, traefik-forward-auth, Jenkins, SonarQube and Envoy (client certificates)", "x-forwarded-*"),
    identity("CGI (RFC 3875, REMOTE_USER), Authelia and YunoHost", "remote-* http-remote-*"),
    identity("Kubernetes (request header authentication), Splunk and Home Assistant", "x-remote-*"),
    identity("authentik", "x-authentik-*"),
    identity("Grafana (auth.proxy), Gitea and Forgejo", "x-webauth-*"),
    identity("Grafana (data sources)", "x-grafana-user x-grafana-id"),
    identity(
        "Keycloak Gatekeeper (louketo-proxy), authentik before 2021 and API gateways",
        "x-auth-audience x-auth-claims x-auth-email x-auth-expiresin x-auth-family-name x-auth-given-name x-auth-group \
         x-auth-groups x-auth-id x-auth-issuer x-auth-name x-auth-preferred-username x-auth-principal x-auth-role \
         x-auth-roles x-auth-scope x-auth-scopes x-auth-sub x-auth-subject x-auth-uid x-auth-user*",
    ),
    identity("Apache CouchDB (proxy authentication)", "x-auth-couchdb-*"),
    identity("caddy-security (AuthCrunch)", "x-token-subject x-token-user-*"),
    identity("Vouch Proxy", "x-vouch-*"),
    identity(
        "lua-resty-openidc, kong-oidc and Apache APISIX",
        "x-user x-userid x-username x-nickname x-userinfo x-id-token x-access-token x-refresh-token",
    ),
    identity(
        "API gateways that write claims into fields (KrakenD, Traefik Hub, Envoy Gateway), and Open WebUI's trusted fields",
        "x-email x-group x-groups x-role x-roles x-sub x-user-claims x-user-email x-user-group x-user-groups x-user-info \
         x-user-name x-user-role x-user-roles x-user-sub x-user-subject x-ambassador-*",
    ),
    identity("Kong, Apache APISIX and Squid", "x-consumer-* x-credential-* x-authenticated-* x-anonymous-consumer"),
    identity("Blue Coat and other proxies that authenticate", "x-client-username x-sso-*"),
    identity("Pomerium", "x-pomerium-*"),
    identity("Ory Kratos and Oathkeeper", "x-kratos-*"),
    identity("geOrchestra", "sec-proxy sec-user sec-username sec-roles sec-org sec-orgname"),
    identity("Tailscale serve and nginx-auth", "tailscale-* x-tailscale-*"),
    identity("Teleport application access", "teleport-*"),
    identity(
        "ngrok, zrok, NetBird and exe.dev",
        "ngrok-auth-* zrok-auth-* x-netbird-user* x-netbird-groups x-netbird-principal x-exedev-email x-exedev-userid",
    ),
    // Web servers and their modules.
    identity("mod_auth_openidc and mod_oauth2", "oidc-* oauth2-claim-* oauth2-token*"),
    identity("mod_auth_mellon", "mellon-*"),
    identity("mod_auth_cas", "cas-*"),
    identity("mod_auth_gssapi", "gss-*"),
    identity(
        "Shibboleth SP (ShibUseHeaders, attributePrefix)",
        "shib-* ajp-* eppn affiliation unscoped-affiliation primary-affiliation entitlement targeted-id persistent-id \
         subject-id pairwise-id primary-orgunit-dn orgunit-dn org-dn",
    ),
    identity(
        "LemonLDAP::NG, YunoHost and others",
        "auth-user auth-userid auth-user-id auth-username auth-mail auth-email auth-name auth-cn auth-groups auth-roles login-user ynh-user*",
    ),
    identity(
        "IIS, the ASP.NET Core module and iisnode",
        "ms-aspnetcore-* x-iis-windowsauthtoken x-iisnode-* logon-user",
    ),
    identity("proxies (credentials for themselves, Proxy-User)", "proxy-*"),
    // Access management products.
    identity("SiteMinder, and Spring's and Knox's pre-authentication", "sm-*"),
    identity("Oracle Access Manager and OSSO", "oam-* osso-*"),
    identity("IBM WebSEAL (Security Verify Access)", "iv-*"),
    identity("the WebSphere plug-in ($WSRU and its kin)", "-ws*"),
    identity("the WebLogic plug-in", "wl-proxy-*"),
    // Platforms.
    identity(
        "Azure App Service and Static Web Apps",
        "x-ms-client-principal* x-ms-token-* x-zumo-auth x-arr-clientcert",
    ),
    identity(
        "AWS load balancers, Verified Access and Lambda",
        "x-amzn-oidc-* x-amzn-ava-* x-amzn-mtls-* x-amzn-request-context x-amzn-lambda-context \
         x-apigateway-event x-apigateway-context",
    ),
    identity(
        "Google IAP, App Engine, Cloud Endpoints and API Gateway",
        "x-goog-authenticated-user-* x-goog-iap-* x-appengine-* x-endpoint-api-userinfo x-apigateway-api-userinfo",
    ),
    identity("Cloudflare Access and client certificates", "cf-access-* cf-client-cert-*"),
    identity("Snowflake container services", "sf-context-*"),
    identity("Kubeflow and Domino", "kubeflow-userid kubeflow-groups domino-username"),
    identity("Apache NiFi, Alfresco and Liferay", "x-proxiedentit* x-alfresco-remote-user liferay-*"),
    identity("Red Hat Hybrid Cloud Console", "x-rh-identity"),
    identity("Vercel", "x-vercel-oidc-token"),
    identity("Replit, Sandstorm and Home Assistant ingress", "x-replit-user-* x-sandstorm-* x-hass-*"),
    identity("Streamlit and Open WebUI", "x-streamlit-user x-openwebui-user-*"),
    identity(
        "Posit Connect, RStudio and Shiny Server",
        "rstudio-connect-credentials posit-connect-* x-rstudio-username shiny-server-credentials",
    ),
    // Service meshes, and services that let a gateway act for somebody.
    identity("Linkerd", "l5d-*"),
    identity("Istio (output of JWT rules)", "sec-istio-auth-userinfo istio-sec-* x-jwt-payload x-jwt-claim*"),
    identity("WSO2 and Grafana (auth.jwt)", "x-jwt-assertion"),
    identity("Dapr", "dapr-caller-app-id"),
    identity("the Kubernetes API (impersonation)", "impersonate-*"),
    identity(
        "Elasticsearch, OpenSearch and Search Guard",
        "es-security-runas-user opendistro-security-impersonate-as opensearch-security-impersonate-as sg-impersonate-as \
         x-proxy-user x-proxy-roles x-proxy-ext-*",
    ),
    // Client certificates.
    identity("RFC 9440", "client-cert*"),
    identity(
        "nginx, Apache, HAProxy, Tomcat and Keycloak (client certificates)",
        "ssl-* x-ssl-* tls-client-* x-tls-client-* x-client-tls-* x-mtls-* x-client-cert* x-clientcert* x-client-dn \
         x-client-s-dn x-client-i-dn x-client-subject* x-client-issuer* x-client-verif* cert-chain*",
    ),
    // What the gateway itself writes, and other words for it.
    of(
        Class::Host,
        "frameworks and proxies that take the host from it",
        "x-host x-hostname x-host-name x-host-override host-override x-http-host x-http-host-override http-host x-original-host \
         x-original-hostname x-forwarded-host x-forwarded-server x-forwarded-hostname forwarded-host forwarded-server \
         x-real-host x-backend-host x-requested-host x-rewrite-host x-proxy-host x-server-name x-virtual-host x-vhost \
         disguised-host x-envoy-original-host l5d-dst-override x-proxyhost nuxeo-virtual-host x-artifactory-override-base-url \
         x-jfrog-override-base-url",
    ),
    of(
        Class::Way,
        "this gateway",
        "forwarded x-forwarded x-forwarded-for x-forwarded-port x-forwarded-proto x-real-ip x-request-id",
    ),
    of(
        Class::Way,
        "proxies on the way (RFC 9110 section 11.7; CGI makes HTTP_PROXY of Proxy, CVE-2016-5385)",
        "proxy proxy-authenticate proxy-authentication-info proxy-authorization",
    ),
    of(
        Class::Way,
        "proxies on the way (scheme and method)",
        "x-forwarded-protocol x-forwarded-scheme x-forwarded-ssl x-forwarded-method",
    ),
    of(
        Class::Way,
        "IIS, Symfony, Zend, Envoy and Cloud Foundry, which take the path from it",
        "x-original-uri x-original-url x-original-path x-rewrite-url x-override-url x-request-uri request-uri \
         http-url base-url x-http-destinationurl x-proxy-url x-forwarded-uri x-forwarded-path x-waws-unencoded-url x-cf-forwarded-url x-envoy-*",
    ),
    of(
        Class::Way,
        "proxies that take a prefix off the path (WSGI, Spring, Home Assistant)",
        "x-forwarded-prefix x-script-name script-name x-path-info path-info x-ingress-path x-proxycontextpath",
    ),
    of(Class::Way, "nginx and Apache, for Rack::Sendfile (CVE-2025-61780)", "x-sendfile-type x-accel-mapping"),
    of(Class::Destination, "WebDAV clients, with COPY and MOVE (RFC 4918 section 10.3)", "destination"),
    of(
        Class::Method,
        "frameworks that take the method from it",
        "x-http-method* x-http-verb* x-method x-method-override x-override-method x-original-method x-request-method \
         http-method http-method-override method-override request-method x-restli-method x-original-http-method",
    ),
    of(
        Class::Address,
        "content delivery networks and platforms (client address)",
        "true-client-ip true-client-port x-true-client-ip cf-connecting-* cf-pseudo-ipv4 fastly-client-ip \
         x-envoy-external-address x-azure-clientip x-azure-socketip x-ms-forwarded-client-ip x-ms-adfs-proxy-client-ip \
         x-appengine-user-ip x-appengine-remote-addr fly-client-ip x-vercel-forwarded-for x-vercel-proxied-for \
         x-nf-client-connection-ip do-connecting-ip ali-cdn-real-ip cdn-real-ip cdn-src-ip incap-client-ip \
         x-sucuri-clientip x-sucuri-client-ip akamai-client-ip cloudfront-viewer-address l5d-remote-ip iv-remote-address \
         eo-client-ip eo-connecting-ip ar-real-ip ddg-connecting-ip",
    ),
    of(
        Class::Address,
        "proxies (client address and port)",
        "x-client-ip x-client-addr x-client-address x-client-port client-ip real-ip http-client-ip cluster-client-ip x-cluster-client-ip \
         x-cluster-ip x-connecting-ip x-real-client-ip x-client-real-ip x-real-port x-user-ip x-source-ip x-src-ip \
         source-ip x-from-ip x-ip x-peer-ip x-peer-address x-origin-ip x-originating-ip x-coming-from coming-from \
         forwarded-for forwarded-for-ip forwarded-port x-forward-for x-forwarder-for x-original-forwarded-for \
         x-original-for x-original-remote-addr x-proxyport x-custom-ip-authorization x-true-ip x-original-port x-server-port x-proxyuser-ip wl-proxy-client-ip",
    ),
    of(
        Class::Address,
        "proxies (scheme)",
        "front-end-https x-scheme x-url-scheme x-proto x-protocol x-client-proto x-client-scheme x-https x-is-https https \
         x-ssl x-arr-ssl x-appengine-https forwarded-proto x-forward-proto x-original-forwarded-proto x-original-proto \
         x-original-scheme x-proxyscheme fly-forwarded-* cloudfront-forwarded-proto cf-visitor fastly-ssl wl-proxy-ssl",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_folded_and_prefixes_long_enough_and_disjoint() {
        let folded = |text: &str| text.bytes().all(|b| b == b'-' || b.is_ascii_lowercase() || b.is_ascii_digit());
        let prefixes: Vec<&str> = FAMILIES.iter().flat_map(Family::prefixes).collect();
        let names: Vec<&str> = FAMILIES.iter().flat_map(Family::names).collect();
        for (at, prefix) in prefixes.iter().enumerate() {
            assert!(folded(prefix) && prefix.trim_start_matches("x-").len() >= 3, "{prefix}");
            let other = prefixes.iter().enumerate().find(|(other, it)| *other != at && it.starts_with(prefix));
            assert_eq!(other, None, "{prefix} covers it");
        }
        for (at, name) in names.iter().enumerate() {
            assert!(folded(name) && !names[at + 1..].contains(name), "{name}");
        }
    }

    #[test]
    fn a_name_below_a_prefix_is_listed_only_where_it_means_something_else() {
        for family in &FAMILIES {
            for name in family.names() {
                let above = FAMILIES.iter().find(|above| above.prefixes().any(|prefix| name.starts_with(prefix)));
                assert!(above.is_none_or(|above| above.class != family.class), "{name}");
            }
        }
    }
}
