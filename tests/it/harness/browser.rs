//! A browser over plain sockets: cookies by the book, Fetch Metadata, redirects as navigations, several tabs.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::net::TcpStream;
use url::Url;
use vestibule::clock::ManualClock;

use super::cookie_jar::{CookieJar, Kept, Reach, same_site};

/// A browser. A clone is another tab: it shares the cookies.
#[derive(Clone, Debug)]
pub(crate) struct Browser {
    jar: Arc<Mutex<CookieJar>>,
    /// Where names lead that no resolver knows: origin to address. An https origin is reached in plain text, as if TLS ended before.
    hosts: HashMap<String, SocketAddr>,
    http2: bool,
    fetch_metadata: bool,
    extra: Vec<(HeaderName, HeaderValue)>,
    takes_cookies: bool,
}

/// What a request came to, after all redirects.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) url: Url,
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Every redirect on the way, the oldest first.
    pub(crate) hops: Vec<Hop>,
}

/// A redirect.
#[derive(Clone, Debug)]
pub(crate) struct Hop {
    pub(crate) url: Url,
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
}

/// A request, and how it came about.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    method: Method,
    url: Url,
    body: Option<String>,
    /// The page that caused it; `None`: the person, by the address bar.
    from: Option<Url>,
    kind: Kind,
    extra: Vec<(HeaderName, HeaderValue)>,
    follows: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Navigation,
    Script,
    Frame,
    Image,
}

impl Browser {
    /// A browser whose cookies expire by this clock.
    pub(crate) fn new(clock: Arc<ManualClock>) -> Self {
        Self {
            jar: Arc::new(Mutex::new(CookieJar::new(clock))),
            hosts: HashMap::new(),
            http2: false,
            fetch_metadata: true,
            extra: Vec::new(),
            takes_cookies: true,
        }
    }

    /// Leads an origin (`https://wiki.example.com`) to an address.
    pub(crate) fn resolving(mut self, origin: &str, to: SocketAddr) -> Self {
        self.hosts.insert(Url::parse(origin).unwrap().origin().ascii_serialization(), to);
        self
    }

    /// Speaks HTTP/2 with prior knowledge, to the origins that it was told by [`Self::resolving`].
    pub(crate) fn over_http2(mut self) -> Self {
        self.http2 = true;
        self
    }

    /// Sends no Fetch Metadata, as browsers did before 2023.
    pub(crate) fn without_fetch_metadata(mut self) -> Self {
        self.fetch_metadata = false;
        self
    }

    /// Sends a header field with every request.
    pub(crate) fn sending(mut self, name: &str, value: &str) -> Self {
        self.extra.push(field(name, value));
        self
    }

    /// Takes no cookies, as some people have set theirs.
    pub(crate) fn refusing_cookies(mut self) -> Self {
        self.takes_cookies = false;
        self
    }

    /// Opens a URL from the address bar, and follows redirects.
    pub(crate) async fn opens(&self, url: &str) -> Page {
        self.does(Ask::navigation(url)).await
    }

    /// Opens a URL and takes no redirect: the answer itself.
    pub(crate) async fn asks(&self, url: &str) -> Page {
        self.does(Ask::navigation(url).without_following()).await
    }

    /// Opens a URL and, where the provider asks, is this person there.
    pub(crate) async fn signs_in(&self, url: &str, person: &str) -> Page {
        let page = self.opens(url).await;
        if page.is_choosing() { self.picks(&page, person).await } else { page }
    }

    /// Chooses a person on the provider's page, by a part of the name.
    pub(crate) async fn picks(&self, page: &Page, person: &str) -> Page {
        let text = page.text();
        // What stands before the first button holds a random state, in which any short name may occur.
        let button = text.split("<button").skip(1).find(|button| button.contains(person));
        let button = button.unwrap_or_else(|| panic!("{person} is not on this page: {text}"));
        let chosen = attribute(button, "value").unwrap();
        let form = page.form("sso/choose");
        let mut fields = form.fields.clone();
        fields.push(("person".to_owned(), chosen));
        self.does(Ask::form(&form.action, &fields).from(&page.url)).await
    }

    /// Follows a link of a page.
    pub(crate) async fn follows(&self, page: &Page, link: &str) -> Page {
        self.does(Ask::navigation(page.url.join(link).unwrap().as_str()).from(&page.url)).await
    }

    /// Sends the form of a page whose action holds `action`, with what is filled in.
    pub(crate) async fn submits(&self, page: &Page, action: &str, filled: &[(&str, &str)]) -> Page {
        let form = page.form(action);
        let mut fields = form.fields;
        fields.extend(filled.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self.does(Ask::form(&form.action, &fields).from(&page.url)).await
    }

    /// Fetches as a script of a page does.
    pub(crate) async fn fetches(&self, from: &str, url: &str) -> Page {
        self.does(Ask::script(url).from(&Url::parse(from).unwrap())).await
    }

    /// Does anything; follows redirects unless it was told not to.
    pub(crate) async fn does(&self, ask: Ask) -> Page {
        let mut hops: Vec<Hop> = Vec::new();
        let mut ask = ask;
        let mut all_same_site = ask.from.as_ref().is_none_or(|from| same_site(from, &ask.url));
        loop {
            let response = self.exchange(&ask, &hops, all_same_site).await;
            let (parts, body) = response.into_parts();
            self.keep(&ask.url, &parts.headers);
            let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            let status = parts.status.as_u16();
            let location = parts.headers.get("location").and_then(|value| value.to_str().ok());
            let next = location.filter(|_| ask.follows && matches!(status, 301 | 302 | 303 | 307 | 308));
            let Some(next) = next.map(|location| ask.url.join(location).unwrap()) else {
                return Page { url: ask.url, status, headers: parts.headers, body, hops };
            };
            assert!(
                hops.len() < MOST_HOPS,
                "a redirect loop: {:?}",
                hops.iter().map(|hop| &hop.url).collect::<Vec<_>>()
            );
            all_same_site &= same_site(&ask.url, &next);
            hops.push(Hop { url: ask.url.clone(), status, headers: parts.headers.clone() });
            ask = ask.redirected(next, status);
        }
    }

    /// The value of a cookie that would be sent to this URL by the person.
    pub(crate) fn cookie(&self, url: &str, name: &str) -> Option<String> {
        let header = self.jar.lock().unwrap().header(&Url::parse(url).unwrap(), Reach::SameSite)?;
        header
            .split("; ")
            .filter_map(|pair| pair.split_once('='))
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.to_owned())
    }

    /// All cookies, with their attributes.
    pub(crate) fn cookies(&self) -> Vec<Kept> {
        self.jar.lock().unwrap().live().cloned().collect()
    }

    /// Plants a cookie as if this URL had set it.
    pub(crate) fn plants(&self, url: &str, set_cookie: &str) {
        self.jar.lock().unwrap().take(&Url::parse(url).unwrap(), set_cookie);
    }

    /// The cookies of this browser in a second one, from which on they go apart: a stolen or restored copy.
    pub(crate) fn copied(&self) -> Self {
        let jar = self.jar.lock().unwrap().clone();
        Self { jar: Arc::new(Mutex::new(jar)), ..self.clone() }
    }

    async fn exchange(&self, ask: &Ask, hops: &[Hop], all_same_site: bool) -> Response<Incoming> {
        let origin = ask.url.origin().ascii_serialization();
        let known = self.hosts.get(&origin).copied();
        let address = known.unwrap_or_else(|| address_of(&ask.url));
        let http2 = self.http2 && known.is_some();
        let mut request = Request::new(Full::new(Bytes::from(ask.body.clone().unwrap_or_default())));
        *request.method_mut() = ask.method.clone();
        *request.headers_mut() = self.fields(ask, hops, all_same_site);
        let target = ask.url[url::Position::BeforePath..url::Position::AfterQuery].to_owned();
        let authority = ask.url[url::Position::BeforeHost..url::Position::AfterPort].to_owned();
        let stream = TcpStream::connect(address).await.unwrap_or_else(|error| panic!("{origin} at {address}: {error}"));
        if http2 {
            *request.version_mut() = Version::HTTP_2;
            *request.uri_mut() = format!("{}://{authority}{target}", ask.url.scheme()).parse().unwrap();
            let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            sender.send_request(request).await.unwrap()
        } else {
            *request.uri_mut() = target.parse().unwrap();
            request.headers_mut().insert("host", HeaderValue::from_str(&authority).unwrap());
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            sender.send_request(request).await.unwrap_or_else(|error| panic!("{}: {error}", ask.url))
        }
    }

    fn fields(&self, ask: &Ask, hops: &[Hop], all_same_site: bool) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut put = |name: &'static str, value: &str| headers.insert(name, HeaderValue::from_str(value).unwrap());
        put("user-agent", "Mozilla/5.0 (vestibule's test browser)");
        put("accept", ask.kind.accept());
        let safe = ask.method.is_safe();
        let reach = match (all_same_site, ask.kind) {
            (true, _) => Reach::SameSite,
            (false, Kind::Navigation) if safe => Reach::CrossSiteNavigation,
            (false, _) => Reach::CrossSite,
        };
        if self.fetch_metadata {
            put("sec-fetch-mode", ask.kind.mode());
            put("sec-fetch-dest", ask.kind.dest());
            put("sec-fetch-site", ask.fetch_site(hops, all_same_site));
        }
        if ask.body.is_some() && !ask.extra.iter().any(|(name, _)| name == "content-type") {
            put("content-type", "application/x-www-form-urlencoded");
        }
        if let Some(from) = ask.from.as_ref().filter(|_| !safe) {
            put("origin", &from.origin().ascii_serialization());
        }
        if let Some(cookies) = self.jar.lock().unwrap().header(&ask.url, reach) {
            put("cookie", &cookies);
        }
        for (name, value) in self.extra.iter().chain(&ask.extra) {
            headers.append(name, value.clone());
        }
        headers
    }

    fn keep(&self, url: &Url, headers: &HeaderMap) {
        if self.takes_cookies {
            let mut jar = self.jar.lock().unwrap();
            for field in headers.get_all("set-cookie") {
                jar.take(url, &String::from_utf8_lossy(field.as_bytes()));
            }
        }
    }
}

impl Ask {
    /// A navigation from the address bar.
    pub(crate) fn navigation(url: &str) -> Self {
        let url = Url::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"));
        Self {
            method: Method::GET,
            url,
            body: None,
            from: None,
            kind: Kind::Navigation,
            extra: Vec::new(),
            follows: true,
        }
    }

    /// A form that is sent by POST.
    pub(crate) fn form(action: &str, fields: &[(String, String)]) -> Self {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        Self { method: Method::POST, body: Some(body), ..Self::navigation(action) }
    }

    /// A script's `fetch`; redirects come back as they are (`redirect: "manual"`).
    pub(crate) fn script(url: &str) -> Self {
        Self { kind: Kind::Script, follows: false, ..Self::navigation(url) }
    }

    /// A page in a frame of another one.
    pub(crate) fn frame(url: &str) -> Self {
        Self { kind: Kind::Frame, ..Self::navigation(url) }
    }

    /// An image of a page.
    pub(crate) fn image(url: &str) -> Self {
        Self { kind: Kind::Image, ..Self::navigation(url) }
    }

    /// Caused by this page.
    pub(crate) fn from(mut self, page: &Url) -> Self {
        self.from = Some(page.clone());
        self
    }

    /// By another method.
    pub(crate) fn by(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// With a header field.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.extra.push(field(name, value));
        self
    }

    /// Takes the first answer, redirect or not.
    pub(crate) fn without_following(mut self) -> Self {
        self.follows = false;
        self
    }

    fn redirected(self, to: Url, status: u16) -> Self {
        let keeps_method = matches!(status, 307 | 308) || self.method == Method::HEAD;
        let (method, body) = if keeps_method { (self.method, self.body) } else { (Method::GET, None) };
        Self { url: to, method, body, ..self }
    }

    /// The worst relation over the whole chain (Fetch Metadata, section 2.3).
    fn fetch_site(&self, hops: &[Hop], all_same_site: bool) -> &'static str {
        let Some(from) = &self.from else { return "none" };
        let same_origin = |url: &Url| url.origin() == from.origin();
        match all_same_site {
            false => "cross-site",
            true if same_origin(&self.url) && hops.iter().all(|hop| same_origin(&hop.url)) => "same-origin",
            true => "same-site",
        }
    }
}

impl Kind {
    fn accept(self) -> &'static str {
        match self {
            Self::Navigation | Self::Frame => "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            Self::Script => "*/*",
            Self::Image => "image/avif,image/webp,*/*;q=0.8",
        }
    }

    fn mode(self) -> &'static str {
        match self {
            Self::Navigation | Self::Frame => "navigate",
            Self::Script => "cors",
            Self::Image => "no-cors",
        }
    }

    fn dest(self) -> &'static str {
        match self {
            Self::Navigation => "document",
            Self::Frame => "iframe",
            Self::Script => "empty",
            Self::Image => "image",
        }
    }
}

/// A form of a page.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    pub(crate) action: String,
    /// The hidden fields.
    pub(crate) fields: Vec<(String, String)>,
}

impl Page {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Whether a code or a reason stands on it as a word of its own.
    pub(crate) fn names(&self, word: &str) -> bool {
        self.text().split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))).any(|it| it == word)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("not JSON: {error}: {}", self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Where the answer sends the browser.
    pub(crate) fn location(&self) -> Url {
        let location =
            self.header("location").unwrap_or_else(|| panic!("{} has no location: {}", self.status, self.text()));
        self.url.join(location).unwrap()
    }

    /// A parameter of the URL that the page is at.
    pub(crate) fn param(&self, name: &str) -> Option<String> {
        param(&self.url, name)
    }

    /// The first hop to a URL that holds this text.
    pub(crate) fn hop(&self, part: &str) -> &Hop {
        let found = self.hops.iter().find(|hop| hop.url.as_str().contains(part));
        found.unwrap_or_else(|| {
            panic!("no hop to {part} in {:?}", self.hops.iter().map(|hop| hop.url.as_str()).collect::<Vec<_>>())
        })
    }

    /// Whether it is the provider's page to choose a person.
    pub(crate) fn is_choosing(&self) -> bool {
        self.status == 200 && self.text().contains("action=\"/sso/choose\"")
    }

    /// The form whose action holds this text.
    pub(crate) fn form(&self, action: &str) -> Form {
        let text = self.text();
        let forms = text.split("<form").skip(1).map(|form| form.split("</form>").next().unwrap_or(form));
        let found =
            forms.map(|form| (form, attribute(form, "action").unwrap_or_default())).find(|(_, at)| at.contains(action));
        let (form, at) = found.unwrap_or_else(|| panic!("no form to {action} on {text}"));
        let hidden = form.split("<input").skip(1).filter(|input| attribute(input, "type").as_deref() == Some("hidden"));
        let fields =
            hidden.filter_map(|input| Some((attribute(input, "name")?, attribute(input, "value").unwrap_or_default())));
        Form { action: self.url.join(&at).unwrap().into(), fields: fields.collect() }
    }
}

impl Hop {
    /// A parameter of its URL.
    pub(crate) fn param(&self, name: &str) -> Option<String> {
        param(&self.url, name)
    }
}

fn param(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
}

/// An attribute of the tag that `text` starts in.
fn attribute(text: &str, name: &str) -> Option<String> {
    let tag = text.split('>').next()?;
    let value = tag.split(&format!(" {name}=\"")).nth(1)?.split('"').next()?;
    let plain = value.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#39;", "'");
    Some(plain.replace("&#x2f;", "/").replace("&#x27;", "'").replace("&amp;", "&"))
}

fn field(name: &str, value: &str) -> (HeaderName, HeaderValue) {
    (HeaderName::try_from(name).unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap())
}

fn address_of(url: &Url) -> SocketAddr {
    let socket = url.socket_addrs(|| None).unwrap_or_else(|error| panic!("nobody told where {url} is: {error}"));
    let address = socket[0];
    assert!(address.ip().is_loopback(), "{url} would leave this machine");
    address
}

const MOST_HOPS: usize = 12;
