//! `/healthz`: how a process that serves nothing else tells its supervisor how it is.

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
/// Maximum of bytes of a request.
const HEAD_BYTES: usize = 8 * 1024;

/// A port that is open already and answers once it is [served](Self::serve).
#[derive(Debug)]
pub struct Health(BoundedListener);

impl Health {
    /// Opens the port; 0 takes any free one.
    ///
    /// # Errors
    /// When the address can't be bound.
    pub async fn listen(address: SocketAddr) -> io::Result<Self> {
        BoundedListener::bind(address, LIMITS).map(Self)
    }

    /// Where it listens.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.0.address()
    }

    /// Answers `GET /healthz` for ever: 200, or 503 with what `state` says is wrong.
    pub async fn serve(self, state: impl Fn() -> Result<(), String> + Send + Sync + 'static) {
        let state = Arc::new(state);
        self.0
            .serve(|stream, connection| {
                let state = Arc::clone(&state);
                // An error is the end of the connection, which concerns nobody else.
                async move { drop(answer(stream, connection, state.as_ref()).await) }
            })
            .await;
    }
}

/// Answers on `HEALTH_PORT`, if there is one, as long as the process lives: well, unless Redis is away.
pub async fn serve_health(settings: &Settings, outage: &Outage) -> Result<(), InvalidInput> {
    let Some(port) = settings.health_port else { return Ok(()) };
    let address = SocketAddr::new(settings.bind, port);
    let refuse =
        |error: io::Error| InvalidInput::new("HEALTH_PORT", format!("{address} can't be listened on: {error}"));
    let health = Health::listen(address).await.map_err(refuse)?;
    tracing::info!("health at http://{}/healthz", health.address().map_err(refuse)?);
    let outage = outage.clone();
    tokio::spawn(health.serve(move || outage.state()));
    Ok(())
}

async fn answer(
    mut stream: TcpStream,
    connection: ClientConnection,
    state: &(impl Fn() -> Result<(), String> + Sync),
) -> io::Result<()> {
    let head = read_head(&mut stream).await?;
    connection.answered(0);
    let (status, body) = reply(head.lines().next().unwrap_or_default(), state);
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncache-control: no-store\r\n\
         content-length: {length}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await?;
    stream.shutdown().await
}

/// All up to the empty line, or as much as we care to read.
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
            Err(trouble) => ("503 Service Unavailable", format!("{trouble}\n")),
        },
        (_, "/healthz") => ("405 Method Not Allowed", "only GET is answered here\n".to_owned()),
        _ => ("404 Not Found", "only /healthz is here\n".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    async fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        stream.write_all(request.as_bytes()).await.expect("asked");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        answer
    }

    #[tokio::test]
    async fn it_tells_how_it_is() {
        static WELL: AtomicBool = AtomicBool::new(true);
        let health = Health::listen(([127, 0, 0, 1], 0).into()).await.expect("a port");
        let address = health.address().expect("an address");
        let state = || if WELL.load(Ordering::Relaxed) { Ok(()) } else { Err("Redis is away".to_owned()) };
        let serving = tokio::spawn(health.serve(state));

        let well = ask(address, "GET /healthz?x=1 HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert!(well.starts_with("HTTP/1.1 200 OK\r\n") && well.ends_with("\r\n\r\nok\n"), "{well}");
        WELL.store(false, Ordering::Relaxed);
        let ill = ask(address, "GET /healthz HTTP/1.1\r\n\r\n").await;
        assert!(ill.starts_with("HTTP/1.1 503 ") && ill.ends_with("\r\n\r\nRedis is away\n"), "{ill}");
        for (request, status) in [("GET / HTTP/1.1\r\n\r\n", "404"), ("POST /healthz HTTP/1.1\r\n\r\n", "405")] {
            assert!(ask(address, request).await.starts_with(&format!("HTTP/1.1 {status} ")), "{request}");
        }
        serving.abort();
    }
}
