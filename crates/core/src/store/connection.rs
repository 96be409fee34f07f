//! The connection, and how a script is called.

use std::time::Duration;

use redis::{
    Client, ErrorKind, FromRedisValue, IntoConnectionInfo, RedisError,
    aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection},
    io::tcp::TcpSettings,
};

use secrecy::ExposeSecret;

use super::{PROTOCOL_VERSION, keys::Keys, script::script};
use crate::{Error, InvalidInput, Outage, QueueName, Result, settings::RedisSettings};

const CONNECT_LIMIT: Duration = Duration::from_secs(3);
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Jobs, batches, queues and processes, kept in Redis.
#[derive(Clone)]
pub struct Store {
    client: Client,
    manager: ConnectionManager,
    pub(super) keys: Keys,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("keys", &self.keys).finish_non_exhaustive()
    }
}

impl Store {
    /// Connects once; [`Error::Away`] when Redis can't be reached. Afterwards a lost connection is opened anew by itself.
    pub async fn connect(settings: &RedisSettings) -> Result<Self> {
        let client = client(settings)?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CONNECT_LIMIT))
            .set_response_timeout(Some(ANSWER_LIMIT))
            .set_min_delay(Duration::from_millis(50))
            .set_max_delay(Duration::from_secs(1))
            .set_number_of_retries(2);
        let connecting = ConnectionManager::new_with_config(client.clone(), config);
        let manager = match tokio::time::timeout(CONNECT_LIMIT + ANSWER_LIMIT, connecting).await {
            Ok(Ok(manager)) => manager,
            Ok(Err(error)) => return Err(from_redis(&error)),
            Err(_) => return Err(Error::Away("no answer to the connection".to_owned())),
        };
        Ok(Self { client, manager, keys: Keys::new(&settings.prefix) })
    }

    /// Connects, however long Redis is away; an error only where waiting is of no use.
    pub async fn connect_patiently(settings: &RedisSettings, outage: &Outage) -> Result<Self> {
        loop {
            match Self::connect(settings).await {
                Err(error) if error.is_transient() => outage.note(&error),
                connected => {
                    outage.end();
                    return connected;
                }
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Asks for any answer at all.
    pub async fn ping(&self) -> Result<()> {
        self.run::<String>(&redis::cmd("PING")).await.map(|_| ())
    }

    /// A connection of its own, for commands that block.
    pub(super) async fn own_connection(&self, answer_limit: Duration) -> Result<MultiplexedConnection> {
        let config = redis::AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_LIMIT))
            .set_response_timeout(Some(answer_limit));
        self.client.get_multiplexed_async_connection_with_config(&config).await.map_err(|error| from_redis(&error))
    }

    /// Runs a plain command.
    pub(super) async fn run<T: FromRedisValue>(&self, command: &redis::Cmd) -> Result<T> {
        command.query_async(&mut self.manager.clone()).await.map_err(|error| from_redis(&error))
    }

    /// Runs several plain commands in one flight.
    pub(super) async fn run_all<T: FromRedisValue>(&self, pipeline: &redis::Pipeline) -> Result<T> {
        pipeline.query_async(&mut self.manager.clone()).await.map_err(|error| from_redis(&error))
    }

    /// Runs a script on a queue.
    pub(super) async fn call<T: FromRedisValue>(&self, name: &'static str, queue: &QueueName, args: Args) -> Result<T> {
        self.call_at(name, self.keys.queue(queue), args).await
    }

    /// Runs a script on any base key.
    pub(super) async fn call_at<T: FromRedisValue>(&self, name: &'static str, base: String, args: Args) -> Result<T> {
        let script = script(name);
        let mut call = script.key(base);
        call.arg(PROTOCOL_VERSION);
        for arg in args.0 {
            call.arg(arg);
        }
        call.invoke_async(&mut self.manager.clone()).await.map_err(|error| from_redis(&error))
    }
}

fn client(settings: &RedisSettings) -> Result<Client> {
    let unfit = |error: RedisError| InvalidInput::new("REDIS_URL", format!("it can't be used: {error}"));
    let mut url = settings.url.expose_secret().to_owned();
    if settings.insecure_tls && url.starts_with("rediss:") {
        // The client's own word for "any certificate".
        url.push_str("#insecure");
    }
    let info = url.into_connection_info().map_err(unfit)?;
    let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
    Ok(Client::open(info).map_err(unfit)?)
}

/// The arguments of a script after the protocol version.
#[derive(Default)]
pub(super) struct Args(Vec<Vec<u8>>);

impl Args {
    pub(super) fn of<const N: usize>(args: [&str; N]) -> Self {
        Self(args.iter().map(|arg| arg.as_bytes().to_vec()).collect())
    }

    #[expect(clippy::needless_pass_by_value, reason = "so that numbers, names and texts go in alike")]
    pub(super) fn push(&mut self, arg: impl ToString) -> &mut Self {
        self.0.push(arg.to_string().into_bytes());
        self
    }
}

/// What a server says that is up but can't serve: it passes, and then what was said can be said again.
const TROUBLE_OF_THE_SERVER: [&str; 8] =
    ["MISCONF", "NOREPLICAS", "BUSY", "LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN"];

fn from_redis(error: &RedisError) -> Error {
    let text = error.to_string();
    // An error inside a script may stand behind a code of its own.
    let says = |word: &str| error.code() == Some(word) || text.contains(&format!("{word} "));
    if says("OOM") {
        return Error::Full;
    }
    if TROUBLE_OF_THE_SERVER.into_iter().any(says) {
        return Error::Away(text);
    }
    match error.kind() {
        ErrorKind::Io | ErrorKind::ClusterConnectionNotFound => Error::Away(text),
        ErrorKind::AuthenticationFailed => Error::Invalid(InvalidInput::new("REDIS_URL", text)),
        _ if error.is_timeout() || error.is_connection_dropped() || error.is_connection_refusal() => Error::Away(text),
        _ => Error::Protocol(text),
    }
}
