//! The health endpoint `/healthz` of processes that serve no other HTTP.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    InvalidInput, Outage, Settings,
    listener::{BoundedListener, ClientConnection, ListenerLimits},
};

const LIMITS: ListenerLimits =
    ListenerLimits { name: "health port", connections: 256, wait: Duration::from_secs(5), unread_bytes: 1 << 20 };
/// Maximum size of a request's head.
const HEAD_BYTES: usize = 8 * 1024;

/// An open port that answers requests once it is [served](Self::serve).
#[derive(Debug)]
pub struct Health(BoundedListener);

impl Health {
    /// Opens the port; 0 selects any free one.
    ///
    /// # Errors
    /// Returns an error if the address can't be bound.
    pub async fn listen(address: SocketAddr) -> io::Result<Self> {
        BoundedListener::bind(address, LIMITS).map(Self)
    }

    /// Returns the address of the port.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.0.address()
    }

    /// Answers `GET /healthz` until the task ends: 200, or 503 with the error of `state`.
    pub async fn serve(self, state: impl Fn() -> Result<(), String> + Send + Sync + 'static) {
        let state = Arc::new(state);
        self.0
            .serve(|stream, connection| {
                let state = Arc::clone(&state);
                // An error ends this connection only.
                async move { drop(respond(stream, connection, state.as_ref()).await) }
            })
            .await;
    }
}

/// Serves `/healthz` on `HEALTH_PORT`, if set, while the process runs. The status is 200 unless
/// Redis is unavailable.
///
/// # Errors
/// Returns an error if the port can't be opened.
pub async fn serve_health(settings: &Settings, outage: &Outage) -> Result<(), InvalidInput> {
    let Some(port) = settings.health_port else { return Ok(()) };
    let address = SocketAddr::new(settings.bind, port);
    let refuse = |error: io::Error| InvalidInput::new("HEALTH_PORT", format!("can't listen on {address}: {error}"));
    let health = Health::listen(address).await.map_err(refuse)?;
    tracing::info!("health at http://{}/healthz", health.address().map_err(refuse)?);
    let outage = outage.clone();
    tokio::spawn(health.serve(move || outage.state()));
    Ok(())
}

async fn respond(
    mut stream: TcpStream,
    connection: ClientConnection,
    state: &(impl Fn() -> Result<(), String> + Sync),
) -> io::Result<()> {
    let head = read_head(&mut stream).await?;
    connection.end_response(0);
    let (status, body) = reply(head.lines().next().unwrap_or_default(), state);
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncache-control: no-store\r\n\
         content-length: {length}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await?;
    stream.shutdown().await
}

/// Reads up to the empty line, or [`HEAD_BYTES`] at most.
async fn read_head(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    while head.len() < HEAD_BYTES && !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

fn reply(request_line: &str, state: &impl Fn() -> Result<(), String>) -> (&'static str, String) {
    let mut words = request_line.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = target.split('?').next().unwrap_or_default();
    match (method, path) {
        ("GET", "/healthz") => match state() {
            Ok(()) => ("200 OK", "ok\n".to_owned()),
            Err(problem) => ("503 Service Unavailable", format!("{problem}\n")),
        },
        (_, "/healthz") => ("405 Method Not Allowed", "this endpoint supports only GET\n".to_owned()),
        _ => ("404 Not Found", "this port serves only /healthz\n".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    async fn request(address: SocketAddr, text: &str) -> String {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        stream.write_all(text.as_bytes()).await.expect("a request");
        let mut response = String::new();
        stream.read_to_string(&mut response).await.expect("a response");
        response
    }

    #[tokio::test]
    async fn the_status_follows_the_state() {
        static HEALTHY: AtomicBool = AtomicBool::new(true);
        let health = Health::listen(([127, 0, 0, 1], 0).into()).await.expect("a port");
        let address = health.address().expect("an address");
        let state = || if HEALTHY.load(Ordering::Relaxed) { Ok(()) } else { Err("Redis is unavailable".to_owned()) };
        let serving = tokio::spawn(health.serve(state));

        let healthy = request(address, "GET /healthz?x=1 HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert!(healthy.starts_with("HTTP/1.1 200 OK\r\n") && healthy.ends_with("\r\n\r\nok\n"), "{healthy}");
        HEALTHY.store(false, Ordering::Relaxed);
        let unhealthy = request(address, "GET /healthz HTTP/1.1\r\n\r\n").await;
        assert!(
            unhealthy.starts_with("HTTP/1.1 503 ") && unhealthy.ends_with("\r\n\r\nRedis is unavailable\n"),
            "{unhealthy}"
        );
        for (text, status) in [("GET / HTTP/1.1\r\n\r\n", "404"), ("POST /healthz HTTP/1.1\r\n\r\n", "405")] {
            assert!(request(address, text).await.starts_with(&format!("HTTP/1.1 {status} ")), "{text}");
        }
        serving.abort();
    }
}
