//! The kinds of diagnostics, in one table: for each its code, why it matters, and what to write. The message stands where
//! it is found, and so does what depends on what was written: those rows leave the reason or the help empty.

use super::codes::DiagnosticCode::{self, *};
use super::codes::Severity;

/// A row of the table.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct DiagnosticKind {
    /// Whether the configuration can be used nevertheless.
    pub(super) severity: Severity,
    /// The stable code.
    pub(super) code: DiagnosticCode,
    /// Why it matters: the consequence, not only the rule.
    pub(super) reason: &'static str,
    /// What to write instead.
    pub(super) help: &'static str,
}

/// A kind that makes the configuration unusable.
const fn error(code: DiagnosticCode, reason: &'static str, help: &'static str) -> DiagnosticKind {
    DiagnosticKind { severity: Severity::Error, code, reason, help }
}

/// A kind that the operator should know of.
const fn warning(code: DiagnosticCode, reason: &'static str, help: &'static str) -> DiagnosticKind {
    DiagnosticKind { severity: Severity::Warning, code, reason, help }
}

// Reading: the file, the environment, and values of the wrong kind.
pub(super) const NOT_TOML: DiagnosticKind = error(Syntax, "nothing else was checked: what follows a mistake in the syntax could mean anything", "");
pub(super) const OTHER_LANGUAGE: DiagnosticKind = error(Syntax, "configurations are TOML, so that each value has one reading", "write tables as [server] and [provider.corp], keys as public_url = \"https://…\"; config.example.toml shows every one");
pub(super) const WRONG_TYPE: DiagnosticKind = error(WrongType, "", "");
pub(super) const OTHERWISE_WRONG: DiagnosticKind = error(BadValue, "", "config.example.toml shows how the key is written");
pub(super) const UNKNOWN_KEY: DiagnosticKind = error(UnknownKey, UNKNOWN, "");
pub(super) const UNKNOWN_VARIABLE: DiagnosticKind = error(UnknownVariable, UNKNOWN, "");
pub(super) const VARIABLE_WITH_EMPTY_PART: DiagnosticKind = error(UnknownVariable, "two underscores separate the parts of a key; here a part is empty", "write VESTIBULE__SECTION__KEY, as in VESTIBULE__SERVER__LISTEN");
pub(super) const HALF_WRITTEN_VARIABLE: DiagnosticKind = warning(HalfWrittenVariable, "the parts of a key are separated by two underscores, also after VESTIBULE, in capitals", "");
pub(super) const KEY_OF_LATER_VERSION: DiagnosticKind = error(Unsupported, "it is refused, not ignored, so that nothing is thought protected that is not", "");
pub(super) const WORD_OF_LATER_VERSION: DiagnosticKind = error(Unsupported, "", "");
pub(super) const UNKNOWN_WORD: DiagnosticKind = error(UnknownWord, "", "");
pub(super) const EMPTY_TEXT: DiagnosticKind = error(BadValue, "", "write a value, or leave the key out");
pub(super) const EMPTY_TABLE: DiagnosticKind = error(EmptyList, NOBODY_OR_EVERYBODY, "leave the table out to ask nothing, or write access = \"deny\" to let nobody pass");
pub(super) const NUMBER_OUT_OF_RANGE: DiagnosticKind = error(BadValue, "", "write a number that is not negative and below four billion");
pub(super) const NO_DURATION: DiagnosticKind = error(BadValue, "", "durations are numbers with units: \"500ms\", \"30s\", \"15m\", \"12h\", \"1h 30m\"");
pub(super) const DURATION_TOO_LONG: DiagnosticKind = error(BadValue, "", "write a shorter duration: \"500ms\", \"30s\", \"15m\", \"12h\", \"30d\"");
pub(super) const NO_SIZE: DiagnosticKind = error(BadValue, "", "sizes are bytes, or numbers with a unit: 4096, \"8KiB\", \"10MiB\", \"1GB\"");
pub(super) const NO_FILE_MODE: DiagnosticKind = error(BadValue, "", "write three octal digits after a 0, as for chmod: \"0600\", \"0660\" (owner and group) or \"0666\" (everybody)");
pub(super) const NO_URL: DiagnosticKind = error(BadUrl, "", "write an absolute URL: \"https://login.example.com/path\"");
pub(super) const NO_NETWORK: DiagnosticKind = error(BadAddress, "", "write a network such as \"10.0.0.0/8\" or \"fd00::/8\", or a single address");

// Files and secrets.
pub(super) const FILE_UNREADABLE: DiagnosticKind = error(FileUnreadable, "", "");
pub(super) const NO_CERTIFICATE: DiagnosticKind = error(BadPem, "", "a PEM file with blocks that start with -----BEGIN CERTIFICATE----- is needed");
pub(super) const NO_PRIVATE_KEY: DiagnosticKind = error(BadPem, "", "a PEM file with a block such as -----BEGIN PRIVATE KEY----- is needed; encrypted keys are not taken");
pub(super) const READABLE_BY_OTHERS: DiagnosticKind = warning(ReadableSecret, "every program on this machine can take the secret, and act as this gateway with it", "");
pub(super) const SECRET_WITH_MORE: DiagnosticKind = warning(UncleanSecret, "the secret is taken alone; other programs that read it may not do so", WRITE_ALONE);
pub(super) const SECRET_UNCLEAR: DiagnosticKind = error(UncleanSecret, "", WRITE_ALONE);
pub(super) const SECRET_EMPTY: DiagnosticKind = error(WeakSecret, "an empty secret protects nothing", "put the secret where the configuration says it is");
pub(super) const SECRET_IN_FILE: DiagnosticKind = warning(LiteralSecret, "configuration files are copied and committed, and the secret with them", "");
pub(super) const SECRET_IN_FLAG: DiagnosticKind = warning(LiteralSecret, "every user of this machine can read command lines (ps), and shells keep them in their history", "");
pub(super) const NO_SECRET_PLACE: DiagnosticKind = error(SecretForm, "", "write one of { file = \"/path\" }, { env = \"NAME\" }, { credential = \"name\" }");
pub(super) const SECRET_TWO_WAYS: DiagnosticKind = error(SecretForm, "nobody could tell which of them counts", "keep one of them");
pub(super) const SECRET_UNREADABLE: DiagnosticKind = error(SecretUnreadable, "", "");
pub(super) const NO_CREDENTIAL_NAME: DiagnosticKind = error(SecretForm, "", "write the name that stands before the colon in LoadCredential=");
pub(super) const LOG_UNWRITABLE: DiagnosticKind = error(FileUnwritable, "", "");

// `[route.NAME.allow]`.
pub(super) const STAR_AMONG_NAMES: DiagnosticKind = error(BadValue, "names are compared exactly", "");
pub(super) const NO_EMAIL_ADDRESS: DiagnosticKind = error(BadValue, "", "");
pub(super) const NO_DOMAIN: DiagnosticKind = error(BadValue, "a domain is compared exactly; a star stands for the domains below it", "");
pub(super) const NO_CLAIM_VALUES: DiagnosticKind = error(EmptyList, "", "leave the key out to ask nothing, or write access = \"deny\" to let nobody pass");

// `[provider.NAME.claims]`.
pub(super) const NO_CLAIM: DiagnosticKind = error(BadClaim, "", "write a plain name such as \"groups\", or a JSON pointer such as \"/realm_access/roles\"");
pub(super) const USER_CLAIM_MISSING: DiagnosticKind = error(MissingKey, "", "name the claim of which the user name is made: user = { from = \"email\", before = \"@example.com\" }");
pub(super) const USER_RULES_CLASH: DiagnosticKind = error(Conflict, "each says by itself which part of the claim is the name", "keep the one that is meant");
pub(super) const NO_ADDRESS_END: DiagnosticKind = error(BadValue, "other addresses could end like a part of a domain: `ann@evilcorp.example` ends with `corp.example`", "write the end of the addresses with its `@`, such as \"@example.com\"; for other claims write matches = \"^(.+)-staff$\"");
pub(super) const NO_NAME_PATTERN: DiagnosticKind = error(BadValue, "", "write a regular expression with `^` at its beginning, `$` at its end and one group in round brackets: \"^(.+)@example\\\\.com$\"");
pub(super) const GROUP_SHAPES_CLASH: DiagnosticKind = error(Conflict, "the groups claim is one text, an object of names, or a list of objects, but not several of these", "keep the one that fits what the provider sends");
pub(super) const NO_GROUPS_SEPARATOR: DiagnosticKind = error(BadValue, "", "write what stands between two names, such as \";\" or \" \"");

// How the client authenticates.
pub(super) const CLIENT_SECRET_MISSING: DiagnosticKind = error(MissingKey, "", "write client_secret = { file = \"…\" }; for a public client write client_auth = \"none\"");
pub(super) const CLIENT_KEY_MISSING: DiagnosticKind = error(MissingKey, "", "write client_key = { file = \"key.pem\" }");
pub(super) const CLIENT_AUTH_UNUSED: DiagnosticKind = error(Conflict, "", "");
pub(super) const CLIENT_SECRET_PLACEHOLDER: DiagnosticKind = error(WeakSecret, "anybody can guess it", "put the secret there that the provider shows for this client");
pub(super) const PUBLIC_WITHOUT_PKCE: DiagnosticKind = error(Conflict, "whoever sees a code in transit could redeem it", "remove pkce = false, or register a confidential client");

// `[session.cookie]`.
pub(super) const SAME_SITE_NONE_OVER_HTTP: DiagnosticKind = error(Conflict, "browsers refuse such a cookie unless it is Secure", "write same_site = \"lax\", or serve https");
pub(super) const PARTITIONED_OVER_HTTP: DiagnosticKind = error(Conflict, "browsers refuse such a cookie unless it is Secure", "remove the key, or serve https");
pub(super) const COOKIE_DOMAIN_BAD: DiagnosticKind = error(CookieDomain, "browsers would drop the session cookie, and people would sign in without end", "write the domain that all hosts share, such as \"example.com\", or leave the key out for one sign-in per host");
pub(super) const COOKIE_NAME_BAD: DiagnosticKind = error(CookieName, "", "use letters, digits, `-`, `_` and `.`, at most 64 of them");
pub(super) const COOKIE_NAME_REFUSED: DiagnosticKind = error(CookieName, "browsers would refuse the session cookie", "");
pub(super) const COOKIE_NAME_WITHOUT_PREFIX: DiagnosticKind = warning(CookieName, "without it, another host of the same site could plant a session cookie here", "");

// `[route.NAME.identity]`.
pub(super) const HEADER_TWICE: DiagnosticKind = error(BadHeader, "many applications cannot tell them apart", "remove one of them");
pub(super) const NO_GROUP_PATTERN: DiagnosticKind = error(BadValue, "an item is the name of a group, or the beginning of names with a star at its end", "write such as \"staff\" or \"wiki-*\"; leave the key out to send all groups");
pub(super) const SEPARATOR_UNFIT: DiagnosticKind = error(BadHeader, "", "write one to eight visible ASCII characters, such as \",\" or \"|\"");
pub(super) const SEPARATOR_AMBIGUOUS: DiagnosticKind = error(BadHeader, "where an item holds the separator it is percent-encoded, as in \"%2C\", and could not be told apart", "write \",\", \"|\", \";\" or another sign");
pub(super) const NO_HEADER_NAME: DiagnosticKind = error(BadHeader, "", "use letters, digits and dashes, such as \"X-User\"");
pub(super) const HEADER_IS_AUTHORIZATION: DiagnosticKind = error(BadHeader, "", "write authorization = \"access_token\", \"id_token\", \"remove\", \"keep\" or { basic = … } in the identity table");
pub(super) const BASIC_MISSING: DiagnosticKind = error(MissingKey, "", BASIC_FORM);
pub(super) const BASIC_USER_MISSING: DiagnosticKind = error(MissingKey, "", BASIC_FORM);
pub(super) const BASIC_PASSWORD_MISSING: DiagnosticKind = error(MissingKey, "", BASIC_FORM);
pub(super) const BASIC_USER_BAD: DiagnosticKind = error(BadHeader, "a user name ends at the first colon, and control characters are refused (RFC 7617 section 2)", "write a name without colons, control characters, and spaces at its ends");
pub(super) const BASIC_USER_NO_NAME: DiagnosticKind = error(BadHeader, "it is nobody's name", "");
pub(super) const HEADER_STEERS: DiagnosticKind = error(BadHeader, "this header steers the connection, or is vestibule's own", "choose another name, such as \"X-User\"");
pub(super) const HEADER_CLAIM_BAD: DiagnosticKind = error(BadClaim, "", "write \"claim:department\" or \"claim:/realm_access/roles\"");
pub(super) const HEADER_TEXT_BAD: DiagnosticKind = error(BadHeader, "", "use visible ASCII characters and spaces");
pub(super) const HEADER_VALUE_UNKNOWN: DiagnosticKind = error(BadHeader, "", "");

// `[route.NAME.response_headers]`.
pub(super) const FIXED_HEADER: DiagnosticKind = error(BadHeader, "", "remove it");
pub(super) const HEADER_VALUE_UNFIT: DiagnosticKind = error(BadHeader, "", "use visible ASCII characters, with spaces only between them");
pub(super) const EMPTY_VALUES: DiagnosticKind = error(EmptyList, "it could mean an empty field or none", "write the values, or name the field in `remove`");
pub(super) const EMPTY_REMOVE: DiagnosticKind = error(EmptyList, "", "leave the key out to remove none");
pub(super) const CHANGED_TWICE: DiagnosticKind = error(Conflict, "the outcome would depend on the order", "keep one of them; several values of a field are a list: set = { Vary = [\"Accept\", \"Origin\"] }");
pub(super) const OWN_COOKIE_SET: DiagnosticKind = error(Conflict, "it is a name of vestibule's own: people would lose their session, or get somebody else's", "choose another name for the cookie");
pub(super) const COOKIES_CLEARED: DiagnosticKind = error(Conflict, "people would lose their session with each answer, and sign in without end", "write \"cache\" or \"storage\" alone");
pub(super) const SHARED_CACHE: DiagnosticKind = warning(Weakened, "a cache in front gives it to people who are not signed in; only answers that renew a session are still kept from it", "write \"private, max-age=…\", or a route with access = \"public\" for what everybody may see");

// The issuer and its tenants.
pub(super) const ISSUER_BAD: DiagnosticKind = error(BadUrl, "", "");
pub(super) const TENANTS_MISSING: DiagnosticKind = error(MissingKey, "everybody with an account in any tenant could sign in", "write the tenants' IDs: [\"9d9a7c1e-2f6b-4a51-b0f4-6c6f3c1f5a2d\"]");
pub(super) const TENANTS_WITHOUT_TEMPLATE: DiagnosticKind = error(Conflict, "the issuer of a single tenant lets in nobody else", "write issuer = \"https://login.microsoftonline.com/{tenantid}/v2.0\", or remove the key");
pub(super) const NO_TENANT: DiagnosticKind = error(BadValue, "", "write the tenant's ID as the claim `tid` has it, not its name");

// `insecure_keep_headers`.
pub(super) const NO_KEPT_HEADER: DiagnosticKind = error(BadHeader, "", "write the name of a header, such as \"X-Userinfo\"");
pub(super) const GIVEN_TWICE: DiagnosticKind = error(Conflict, "", "remove one of them");
pub(super) const NEVER_KEPT: DiagnosticKind = error(BadHeader, "", "remove it");
pub(super) const KEPT_AND_SENT: DiagnosticKind = error(Conflict, "where a claim is absent, the client's copy would be believed", "remove it here, or choose other headers with `identity`");
pub(super) const KEPT_HEADER: DiagnosticKind = warning(Weakened, "", "remove it, unless the application needs it from its clients");

// `[log]`, and what requests are matched by.
pub(super) const NOTICE_BAD: DiagnosticKind = error(BadValue, "", "write plain text; a text of several lines stands between three quotation marks: \"\"\"…\"\"\"");
pub(super) const NOTICE_TOO_LONG: DiagnosticKind = error(BadValue, "it stands on pages that have to stay small enough for every proxy", "shorten it, and name the place where the whole text is");
pub(super) const NO_LOG_LEVEL: DiagnosticKind = error(UnknownWord, "", "write one of off, error, warn, info, debug, trace, or directives as in \"info,vestibule::provider=debug\"");
pub(super) const NO_AGENT_PATTERN: DiagnosticKind = error(BadValue, "no client could ever look like that", "write the whole User-Agent, with * for any run of characters: \"kube-probe/*\"");
pub(super) const EVERY_AGENT: DiagnosticKind = warning(Weakened, "of what people do who are not signed in, nothing is written that is answered below 400", "name the clients that are left out, such as \"kube-probe/*\"");
pub(super) const ACCESS_LOG_OFF: DiagnosticKind = warning(Unreachable, "no request is written at all", "write access = \"stderr\" or a file into [log], or remove the key");
pub(super) const NO_HOST: DiagnosticKind = error(BadHost, "", "");
pub(super) const NO_PATH: DiagnosticKind = error(BadPath, "", "write a path such as \"/admin\"; it covers /admin and what is below it");
pub(super) const NO_METHOD: DiagnosticKind = error(BadValue, "", "");
pub(super) const NO_ORIGIN: DiagnosticKind = error(BadUrl, "", "write an origin such as \"https://app.example.com\"");

// What several tables have.
pub(super) const ZERO_DURATION: DiagnosticKind = error(BadValue, "", "write a duration such as \"30s\"");
pub(super) const EMPTY_ALLOW: DiagnosticKind = error(EmptyList, NOBODY_OR_EVERYBODY, "leave the key out to ask nothing, or write access = \"deny\" to let nobody pass");
pub(super) const EMPTY_LIST_FILE: DiagnosticKind = error(EmptyList, "nobody could pass; emptied while the gateway runs, the file does just that", "write one entry a line, or access = \"deny\" to let nobody pass");
pub(super) const LIST_UNUSABLE: DiagnosticKind = error(BadFollowedFile, "", "write one entry a line; lines that begin with # are comments");
pub(super) const KEY_FILE_UNUSABLE: DiagnosticKind = error(BadFollowedFile, "without the provider's keys nobody could sign in", "put the provider's key set there as it publishes it at its jwks_uri, or PEM blocks with public keys or certificates");
pub(super) const KEYS_TWO_WAYS: DiagnosticKind = error(Conflict, "of two key sets, one would be believed and the other not", "remove one of the two");
pub(super) const INTERVAL_WITHOUT_FETCH: DiagnosticKind = warning(Unreachable, "with `jwks` no key set is fetched", "remove the key");
pub(super) const NO_FILE_TABLE: DiagnosticKind = error(WrongType, "", "write { file = \"…\" }, and nothing else in it");
pub(super) const EMPTY_GROUPS_ONLY: DiagnosticKind = error(EmptyList, NOBODY_OR_EVERYBODY, "leave the key out to send all groups");
pub(super) const EMPTY_TENANTS: DiagnosticKind = error(EmptyList, NOBODY_OR_EVERYBODY, "write the tenants' IDs: [\"9d9a7c1e-2f6b-4a51-b0f4-6c6f3c1f5a2d\"]");
pub(super) const EMPTY_KEPT_HEADERS: DiagnosticKind = error(EmptyList, NOBODY_OR_EVERYBODY, "leave the key out to keep none");
pub(super) const EMPTY_HOSTS: DiagnosticKind = error(EmptyList, NOBODY_OR_EVERYBODY, "leave the key out for any host");
pub(super) const EMPTY_METHODS: DiagnosticKind = error(EmptyList, NOBODY_OR_EVERYBODY, "leave the key out for any method");
pub(super) const EMPTY_PROVIDERS: DiagnosticKind = error(EmptyList, NOBODY_OR_EVERYBODY, "leave the key out to take every provider");
pub(super) const EMPTY_UPSTREAM: DiagnosticKind = error(EmptyList, NOBODY_OR_EVERYBODY, "write upstream = \"http://127.0.0.1:3000\"");
pub(super) const TABLE_NAME: DiagnosticKind = error(BadName, "", "use letters, digits, `-` and `_`, at most 64 of them");
pub(super) const ROUTE_MISSING: DiagnosticKind = error(MissingKey, "", "add a table [route.NAME] with upstream = \"http://127.0.0.1:3000\"");
pub(super) const PROVIDER_MISSING: DiagnosticKind = error(MissingKey, "", "add a table [provider.NAME] with issuer, client_id and client_secret");

// `[provider.NAME]`.
pub(super) const CLIENT_ID_MISSING: DiagnosticKind = error(MissingKey, "", "write the client identifier that is registered at the provider");
pub(super) const ISSUER_MISSING: DiagnosticKind = error(MissingKey, "", "write issuer = \"https://…\" for OpenID Connect, or authorization_endpoint and token_endpoint for plain OAuth 2.0");
pub(super) const ENDPOINT_MISSING: DiagnosticKind = error(MissingKey, "", "a provider without issuer is plain OAuth 2.0 and needs both endpoints; with issuer they are discovered");
pub(super) const NEEDS_ISSUER: DiagnosticKind = error(Conflict, "without an issuer there is no ID token that it could be checked against", "write issuer = \"https://…\", or remove the key");
pub(super) const USERINFO_ENDPOINT_MISSING: DiagnosticKind = error(MissingKey, "", "userinfo = \"always\" needs to know where to ask");
pub(super) const NOTHING_ASKED: DiagnosticKind = error(Conflict, "nobody would be asked again, however old what is known of a person becomes", "write userinfo_endpoint or introspection_endpoint, or remove the key");
pub(super) const NOTHING_TO_ASK_WITH: DiagnosticKind = error(Conflict, "who somebody is can only be asked with their access token", "add \"access\" to session.keep, or remove the key");
pub(super) const ASKED_TOO_LATE: DiagnosticKind = warning(Unreachable, "every session ends before anybody could be asked again", "make it shorter, or remove the key");
pub(super) const CLEAR_TEXT: DiagnosticKind = error(InsecureHttp, "whoever is on the way could read tokens and sign in as anybody", "write \"https://…\"; in a closed laboratory, set insecure_http = true for this provider");
pub(super) const CLEAR_TEXT_ALLOWED: DiagnosticKind = warning(Weakened, "whoever is on the way can read tokens and sign in as anybody", "use https, and remove the key");
pub(super) const UNVERIFIED_EMAIL: DiagnosticKind = warning(Weakened, "where people can change their address at the provider, they can take anybody's", "keep it for a directory in which only administrators write addresses; else remove the key");
pub(super) const PARAMETER_RESERVED: DiagnosticKind = error(Conflict, "vestibule makes this parameter itself, and checks the answer against it", "remove it; scopes, prompt, max_age, acr_values and resource have keys of their own");
pub(super) const LOGIN_PARAM_OWNED: DiagnosticKind = error(Conflict, "vestibule makes this parameter itself; with one of a link, anybody could change what a sign-in is for", "remove it; login_params is for hints such as \"login_hint\" and \"ui_locales\"");
pub(super) const LOGIN_PARAM_REPLACES: DiagnosticKind = error(Conflict, "it could replace or take back what the other parameters ask for", "remove it; login_params is for hints such as \"login_hint\" and \"ui_locales\"");
pub(super) const LOGIN_PARAM_OF_LINK: DiagnosticKind = error(Conflict, "in a link to `login` it is said to vestibule, and is not the provider's", "remove it");
pub(super) const LOGIN_PARAM_SPELLING: DiagnosticKind = error(BadValue, "names of parameters are compared exactly, but some providers do not mind capitals", "");
pub(super) const NO_LOGIN_PARAM: DiagnosticKind = error(BadValue, "", "write names of parameters, such as [\"login_hint\", \"ui_locales\"]: letters, digits, `-`, `_`, `.` and `:`");
pub(super) const LOGIN_PARAM_NEEDS_ISSUER: DiagnosticKind = error(Conflict, "without an issuer there is no ID token that shows whether the provider did as it was asked", "write issuer = \"https://…\", or remove it");
pub(super) const FORM_POST_OVER_HTTP: DiagnosticKind = error(Conflict, "the cookie of a sign-in has to be SameSite=None, and browsers keep such cookies over https only", "write server.public_url = \"https://…\", or remove response_mode");
pub(super) const NO_RESOURCE: DiagnosticKind = error(BadUrl, "", "write \"https://api.example.com/\"");
pub(super) const SECRET_SHORT_FOR_HMAC: DiagnosticKind = error(WeakSecret, "a shorter one can be guessed from any signed token", "use RS256 or ES256, or a longer client secret");
pub(super) const LONG_LEEWAY: DiagnosticKind = warning(Weakened, "leeway is for clocks that differ by seconds", "set the clocks, and write at most \"5m\"");

// `outgoing_proxy`.
pub(super) const NO_OUTGOING_PROXY: DiagnosticKind = error(OutgoingProxy, "", "write outgoing_proxy = \"http://proxy.corp:3128\", or \"none\" to ask the provider directly");
pub(super) const PROXY_VARIABLE_BAD: DiagnosticKind = error(OutgoingProxy, "nobody is asked directly where a proxy is named", "write a value such as http://proxy.corp:3128, unset the variable, or set outgoing_proxy for each provider, which replaces the variables");
pub(super) const PROXY_OF_CLIENT: DiagnosticKind = error(OutgoingProxy, "in a CGI script, a client writes this variable by a header field", "name the proxy with outgoing_proxy, or unset one of the variables");
pub(super) const PROXY_URL_MISSING: DiagnosticKind = error(MissingKey, "", "write url = \"http://proxy.corp:3128\"");
pub(super) const PROXY_USER_MISSING: DiagnosticKind = error(MissingKey, "", "write the user name that the password belongs to");
pub(super) const PROXY_CREDENTIALS_TWICE: DiagnosticKind = error(Conflict, "nobody could tell which of them counts", "take the credentials out of the URL");

// Redirect paths.
pub(super) const REDIRECT_PATH_TWICE: DiagnosticKind = error(RedirectPath, "an answer of one could be taken for an answer of the other", "give one of them another `redirect_path`");
pub(super) const REDIRECT_PATH_BAD: DiagnosticKind = error(RedirectPath, "", "write the path of the redirect URI that is registered at the provider: \"/oauth2/callback\"");
pub(super) const REDIRECT_PATH_MOVED: DiagnosticKind = warning(RedirectPath, "", "");

// `[route.NAME]`.
pub(super) const MAX_AGE_ZERO: DiagnosticKind = error(BadValue, "every sign-in would be too old at once", "write a duration such as \"15m\"");
pub(super) const ALLOW_AGAINST_ACCESS: DiagnosticKind = error(Conflict, "", "write access = \"login\", or remove the lists");
pub(super) const NO_SUCH_PROVIDER: DiagnosticKind = error(UnknownProvider, "", "");
pub(super) const PATH_TWICE: DiagnosticKind = error(SameRoute, "", "write the rules into one entry");
pub(super) const PATH_OF_ROUTE: DiagnosticKind = error(BadPath, "the route's own keys say what holds there; with two rules, nobody could tell which one does", "write the rule into the route itself");
pub(super) const PATH_OUTSIDE: DiagnosticKind = error(BadPath, "no request of this route could match it", "");
pub(super) const NOTHING_STRIPPED: DiagnosticKind = error(BadPath, "", "write such as \"/wiki\", or leave the key out to pass paths on unchanged");
pub(super) const STRIP_OUTSIDE: DiagnosticKind = error(Conflict, "requests that do not begin with it would arrive, and there would be nothing to take off", "");
pub(super) const NOTHING_REWRITTEN: DiagnosticKind = warning(Unreachable, "answers are mapped back only where the route has `strip_prefix` or its upstream URL has a path", "remove it, or write strip_prefix");
pub(super) const ROUTE_NEEDS_PROVIDER: DiagnosticKind = error(MissingKey, "", "add a table [provider.NAME] with issuer, client_id and client_secret, or write access = \"public\"");
pub(super) const HOST_OUT_OF_REACH: DiagnosticKind = error(CookieDomain, "people would sign in without end", "remove session.cookie.domain for one sign-in per host, or run another vestibule for this host");
pub(super) const PUBLIC_HOST_UNSERVED: DiagnosticKind = warning(Unreachable, "requests for it get 421", "add a route for it, or name another host in public_url");
pub(super) const MAX_AGE_OF_PLAIN: DiagnosticKind = error(Conflict, "only an ID token tells when somebody signed in; without one, a redirect that nobody noticed would count as a fresh sign-in", "");
pub(super) const TOKEN_NOT_KEPT: DiagnosticKind = error(Conflict, "", "");
pub(super) const ROUTE_UNREACHABLE: DiagnosticKind = warning(Unreachable, "", "choose another path, or another server.prefix");
pub(super) const UPSTREAM_IS_OURSELVES: DiagnosticKind = error(BadUpstream, "each request would come back in a circle", "name the address where the application listens");
pub(super) const ROUTES_SAME: DiagnosticKind = error(SameRoute, "neither is more specific, so that nobody could tell whose rules protect a request", "give one of them another host, path or methods, or use [route.NAME.paths]");

// `no_login_from`.
pub(super) const NO_LOGIN: DiagnosticKind = warning(Weakened, "everybody there passes, and so does whatever runs there: guests, printers, machines that were broken into; nobody learns who it was", "keep it for what everybody there may see; a part of the route with rules of its own (access, allow, providers, max_age) does not take it over");
pub(super) const EMPTY_NO_LOGIN: DiagnosticKind = error(EmptyList, NOBODY_OR_EVERYBODY, "leave the key out to ask everybody for a sign-in; a part of a route does so with access = \"login\"");
pub(super) const NO_LOGIN_FOR_ALL: DiagnosticKind = error(Conflict, "everybody would pass without a sign-in", "name the networks of your own, such as \"10.2.0.0/16\"; for a page that is open to everybody write access = \"public\" or \"optional\"");
pub(super) const NO_LOGIN_AGAINST_ACCESS: DiagnosticKind = error(Conflict, "", "write access = \"login\" or \"api\", or remove the networks");
pub(super) const NO_LOGIN_FOR_PROXY: DiagnosticKind = error(Conflict, "whoever comes through the proxy could have its address, and would pass without a sign-in", "name the networks of people in one list and those of proxies in the other, without an address in both");
pub(super) const NO_LOGIN_BEHIND_UNKNOWN_PROXY: DiagnosticKind = error(NoTrustedProxies, "everybody comes with the address of that proxy, and would pass without a sign-in where it lies in these networks", "write the networks of that proxy, such as trusted_proxies = [\"10.0.0.7\"] or [\"unix\"]; to serve https here instead, write [server.tls]");

// `[server]` and `[admin]`.
pub(super) const LISTEN_EMPTY: DiagnosticKind = error(EmptyList, "", "write listen = \"127.0.0.1:4180\"");
pub(super) const TLS_WITH_HTTP_URL: DiagnosticKind = error(Conflict, "redirects would lead to http, and cookies would not be Secure", "write public_url = \"https://…\"");
pub(super) const NO_TRUSTED_PROXIES: DiagnosticKind = warning(NoTrustedProxies, "the proxy that serves https is not believed: every client has its address, in logs, limits and `allow.networks`", "write the networks of that proxy, such as trusted_proxies = [\"10.0.0.0/8\"] or [\"unix\"], or serve https here with [server.tls]");
pub(super) const PUBLIC_URL_MISSING: DiagnosticKind = error(MissingKey, "", "write public_url = \"https://wiki.example.com\": the origin that browsers use");
pub(super) const PUBLIC_URL_BAD: DiagnosticKind = error(PublicUrl, "", "write \"https://wiki.example.com\"");
pub(super) const PUBLIC_URL_MORE: DiagnosticKind = error(PublicUrl, "applications are served at the root of their host; what is below it is for routes to say", "");
pub(super) const PUBLIC_URL_HTTP: DiagnosticKind = warning(Weakened, "session cookies travel in clear text and can be stolen on the way; browsers get no Secure cookie", "serve https, here or in a proxy in front, and write \"https://…\"");
pub(super) const NO_LISTEN_ADDRESS: DiagnosticKind = error(BadAddress, "", "write \"0.0.0.0:4180\", \"[::]:4180\", \"unix:/run/vestibule.sock\" or \"systemd:NAME\"");
pub(super) const ADMIN_ON_TRAFFIC: DiagnosticKind = error(Conflict, "metrics and health never share a port with traffic", "give the admin listener another port, such as \"127.0.0.1:4181\"");
pub(super) const EVERYBODY_TRUSTED: DiagnosticKind = warning(Weakened, "any client can then say from which address and for which host it comes", "name the networks of the proxies in front of vestibule");
pub(super) const NO_TRUSTED_PROXY: DiagnosticKind = error(BadAddress, "", "write a network such as \"10.0.0.0/8\", a single address, or \"unix\" for peers on unix sockets");
pub(super) const NO_PREFIX: DiagnosticKind = error(BadPath, "", "write a path of plain segments, such as \"/_vestibule\" or \"/auth\"");
pub(super) const WORKERS_OUT_OF_RANGE: DiagnosticKind = error(BadValue, "", "write 1 to 1024, or leave the key out for one a core");
pub(super) const HEADER_BYTES_OUT_OF_RANGE: DiagnosticKind = error(BadValue, "", "write a size from \"8KiB\" to \"1MiB\"");
pub(super) const ZERO_COUNT: DiagnosticKind = error(BadValue, "", "write a number from 1 on");

// `[server] hsts`.
pub(super) const HSTS_WITHOUT_AGE: DiagnosticKind = error(MissingKey, "", "write hsts = \"365d\" or hsts = { max_age = \"365d\" }");
pub(super) const HSTS_PART_OF_SECOND: DiagnosticKind = error(BadValue, "browsers count whole seconds; less than one would have them forget", "write a duration such as \"365d\"");
pub(super) const HSTS_PRELOAD: DiagnosticKind = error(Conflict, "the list that browsers are shipped with takes no other domains (hstspreload.org)", "write hsts = { max_age = \"365d\", include_subdomains = true, preload = true }, or remove `preload`");
pub(super) const HSTS_OVER_HTTP: DiagnosticKind = warning(Unreachable, "browsers ignore the field over http, so that it is never sent", "write public_url = \"https://…\", or remove the key");
pub(super) const HSTS_CHANGED: DiagnosticKind = error(Conflict, "browsers obey one such field only", "remove it here; where hosts differ in it, remove `server.hsts`");

// `[session]`.
pub(super) const IDLE_LONGER_THAN_LIFE: DiagnosticKind = warning(Unreachable, "every session ends before it could be idle for so long", "make it shorter, or make the lifetime longer");
pub(super) const SESSION_KEYS_MISSING: DiagnosticKind = error(MissingKey, "", MAKE_A_KEY);
pub(super) const SESSION_KEYS_EMPTY: DiagnosticKind = error(EmptyList, "", MAKE_A_KEY);
pub(super) const SESSION_KEY_BAD: DiagnosticKind = error(WeakSecret, "whoever knows a session key can make a session for anybody", MAKE_A_KEY);

// TLS.
pub(super) const CERT_MISSING: DiagnosticKind = error(MissingKey, "", "name the PEM file of the certificate chain");
pub(super) const TLS_CERTIFICATE_MISSING: DiagnosticKind = error(MissingKey, "", "write cert = \"/path/chain.pem\" and key = \"/path/key.pem\"");
pub(super) const KEY_MISSING: DiagnosticKind = error(MissingKey, "", "name the PEM file of the certificate's private key");
pub(super) const PAIR_MISMATCH: DiagnosticKind = error(BadPem, "", "name the key that this certificate was issued for");
pub(super) const CLIENT_CA_MISSING: DiagnosticKind = error(MissingKey, "", "name a PEM file with the roots of the clients' certificates");
pub(super) const TLS_WITHOUT_HTTPS: DiagnosticKind = error(Conflict, "what is sent there is not encrypted", "write upstream = \"https://…\", or remove the table");
pub(super) const VERIFY_SKIPPED: DiagnosticKind = warning(Weakened, "anybody on the way can read the identity headers and answer in the application's place", "name the upstream's root of trust: ca = \"/path/ca.pem\"");
pub(super) const UPSTREAM_CERT_MISSING: DiagnosticKind = error(MissingKey, "", "name the PEM file of the client certificate");

// Upstreams.
pub(super) const UPSTREAM_MISSING: DiagnosticKind = error(MissingKey, "", "write upstream = \"http://127.0.0.1:3000\", or \"static:204\" for an empty answer");
pub(super) const UPSTREAM_BAD: DiagnosticKind = error(BadUpstream, "", "");
pub(super) const UPSTREAM_MIXED: DiagnosticKind = error(BadUpstream, "", "write addresses of one kind, or two routes");
pub(super) const UPSTREAM_TWICE: DiagnosticKind = error(BadUpstream, "", "remove one of them");
pub(super) const NO_STATIC_CODE: DiagnosticKind = error(BadUpstream, "", "write a status from 200 to 599, as in \"static:204\"");
pub(super) const STATIC_WITH_CONNECTION: DiagnosticKind = error(Conflict, "", "remove it, or name an upstream that is a server");
pub(super) const NO_HOST_HEADER: DiagnosticKind = error(BadHost, "", "write \"preserve\", \"upstream\", or a host such as \"app.internal\"");

// Of starting with a configuration that is sound in itself.
pub(crate) const NO_CONFIGURATION_GIVEN: DiagnosticKind = error(FileUnreadable, "", "");
pub(crate) const NO_CONFIGURATION_BESIDES: DiagnosticKind = warning(FileUnreadable, "", "");
pub(crate) const CONFIGURATION_UNREADABLE: DiagnosticKind = error(FileUnreadable, "", "name it with --config; it must be readable by the user that runs vestibule");
pub(crate) const CANNOT_LISTEN: DiagnosticKind = error(CannotListen, "", "");
pub(crate) const CANNOT_BUILD: DiagnosticKind = error(CannotBuild, "", "write what the message asks for, or remove the key that it names");
pub(crate) const TLS_FILES_UNUSABLE: DiagnosticKind = error(BadPem, "", "name PEM files that this user may read: cert with its chain, and key with the key of that certificate");
pub(crate) const LOG_CANNOT_BE_OPENED: DiagnosticKind = error(FileUnwritable, "", "name a file that this user may write, or \"stderr\"");

/// The help where Basic credentials are not complete.
const BASIC_FORM: &str = "write authorization = { basic = { user = \"claim:preferred_username\", password = { file = \"…\" } } }";
/// The reason of unknown keys.
const UNKNOWN: &str = "unknown keys are refused, so that a misspelt rule cannot silently leave something open";
/// The help for secrets with something around them.
const WRITE_ALONE: &str = "write the secret alone, as with `printf %s SECRET > FILE`";
/// The reason of empty lists.
const NOBODY_OR_EVERYBODY: &str = "it could mean nobody or everybody";
/// The help where a session key is missing or bad.
const MAKE_A_KEY: &str = "make one with `vestibule keys new > session_key` and write keys = [{ file = \"session_key\" }]";
