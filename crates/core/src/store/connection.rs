//! The store's handle and how commands and scripts are sent.

use std::{fmt::Display, io::Write, sync::Arc, time::Duration};

use redis::{Cmd, ErrorKind, FromRedisValue, RedisResult, Script, ServerErrorKind, aio::MultiplexedConnection};

use super::{
    PROTOCOL_VERSION,
    keys::Keys,
    redis_error,
    run::RunId,
    script::script,
    server::Server,
    shared_connection::{REPLY_LIMIT, RedisConnection, SharedConnection},
};
use crate::{Error, Outage, QueueName, Result, settings::RedisSettings};

/// Jobs, batches, queues and processes in Redis.
#[derive(Clone)]
pub struct Store {
    pub(super) shared: Arc<SharedConnection>,
    filter: RunFilter,
    pub(super) keys: Keys,
}

/// Server runs to which calls may be sent.
#[derive(Debug, Clone)]
enum RunFilter {
    /// Any run.
    Any,
    /// Runs that were marked as synced.
    Synced,
    /// This run only.
    Only(RunId),
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("keys", &self.keys).field("filter", &self.filter).finish_non_exhaustive()
    }
}

impl Store {
    /// Connects to Redis. A connection that is lost later is reopened automatically.
    ///
    /// # Errors
    /// [`Error::Away`] if Redis can't be reached, [`Error::Invalid`] for a wrong setting.
    pub async fn connect(settings: &RedisSettings) -> Result<Self> {
        let shared = Arc::new(SharedConnection::new(Server::new(settings)?));
        shared.connection().await?;
        Ok(Self { shared, filter: RunFilter::Any, keys: Keys::new(&settings.prefix) })
    }

    /// Connects, retrying every 500 ms while Redis is away.
    ///
    /// # Errors
    /// Only errors that are not transient, such as [`Error::Invalid`].
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

    /// Sends PING and waits for the reply.
    pub async fn ping(&self) -> Result<()> {
        self.run::<String>(&redis::cmd("PING")).await.map(|_| ())
    }

    /// Returns the server run of the current connection, if there is one.
    #[must_use]
    pub fn run_id(&self) -> Option<RunId> {
        self.shared.current().map(|connection| connection.run().clone())
    }

    /// Returns the server run of the current connection, after connecting if necessary.
    pub async fn connected_run(&self) -> Result<RunId> {
        Ok(self.shared.connection().await?.run().clone())
    }

    /// Returns a store whose calls fail with [`Error::NotSynced`] while the current server run
    /// was not [marked as synced](Self::mark_synced).
    ///
    /// The check and the call use the same connection.
    #[must_use]
    pub fn synced_only(&self) -> Self {
        Self { filter: RunFilter::Synced, ..self.clone() }
    }

    /// Returns a store whose calls fail with [`Error::NotSynced`] on any other server run.
    #[must_use]
    pub fn only_run(&self, run: &RunId) -> Self {
        Self { filter: RunFilter::Only(run.clone()), ..self.clone() }
    }

    /// Returns a store that sends calls to any server run, as the resync itself must.
    #[must_use]
    pub fn any_run(&self) -> Self {
        Self { filter: RunFilter::Any, ..self.clone() }
    }

    /// Waits until the store is connected to a server run that was not marked as synced, and
    /// returns that run.
    ///
    /// Connects if necessary. The first run after the start is unsynced. A synced run becomes
    /// unsynced again once another run was connected in between.
    pub async fn unsynced_run(&self) -> RunId {
        self.shared.unsynced_run().await
    }

    /// Marks this run as synced. Does nothing if the store is connected to another run by now.
    pub fn mark_synced(&self, run: &RunId) {
        self.shared.mark_synced(run);
    }

    /// Waits until the current server run is marked as synced.
    pub async fn until_synced(&self) {
        self.shared.until_synced().await;
    }

    /// Sends one command.
    pub(super) async fn run<T: FromRedisValue>(&self, command: &redis::Cmd) -> Result<T> {
        match self.run_once(command).await {
            Err(Error::WrongType(_)) => {
                Box::pin(self.mend(std::iter::once(command))).await?;
                self.run_once(command).await
            }
            answer => answer,
        }
    }

    async fn run_once<T: FromRedisValue>(&self, command: &redis::Cmd) -> Result<T> {
        let connection = self.connection().await?;
        let answer =
            Box::pin(self.shared.await_reply(&connection, REPLY_LIMIT, command.query_async(&mut connection.handle())))
                .await;
        answer.map_err(|error| redis_error::name_denied_call(error, connection.user(), || command_and_key(command)))
    }

    /// Sends several commands in one pipeline.
    pub(super) async fn run_all<T: FromRedisValue>(&self, pipeline: &redis::Pipeline) -> Result<T> {
        match self.run_all_once(pipeline).await {
            Err(Error::WrongType(_)) => {
                Box::pin(self.mend(pipeline.cmd_iter())).await?;
                self.run_all_once(pipeline).await
            }
            answer => answer,
        }
    }

    async fn run_all_once<T: FromRedisValue>(&self, pipeline: &redis::Pipeline) -> Result<T> {
        let connection = self.connection().await?;
        let answer =
            Box::pin(self.shared.await_reply(&connection, REPLY_LIMIT, pipeline.query_async(&mut connection.handle())))
                .await;
        let all = || pipeline.cmd_iter().map(command_and_key).collect::<Vec<_>>().join(", ");
        answer.map_err(|error| redis_error::name_denied_call(error, connection.user(), all))
    }

    /// Runs a script on a queue.
    pub(super) async fn call<T: FromRedisValue>(&self, name: &'static str, queue: &QueueName, args: Args) -> Result<T> {
        self.call_at(name, self.keys.queue(queue), args).await
    }

    /// Runs a script on any base key.
    pub(super) async fn call_at<T: FromRedisValue>(&self, name: &'static str, base: String, args: Args) -> Result<T> {
        self.invoke(name, base, &args).await
    }

    /// Runs a script with borrowed arguments, which allows a retry. A script missing on the server
    /// is loaded first.
    pub(super) async fn invoke<T: FromRedisValue>(&self, name: &'static str, base: String, args: &Args) -> Result<T> {
        let script = script(name);
        let mut call = Cmd::with_capacity(args.ends.len() + 5, args.text.len() + base.len() + 64);
        call.arg("EVALSHA").arg(script.get_hash()).arg(1).arg(&base).arg(PROTOCOL_VERSION);
        for arg in args.iter() {
            call.arg(arg);
        }
        let connection = self.connection().await?;
        let call_reply = evaluate(&call, script, connection.handle());
        // Boxed because the future is large and many tasks may wait for Redis at the same time.
        let answer = Box::pin(self.shared.await_reply(&connection, REPLY_LIMIT, call_reply)).await;
        answer.map_err(|error| {
            redis_error::name_denied_call(error, connection.user(), || format!("the script {name} on {base}"))
        })
    }

    /// Returns the connection for one call. The filter is checked on the connection that the call
    /// then uses.
    async fn connection(&self) -> Result<Arc<RedisConnection>> {
        let connection = self.shared.connection().await?;
        let is_allowed = match &self.filter {
            RunFilter::Any => true,
            RunFilter::Synced => self.shared.is_synced(connection.run()),
            RunFilter::Only(run) => connection.run() == run,
        };
        if is_allowed { Ok(connection) } else { Err(Error::NotSynced) }
    }
}

/// Returns the command and its key, for messages.
fn command_and_key(command: &Cmd) -> String {
    let word = |arg: redis::Arg<&[u8]>| match arg {
        redis::Arg::Simple(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        _ => String::new(),
    };
    command.args_iter().take(2).map(word).collect::<Vec<_>>().join(" ")
}

async fn evaluate<T: FromRedisValue>(
    call: &Cmd,
    script: &Script,
    mut connection: MultiplexedConnection,
) -> RedisResult<T> {
    match call.query_async(&mut connection).await {
        Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
            script.prepare_invoke().load_async(&mut connection).await?;
            call.query_async(&mut connection).await
        }
        answer => answer,
    }
}

/// Arguments of a script after the protocol version. They share one buffer because a bulk has many.
#[derive(Debug, Clone, Default)]
pub(super) struct Args {
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl Args {
    pub(super) fn of<const N: usize>(args: [&str; N]) -> Self {
        let mut all = Self::default();
        for arg in args {
            all.push(arg);
        }
        all
    }

    /// Reserves space for `number` more arguments of `bytes` bytes in total.
    pub(super) fn reserve(&mut self, number: usize, bytes: usize) {
        self.ends.reserve_exact(number);
        self.text.reserve_exact(bytes);
    }

    /// Approximate size in memory.
    pub(super) fn bytes(&self) -> usize {
        self.text.capacity() + self.ends.capacity() * size_of::<usize>()
    }

    pub(super) fn push_bytes(&mut self, arg: &[u8]) -> &mut Self {
        self.text.extend_from_slice(arg);
        self.ends.push(self.text.len());
        self
    }

    pub(super) fn push(&mut self, arg: impl Display) -> &mut Self {
        // Writing to memory can't fail.
        let _ = write!(self.text, "{arg}");
        self.ends.push(self.text.len());
        self
    }

    /// Appends other arguments.
    pub(super) fn append(&mut self, others: &Self) {
        let from = self.text.len();
        self.text.extend_from_slice(&others.text);
        self.ends.extend(others.ends.iter().map(|end| from + end));
    }

    /// Releases unused capacity.
    pub(super) fn shrink(&mut self) {
        self.text.shrink_to_fit();
        self.ends.shrink_to_fit();
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.text[start..*end])
    }
}
