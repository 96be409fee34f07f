//! Raw SMTP client for tests of the fake server.

use postroom_testkit::FakeSmtp;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

trait ByteStream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> ByteStream for T {}

pub(crate) struct Client(BufReader<Box<dyn ByteStream>>);

impl Client {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self(BufReader::new(Box::new(stream)))
    }

    pub(crate) async fn connect(server: &FakeSmtp) -> Self {
        Self::new(TcpStream::connect(server.addr()).await.expect("connected"))
    }

    /// Connects and sends EHLO.
    pub(crate) async fn ready(server: &FakeSmtp) -> Self {
        let mut client = Self::connect(server).await;
        assert_eq!(client.reply().await, "220 fake.postroom.test ESMTP");
        client.ask("EHLO test\r\n").await;
        client
    }

    pub(crate) async fn into_tls(self, server: &FakeSmtp) -> Self {
        self.try_into_tls(server).await.expect("a handshake")
    }

    pub(crate) async fn try_into_tls(self, server: &FakeSmtp) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(server.ca_pem().as_bytes()).expect("PEM")).expect("an authority");
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(server.host()).expect("a name");
        let stream = TlsConnector::from(Arc::new(config)).connect(name, self.0.into_inner()).await?;
        Ok(Self(BufReader::new(Box::new(stream))))
    }

    pub(crate) async fn send(&mut self, bytes: &str) {
        self.0.write_all(bytes.as_bytes()).await.expect("written");
        self.0.flush().await.expect("flushed");
    }

    /// Returns a complete reply without its last CRLF, "" at the end of the connection, or "!"
    /// after an error.
    pub(crate) async fn reply(&mut self) -> String {
        let mut reply = String::new();
        loop {
            let start = reply.len();
            if self.0.read_line(&mut reply).await.is_err() {
                return "!".to_owned();
            }
            if reply[start..].get(3..4) != Some("-") {
                return reply.trim_end().to_owned();
            }
        }
    }

    pub(crate) async fn ask(&mut self, bytes: &str) -> String {
        self.send(bytes).await;
        self.reply().await
    }

    /// Like [`ask`](Self::ask), for a connection that may be closed already.
    pub(crate) async fn try_ask(&mut self, bytes: &str) -> String {
        let _ = self.0.write_all(bytes.as_bytes()).await;
        let _ = self.0.flush().await;
        self.reply().await
    }

    /// Returns the bytes of one read.
    pub(crate) async fn packet(&mut self) -> String {
        let packet = self.0.fill_buf().await.expect("something to read");
        let (text, length) = (String::from_utf8_lossy(packet).into_owned(), packet.len());
        self.0.consume(length);
        text
    }

    /// Sends pipelined commands and returns the codes of their replies.
    pub(crate) async fn codes(&mut self, commands: &str, count: usize) -> Vec<String> {
        self.send(commands).await;
        let mut codes = Vec::new();
        for _ in 0..count {
            codes.push(self.reply().await.chars().take(3).collect());
        }
        codes
    }

    /// Sends one mail to one recipient and returns the last reply.
    pub(crate) async fn mail(&mut self, to: &str) -> String {
        let commands = format!("MAIL FROM:<a@test.example>\r\nRCPT TO:<{to}>\r\nDATA\r\n");
        let codes = self.codes(&commands, 3).await;
        if codes != ["250", "250", "354"] {
            return codes.join(" ");
        }
        self.ask("Subject: hello\r\n\r\nhi\r\n.\r\n").await
    }
}
