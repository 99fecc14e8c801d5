//! An application whose part the test plays itself: it takes each connection in its hands, and says when what is answered.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};

use super::Raw;

/// A listener and nothing more.
pub(crate) struct Stage {
    listener: TcpListener,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Stage {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self { listener, address }
    }

    /// Its URL, for `upstream = "…"`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next connection.
    pub(crate) async fn connection(&self) -> Raw {
        Raw::over(self.stream().await)
    }

    /// The next connection, for something that speaks for itself.
    pub(crate) async fn stream(&self) -> TcpStream {
        let stream = self.listener.accept().await.unwrap().0;
        stream.set_nodelay(true).unwrap();
        stream
    }
}
