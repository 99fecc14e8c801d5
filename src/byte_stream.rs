//! The bytes of a connection, whatever carries them.

use tokio::io::{AsyncRead, AsyncWrite};

/// A socket, or TLS on one.
pub trait ByteStream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> ByteStream for T {}
