//! A proxy on the way out, as a company has one: it records what it is asked, and is the only way to the names behind it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

use super::raw::Wire;

/// A running proxy; it is stopped when it is dropped.
pub(crate) struct OutgoingProxy {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    accepts: AbortHandle,
}

/// How it does its work.
#[derive(Clone, Default)]
pub(crate) struct OutgoingManner {
    /// Where every name leads.
    pub(crate) leads_to: Option<SocketAddr>,
    /// TLS at the far end of a tunnel: the provider's own, or that of a proxy which reads along.
    pub(crate) far_tls: Option<TlsAcceptor>,
    /// TLS to the proxy itself.
    pub(crate) own_tls: Option<TlsAcceptor>,
    /// The only `Proxy-Authorization` that it takes.
    pub(crate) wants: Option<String>,
    /// What it answers in place of all that; nothing at all where it is empty.
    pub(crate) says: Option<String>,
    /// What it says before it opens a tunnel.
    pub(crate) interim: &'static str,
}

impl OutgoingProxy {
    pub(crate) async fn start(manner: OutgoingManner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let recorded = Arc::clone(&asked);
        let accepts = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (manner, recorded) = (manner.clone(), Arc::clone(&recorded));
                tokio::spawn(async move { serve(stream, manner, &recorded).await });
            }
        });
        Self { address, asked, accepts: accepts.abort_handle() }
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The head of each request so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// The first line of each.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.asked().iter().map(|head| head.lines().next().unwrap_or_default().to_owned()).collect()
    }
}

impl Drop for OutgoingProxy {
    fn drop(&mut self) {
        self.accepts.abort();
    }
}

/// One connection: one tunnel, or one request in absolute form.
async fn serve(stream: TcpStream, manner: OutgoingManner, asked: &Mutex<Vec<String>>) -> Option<()> {
    let mut near: Box<dyn Wire> = match &manner.own_tls {
        Some(tls) => Box::new(tls.accept(stream).await.ok()?),
        None => Box::new(stream),
    };
    let head = read_head(&mut near).await?;
    asked.lock().unwrap().push(head.clone());
    if let Some(answer) = &manner.says {
        near.write_all(answer.as_bytes()).await.ok()?;
        near.flush().await.ok()?;
        // It stays until the other side has enough of it.
        return near.read_u8().await.ok().map(drop);
    }
    let sent = field(&head, "proxy-authorization");
    if manner.wants.is_some() && sent != manner.wants {
        return near.write_all(UNAUTHENTICATED.as_bytes()).await.ok();
    }
    let mut far: Box<dyn Wire> = Box::new(TcpStream::connect(manner.leads_to?).await.ok()?);
    if !head.starts_with("CONNECT ") {
        far.write_all(in_origin_form(&head).as_bytes()).await.ok()?;
        return copy_bidirectional(&mut near, &mut far).await.ok().map(drop);
    }
    near.write_all(format!("{}HTTP/1.1 200 Connection established\r\n\r\n", manner.interim).as_bytes()).await.ok()?;
    near.flush().await.ok()?;
    let mut near = match &manner.far_tls {
        Some(tls) => Box::new(tls.accept(near).await.ok()?) as Box<dyn Wire>,
        None => near,
    };
    copy_bidirectional(&mut near, &mut far).await.ok().map(drop)
}

/// The bytes up to the empty line, and no further.
async fn read_head(near: &mut Box<dyn Wire>) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(near.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

/// The request as the provider gets it: without what is the proxy's, and the last one of its connection.
fn in_origin_form(head: &str) -> String {
    let (line, fields) = head.split_once("\r\n").unwrap();
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let path = target.splitn(4, '/').nth(3).unwrap_or_default();
    let fields: String = fields
        .split_inclusive("\r\n")
        .filter(|field| !field.to_ascii_lowercase().starts_with("proxy-authorization:"))
        .collect();
    format!("{method} /{path} HTTP/1.1\r\nConnection: close\r\n{fields}")
}

/// The value of a field.
pub(crate) fn field(head: &str, name: &str) -> Option<String> {
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    let mut values = fields.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim());
    values.next().map(str::to_owned)
}

/// What squid says, in short.
const UNAUTHENTICATED: &str = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"corp\"\r\n\
                               Content-Length: 5\r\nConnection: close\r\n\r\nno...";
