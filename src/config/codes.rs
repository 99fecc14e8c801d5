//! The stable codes of findings about a configuration, and the long text of each.

/// A code: stable over versions, never used for another meaning.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(missing_docs, reason = "each is explained in the table below")]
pub enum Code {
    Syntax,
    UnknownKey,
    WrongType,
    MissingKey,
    UnknownWord,
    BadValue,
    UnknownVariable,
    HalfWrittenVariable,
    BadUrl,
    BadAddress,
    InsecureHttp,
    SecretForm,
    SecretUnreadable,
    WeakSecret,
    LiteralSecret,
    FileUnreadable,
    BadPem,
    Conflict,
    SameRoute,
    UnknownProvider,
    EmptyList,
    BadHost,
    BadPath,
    BadHeader,
    BadClaim,
    CookieName,
    CookieDomain,
    Unsupported,
    Weakened,
    PublicUrl,
    BadName,
    BadUpstream,
    Unreachable,
    RedirectPath,
    FileUnwritable,
    CannotListen,
    CannotBuild,
    UncleanSecret,
    ReadableSecret,
    NoTrustedProxies,
}

impl Code {
    /// `VB0001` and so on.
    pub fn as_str(self) -> &'static str {
        TABLE.iter().find(|(code, ..)| *code == self).map_or("VB0000", |(_, text, _)| text)
    }

    /// What the code means, at length.
    pub fn explanation(self) -> &'static str {
        TABLE.iter().find(|(code, ..)| *code == self).map_or("", |(.., text)| text)
    }

    /// The code of this name, in any case.
    pub fn parse(text: &str) -> Option<Self> {
        TABLE.iter().find(|(_, name, _)| name.eq_ignore_ascii_case(text)).map(|(code, ..)| *code)
    }

    /// Every code.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|(code, ..)| *code)
    }
}

const TABLE: &[(Code, &str, &str)] = &[
    (Code::Syntax, "VB0001", "The file is not TOML.

A mistake in the syntax is reported alone, because what follows it could mean anything. Common causes: a string without
quotes, a missing closing bracket, the same key or table written twice, a list that is not in square brackets."),
    (Code::UnknownKey, "VB0002", "A key is not known in the table where it stands.

Unknown keys are always errors: a misspelt key that is silently ignored can leave an application unprotected. The help line
names the nearest key of the same table, or the table where a key of this name belongs. config.example.toml lists every key."),
    (Code::WrongType, "VB0003", "A value has another type than its key takes.

Durations are strings (\"15m\", \"1h 30m\"), sizes are strings (\"8KiB\") or a number of bytes, lists stand in square brackets,
booleans are true or false without quotes. In environment variables everything is text: lists are separated by commas or
written as in TOML."),
    (Code::MissingKey, "VB0004", "A key is required and is not there.

The smallest file has server.public_url, one provider with issuer, client_id and client_secret, session.keys, and one route
with an upstream. Any of them may come from the environment instead: VESTIBULE__SERVER__PUBLIC_URL."),
    (Code::UnknownWord, "VB0005", "A value is not one of the words that its key takes.

The help line lists them. Words are lower-case."),
    (Code::BadValue, "VB0006", "A value of the right type cannot be used.

A duration, size, number or text is outside of what makes sense for its key; the note says why."),
    (Code::UnknownVariable, "VB0007", "An environment variable that starts with VESTIBULE__ names no key.

Such variables are meant for vestibule, so an unknown one is an error like an unknown key in the file. The parts of the name
are the parts of the key, upper-case, separated by two underscores: VESTIBULE__PROVIDER__CORP__CLIENT_ID sets client_id of
[provider.corp]."),
    (Code::HalfWrittenVariable, "VB0008", "An environment variable looks as if it was meant for vestibule, but is not read.

The parts of a key are separated by two underscores, also after VESTIBULE."),
    (Code::BadUrl, "VB0009", "A URL cannot be used.

URLs are absolute, with a scheme and a host, without user name, password or fragment."),
    (Code::BadAddress, "VB0010", "An address or network cannot be used.

Listeners are \"host:port\", \"unix:/path\" or \"systemd:name\". Networks are CIDRs such as \"10.0.0.0/8\" or single addresses."),
    (Code::InsecureHttp, "VB0011", "Codes, tokens and the client secret would travel in clear text.

http:// issuers and endpoints are taken for loopback addresses only. Elsewhere somebody between here and the provider could
read and replace what is sent, and sign in as anybody. If that is really wanted, in a closed laboratory, set
insecure_http = true in the provider's table; it is warned about at each start."),
    (Code::SecretForm, "VB0012", "A secret is not written in one of the ways that it can be written.

A secret is exactly one of { file = \"/path\" }, { env = \"NAME\" }, { credential = \"name\" } (systemd's LoadCredential=), or,
with a warning, a literal string. A secret given two ways is an error, because nobody can tell which one would count."),
    (Code::SecretUnreadable, "VB0013", "A secret cannot be read from where it is said to be.

The file does not exist or may not be read by this user, the variable is not set, or the service manager passed no such
credential. Relative paths start at the folder of the configuration file."),
    (Code::WeakSecret, "VB0014", "A secret is empty, an example, or too easy to guess.

Whoever knows a session key can make a session for anybody. A session key is 32 random bytes, as base64 or hex, and
`vestibule keys new` prints one. Keys that stand in examples, repeat a pattern or spell text are refused."),
    (Code::LiteralSecret, "VB0015", "A secret stands in the configuration file itself, or on the command line.

Files are copied, mailed and committed; command lines are seen by every user of the machine and kept by shells. Keep the secret elsewhere and write { file = \"…\" }, { env = \"…\" } or
{ credential = \"…\" }."),
    (Code::FileUnreadable, "VB0016", "A file that the configuration names cannot be read.

It does not exist, is a folder, or may not be read by this user. Relative paths start at the folder of the configuration
file."),
    (Code::BadPem, "VB0017", "A file is not the PEM that it should be.

Certificates stand between BEGIN CERTIFICATE and END CERTIFICATE, private keys between BEGIN PRIVATE KEY and END PRIVATE KEY
(PKCS#8, also PKCS#1 and SEC1). Encrypted keys are not taken."),
    (Code::Conflict, "VB0018", "Two settings contradict each other.

One of them would have to be ignored; the message names both."),
    (Code::SameRoute, "VB0019", "Two routes, or two entries of paths, say the same.

The most specific host wins, then the most specific path; order in the file means nothing. Between two that are equally
specific there is no winner, so that nobody could tell which rule protects a request."),
    (Code::UnknownProvider, "VB0020", "A route names a provider that is not configured.

Each name in providers is the name of a table [provider.NAME]."),
    (Code::EmptyList, "VB0021", "A list is empty.

An empty list in allow could mean nobody or everybody, so it is refused: leave the key out to ask nothing, or write
access = \"deny\" to let nobody pass."),
    (Code::BadHost, "VB0022", "A host cannot be matched.

Hosts are names or addresses without scheme, port or path: \"wiki.example.com\", or \"*.example.com\" for every host below it.
Leave the key out for any host."),
    (Code::BadPath, "VB0023", "A path cannot be matched.

Paths start with a slash, are written decoded and canonical (no //, no dot segments, no query), and match whole segments:
\"/admin\" covers /admin and /admin/x, not /administrator. Entries of paths lie below their route's path."),
    (Code::BadHeader, "VB0024", "An identity header cannot be sent.

Header names are letters, digits and dashes. Headers that steer the connection (Host, Connection, Content-Length, Cookie and
the like) cannot carry an identity. Values are user, subject, email, name, preferred_username, groups, provider,
access_token, id_token, claim:NAME or text:WORDS."),
    (Code::BadClaim, "VB0025", "A claim cannot be found this way.

A claim is a plain name (\"groups\") or a JSON pointer (\"/realm_access/roles\", RFC 6901)."),
    (Code::CookieName, "VB0026", "A cookie's name contradicts its attributes.

Browsers refuse a cookie whose name starts with __Host- unless it is Secure and has no Domain, and one that starts with
__Secure- unless it is Secure (RFC 6265bis section 4.1.3). Without any prefix, another host of the same site could plant a
session cookie here."),
    (Code::CookieDomain, "VB0027", "A cookie's domain does not fit the hosts.

session.cookie.domain must be the host of public_url or a domain above it, and every route that asks for a session must
serve a host below it; browsers would drop the cookie otherwise and people would sign in without end."),
    (Code::Unsupported, "VB0028", "The configuration uses what this version does not have.

The key is known and reserved, but nothing stands behind it yet. It is refused, not ignored, so that nothing is thought
protected that is not."),
    (Code::Weakened, "VB0029", "A setting weakens security.

It is taken, because its name says so (insecure_…) or because it is needed for development, but it should not be seen in
production. `vestibule check --deny-warnings` refuses it."),
    (Code::PublicUrl, "VB0030", "public_url is not an origin.

It is the scheme, host and, where needed, port under which browsers reach the gateway, and nothing else:
\"https://wiki.example.com\". Redirect URIs and cookies follow from it, never from what a request says."),
    (Code::BadName, "VB0031", "A table's name cannot be used.

Names of providers and routes are letters, digits, - and _, at most 64 of them; they stand in cookies, logs and metrics."),
    (Code::BadUpstream, "VB0032", "An upstream cannot be used.

An upstream is http://host:port, https://host, h2c://host:port, unix:/path/to/socket, a list of such addresses of one kind,
or static:CODE for an empty answer."),
    (Code::Unreachable, "VB0033", "A setting can never take effect.

It is taken, but nothing that a request does can reach it; that is seldom what was meant."),
    (Code::RedirectPath, "VB0034", "A provider's redirect URI cannot be used, or is another than it was with one provider.

Each provider has a redirect URI of its own. Without redirect_path it ends in /_vestibule/callback for the only provider and in
/_vestibule/callback/NAME with several, so that a second table moves the first one's. The provider refuses what is not registered
there: write redirect_path for a provider whose redirect URI is to stay."),
    (Code::FileUnwritable, "VB0035", "A log's file cannot be written.

It is a folder, its folder does not exist, or this user may not write there. Relative paths start at the folder of the
configuration file; a bare name such as \"access.log\" is a file there. Nothing is made or changed while this is found out."),
    (Code::CannotListen, "VB0036", "An address of server.listen or admin.listen cannot be listened on.

Another program has the port or the socket, a unix socket's folder does not exist, this machine does not have the address, or
this user may not take a port below 1024. `vestibule check` opens no socket: it tells only what shows without that."),
    (Code::CannotBuild, "VB0037", "A part of the gateway cannot be made of what the configuration says.

Each value is well formed, but the library that needs it refuses it: a certificate of a kind that is not known, for example. The
message says what it said."),
    (Code::UncleanSecret, "VB0038", "There is something around a secret, or in it, that is no part of it.

A byte order mark, blanks, empty lines and NUL around a secret are taken off, wherever it comes from, and warned about: another
program that reads the same file may not take them off. Several lines, control characters and other encodings than UTF-8 are
refused, because nobody could tell which part is the secret. A newline at the end is usual and is taken off in silence."),
    (Code::ReadableSecret, "VB0039", "A file with a key or a secret may be read by others.

Every user and program of the machine can read it, and with it act as this gateway: sign in at the provider as its client, make
sessions, or serve its certificate. Give it to the user that runs vestibule with mode 0600 or 0400, or to a group of that user's
with 0640."),
    (Code::NoTrustedProxies, "VB0040", "A proxy in front serves https, but is not named in server.trusted_proxies.

public_url is https and there is no [server.tls], so that something in front ends TLS. What it says of the client (X-Forwarded-For,
Forwarded) is believed only from the networks in trusted_proxies; without them, logs, `allow.networks` and the limits per
client see one address, the proxy's, for everybody."),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn codes_are_unique_and_explained() {
        let codes: HashSet<&str> = Code::all().map(Code::as_str).collect();
        assert_eq!(codes.len(), TABLE.len());
        for code in Code::all() {
            assert!(code.explanation().len() > 60, "{}", code.as_str());
            assert_eq!(Code::parse(&code.as_str().to_lowercase()), Some(code));
        }
        assert_eq!(Code::parse("VB9999"), None);
    }
}
