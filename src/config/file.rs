//! The configuration as it is written: every table and every key, once.
//!
//! [`keys!`] makes of each list a struct, the reading of it, and the list of its keys, by which unknown ones are found and
//! `config.example.toml` is held complete. What a value means is not decided here: see `validate`.

use std::time::Duration;

use ipnet::IpNet;
use url::Url;

use super::mode::FileMode;
use super::reading::{Field, FromNode, Key, Reading, Section, Shape};
use super::secrets::{SecretText, SecretTexts};
use super::sinks::SinkKey;
use super::tree::{Node, Table};
use super::units::{
    AnyScalar, ByteSize, CertificatePem, FilePath, Filled, KeyPem, List, Named, OneOrMany, RawText, Tables, Texts,
};
use super::words::{
    AccessWord, AuthorizationWord, ClientAuthWord, ClientCertificateWord, GroupShapeWord, HeaderCaseWord, KeepWord,
    LogFormatWord, LogoutWord, QuirkWord, ResponseModeWord, SameSiteWord, StoreWord, UserinfoWord,
};

/// `keys! { struct NAME { key: Type, … } }`; `with field: OtherStruct` adds the other's keys to the same table;
/// `reserved key: "what to write instead"` refuses what belongs to a later version.
macro_rules! keys {
    (
        $(#[$doc:meta])* struct $name:ident { $($key:ident: $type:ty,)* }
        $(with $rest:ident: $other:ty;)?
        $(reserved $($later:ident: $instead:literal),+;)?
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default)]
        pub(super) struct $name {
            $(pub(super) $key: Field<$type>,)*
            $(pub(super) $rest: $other,)?
        }

        impl Section for $name {
            fn keys() -> Vec<Key> {
                [
                    vec![$(Key { name: stringify!($key), shape: <$type as FromNode>::shape },)*],
                    $(<$other as Section>::keys(),)?
                    $(vec![$(Key { name: stringify!($later), shape: || Shape::Reserved },)+],)?
                ]
                .concat()
            }

            fn read_keys(table: &Table, reading: &mut Reading<'_>) -> Self {
                $($(reading.reserved(table, stringify!($later), $instead);)+)?
                Self {
                    $($key: reading.field(table, stringify!($key)),)*
                    $($rest: <$other as Section>::read_keys(table, reading),)?
                }
            }
        }

        impl FromNode for $name {
            fn shape() -> Shape {
                Shape::Table(Self::keys())
            }

            fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
                reading.section(node)
            }
        }
    };
}

keys! {
    /// The whole file.
    struct File {
        server: ServerTable,
        admin: AdminTable,
        log: LogTable,
        pages: PagesTable,
        session: SessionTable,
        provider: Named<ProviderTable>,
        route: Named<RouteTable>,
    }
}

keys! {
    /// `[server]`.
    struct ServerTable {
        listen: OneOrMany<String>,
        public_url: String,
        trusted_proxies: OneOrMany<String>,
        prefix: String,
        workers: u32,
        unix_mode: FileMode,
        tls: ServerTlsTable,
        limits: LimitsTable,
        drain: DrainTable,
    }
}

keys! {
    /// `[server.tls]`.
    struct ServerTlsTable {
        cert: FilePath,
        key: FilePath,
        certificate: Tables<CertificateTable>,
        client_ca: FilePath,
        client_auth: ClientCertificateWord,
    }
}

keys! {
    /// `[[server.tls.certificate]]`.
    struct CertificateTable {
        cert: FilePath,
        key: FilePath,
    }
}

keys! {
    /// `[server.limits]`.
    struct LimitsTable {
        header_bytes: ByteSize,
        header_time: Duration,
        body_bytes: ByteSize,
        idle_time: Duration,
        body_rate: ByteSize,
        connections: u32,
        upgrade_life: Duration,
        upgrade_idle: Duration,
        h2_streams: u32,
        handshake_time: Duration,
    }
}

keys! {
    /// `[server.drain]`.
    struct DrainTable {
        delay: Duration,
        grace: Duration,
    }
}

keys! {
    /// `[admin]`.
    struct AdminTable {
        listen: OneOrMany<String>,
    }
}

keys! {
    /// `[log]`.
    struct LogTable {
        format: LogFormatWord,
        level: String,
        access: SinkKey,
        audit: SinkKey,
    }
}

keys! {
    /// `[pages]`.
    struct PagesTable {
        title: String,
        contact: String,
    }
}

keys! {
    /// `[session]`.
    struct SessionTable {
        store: StoreWord,
        keys: SecretTexts,
        lifetime: Duration,
        idle_timeout: Duration,
        refresh_before: Duration,
        refresh_grace: Duration,
        attempt_life: Duration,
        keep: List<KeepWord>,
        cache_bytes: ByteSize,
        cookie: CookieTable,
    } reserved redis: "sessions live in sealed cookies: leave the table out";
}

keys! {
    /// `[session.cookie]`.
    struct CookieTable {
        name: String,
        domain: String,
        same_site: SameSiteWord,
        partitioned: bool,
    }
}

keys! {
    /// `[provider.NAME]`.
    struct ProviderTable {
        title: String,
        issuer: String,
        discovery_url: Url,
        allowed_tenants: OneOrMany<String>,
        client_id: String,
        client_secret: SecretText,
        client_auth: ClientAuthWord,
        client_key: SecretText,
        client_key_id: String,
        redirect_path: String,
        scopes: OneOrMany<String>,
        pkce: bool,
        authorization_params: Texts,
        response_mode: ResponseModeWord,
        quirks: List<QuirkWord>,
        prompt: String,
        max_age: Duration,
        acr_values: OneOrMany<String>,
        resource: OneOrMany<String>,
        audiences: OneOrMany<String>,
        id_token_algorithms: OneOrMany<String>,
        userinfo: UserinfoWord,
        userinfo_every: Duration,
        userinfo_algorithms: OneOrMany<String>,
        logout: LogoutWord,
        default_expires_in: Duration,
        clock_leeway: Duration,
        timeout: Duration,
        jwks_min_interval: Duration,
        ca: CertificatePem,
        insecure_http: bool,
        insecure_unverified_email: bool,
        claims: ClaimsTable,
    } with endpoints: EndpointKeys;
    reserved preset: "write issuer, or the endpoints, and the claims that differ";
}

keys! {
    /// The endpoints in `[provider.NAME]`.
    struct EndpointKeys {
        authorization_endpoint: Url,
        token_endpoint: Url,
        userinfo_endpoint: Url,
        introspection_endpoint: Url,
        revocation_endpoint: Url,
        end_session_endpoint: Url,
        jwks_uri: Url,
    }
}

keys! {
    /// `[provider.NAME.claims]`.
    struct ClaimsTable {
        subject: String,
        user: String,
        email: String,
        name: String,
        groups: String,
        groups_separator: RawText,
        groups_shape: GroupShapeWord,
        groups_member: String,
    }
}

keys! {
    /// `[route.NAME]`.
    struct RouteTable {
        host: OneOrMany<String>,
        path: String,
        methods: OneOrMany<String>,
        upstream: OneOrMany<String>,
        host_header: String,
        websocket_origins: OneOrMany<String>,
        insecure_keep_headers: OneOrMany<String>,
        case_sensitive: bool,
        header_case: HeaderCaseWord,
        body_bytes: ByteSize,
        timeouts: TimeoutsTable,
        tls: UpstreamTlsTable,
        paths: Named<RuleKeys>,
    } with rule: RuleKeys;
}

keys! {
    /// What a route asks, and what an entry of `[route.NAME.paths]` may ask otherwise.
    struct RuleKeys {
        access: AccessWord,
        allow: Filled<AllowTable>,
        identity: IdentityKey,
        providers: OneOrMany<String>,
        max_age: Duration,
    } reserved rule: "say it with allow, access and paths";
}

keys! {
    /// `[route.NAME.allow]`.
    struct AllowTable {
        groups: OneOrMany<String>,
        emails: OneOrMany<String>,
        domains: OneOrMany<String>,
        users: OneOrMany<String>,
        subjects: OneOrMany<String>,
        claims: ClaimValues,
        networks: OneOrMany<IpNet>,
    }
}

keys! {
    /// `[route.NAME.identity]`.
    struct IdentityTable {
        set: String,
        headers: Texts,
        groups_only: OneOrMany<String>,
        separator: RawText,
        authorization: AuthorizationWord,
    }
}

keys! {
    /// `[route.NAME.timeouts]`.
    struct TimeoutsTable {
        connect: Duration,
        first_byte: Duration,
        idle: Duration,
    }
}

keys! {
    /// `[route.NAME.tls]`.
    struct UpstreamTlsTable {
        ca: CertificatePem,
        cert: CertificatePem,
        key: KeyPem,
        server_name: String,
        insecure_skip_verify: bool,
    }
}

/// `identity = "set"` or `[route.NAME.identity]`.
#[derive(Clone, Debug)]
pub(super) enum IdentityKey {
    Set(String),
    Table(Box<IdentityTable>),
}

/// `claims = { department = ["it", "hr"] }`.
#[derive(Clone, Debug)]
pub(super) struct ClaimValues(
    pub(super) Vec<(super::reading::Found<String>, super::reading::Found<OneOrMany<AnyScalar>>)>,
);

impl FromNode for IdentityKey {
    fn shape() -> Shape {
        Shape::Table(IdentityTable::keys())
    }

    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        use super::tree::Value;

        let is_text = match &node.value {
            Value::String(_) => true,
            Value::Untyped(_) => node.structured().is_none(),
            Value::Table(_) => false,
            _ => {
                reading.wrong_type(node, "a string or a table");
                return None;
            }
        };
        if is_text {
            String::from_node(node, reading).map(Self::Set)
        } else {
            reading.section(node).map(|table| Self::Table(Box::new(table)))
        }
    }
}

impl FromNode for ClaimValues {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        use super::reading::Found;
        use super::tree::Value;

        let structured = node.structured();
        let Value::Table(table) = &structured.as_ref().unwrap_or(node).value else {
            reading.wrong_type(node, "a table");
            return None;
        };
        let mut claims = Vec::new();
        for entry in &table.entries {
            if let Field::Given(values) = reading.field(table, &entry.key) {
                claims.push((Found { value: entry.key.clone(), place: entry.place.clone() }, values));
            }
        }
        Some(Self(claims))
    }
}
