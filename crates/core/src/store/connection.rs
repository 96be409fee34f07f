//! The connection, and how a script is called.

use std::{fmt::Display, io::Write, sync::Arc, time::Duration};

use redis::{Cmd, ErrorKind, FromRedisValue, RedisResult, Script, ServerErrorKind, aio::MultiplexedConnection};

use super::{
    PROTOCOL_VERSION,
    keys::Keys,
    link::{ANSWER_LIMIT, Line, Link},
    run::RunId,
    script::script,
    server::Server,
    trouble,
};
use crate::{Error, Outage, QueueName, Result, settings::RedisSettings};

/// Jobs, batches, queues and processes, kept in Redis.
#[derive(Clone)]
pub struct Store {
    pub(super) link: Arc<Link>,
    gate: Gate,
    pub(super) keys: Keys,
}

/// Which runs of the server may be spoken to.
#[derive(Debug, Clone)]
enum Gate {
    /// All.
    Open,
    /// Those that were introduced.
    Introduced,
    /// This one.
    During(RunId),
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("keys", &self.keys).field("gate", &self.gate).finish_non_exhaustive()
    }
}

impl Store {
    /// Connects once; [`Error::Away`] when Redis can't be reached. Afterwards a lost connection is opened anew by itself.
    pub async fn connect(settings: &RedisSettings) -> Result<Self> {
        let link = Arc::new(Link::new(Server::new(settings)?));
        link.line().await?;
        Ok(Self { link, gate: Gate::Open, keys: Keys::new(&settings.prefix) })
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

    /// The run of the server that this store speaks to now, if it is connected.
    #[must_use]
    pub fn run_id(&self) -> Option<RunId> {
        self.link.current().map(|line| line.run().clone())
    }

    /// The same, connected now if it is not.
    pub async fn present_run(&self) -> Result<RunId> {
        Ok(self.link.line().await?.run().clone())
    }

    /// This store, refusing every call with [`Error::NotSynced`] while it speaks to a run of the server that was not
    /// [introduced](Self::introduce). A call that is let through runs on a connection to the very run that was.
    #[must_use]
    pub fn gated(&self) -> Self {
        Self { gate: Gate::Introduced, ..self.clone() }
    }

    /// This store, refusing every call in the same way while it speaks to another run than this one.
    #[must_use]
    pub fn during(&self, run: &RunId) -> Self {
        Self { gate: Gate::During(run.clone()), ..self.clone() }
    }

    /// This store without a gate, for saying what must be said before it opens.
    #[must_use]
    pub fn ungated(&self) -> Self {
        Self { gate: Gate::Open, ..self.clone() }
    }

    /// Waits until this store speaks to a run of the server that was not introduced yet, connecting if need be; at the
    /// start that is the first one. After another run was met, an earlier one is a stranger again.
    pub async fn stranger(&self) -> RunId {
        self.link.stranger().await
    }

    /// Opens the gate for this run. Nothing happens when the store speaks to another one by now.
    pub fn introduce(&self, run: &RunId) {
        self.link.introduce(run);
    }

    /// Waits until the gate is open to the run of the server that this store speaks to.
    pub async fn introduction(&self) {
        self.link.introduction().await;
    }

    /// Runs a plain command.
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
        let line = self.line().await?;
        let answer = Box::pin(self.link.heard(&line, ANSWER_LIMIT, command.query_async(&mut line.connection()))).await;
        answer.map_err(|error| trouble::asked(error, line.user(), || words(command)))
    }

    /// Runs several plain commands in one flight.
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
        let line = self.line().await?;
        let answer = Box::pin(self.link.heard(&line, ANSWER_LIMIT, pipeline.query_async(&mut line.connection()))).await;
        let all = || pipeline.cmd_iter().map(words).collect::<Vec<_>>().join(", ");
        answer.map_err(|error| trouble::asked(error, line.user(), all))
    }

    /// Runs a script on a queue.
    pub(super) async fn call<T: FromRedisValue>(&self, name: &'static str, queue: &QueueName, args: Args) -> Result<T> {
        self.call_at(name, self.keys.queue(queue), args).await
    }

    /// Runs a script on any base key.
    pub(super) async fn call_at<T: FromRedisValue>(&self, name: &'static str, base: String, args: Args) -> Result<T> {
        self.invoke(name, base, &args).await
    }

    /// The same with arguments that may be needed again. A script that the server does not have is loaded first.
    pub(super) async fn invoke<T: FromRedisValue>(&self, name: &'static str, base: String, args: &Args) -> Result<T> {
        let script = script(name);
        let mut call = Cmd::with_capacity(args.ends.len() + 5, args.text.len() + base.len() + 64);
        call.arg("EVALSHA").arg(script.get_hash()).arg(1).arg(&base).arg(PROTOCOL_VERSION);
        for arg in args.iter() {
            call.arg(arg);
        }
        let line = self.line().await?;
        let asking = evaluate(&call, script, line.connection());
        // Kept apart: it is large, and many may have to wait for Redis that seldom do.
        let answer = Box::pin(self.link.heard(&line, ANSWER_LIMIT, asking)).await;
        answer.map_err(|error| trouble::asked(error, line.user(), || format!("the script {name} on {base}")))
    }

    /// The connection for one call: the gate is judged by the very connection that the call then uses.
    async fn line(&self) -> Result<Arc<Line>> {
        let line = self.link.line().await?;
        let is_let_through = match &self.gate {
            Gate::Open => true,
            Gate::Introduced => self.link.knows(line.run()),
            Gate::During(run) => line.run() == run,
        };
        if is_let_through { Ok(line) } else { Err(Error::NotSynced) }
    }
}

/// A command and its key, for messages.
fn words(command: &Cmd) -> String {
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

/// The arguments of a script after the protocol version, one behind the other: a bulk has many of them.
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

    /// With room for so many more of so many bytes in all.
    pub(super) fn reserve(&mut self, number: usize, bytes: usize) {
        self.ends.reserve_exact(number);
        self.text.reserve_exact(bytes);
    }

    /// How much they take, about.
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

    /// Puts others behind these.
    pub(super) fn append(&mut self, others: &Self) {
        let from = self.text.len();
        self.text.extend_from_slice(&others.text);
        self.ends.extend(others.ends.iter().map(|end| from + end));
    }

    /// Gives back what room is left.
    pub(super) fn shrink(&mut self) {
        self.text.shrink_to_fit();
        self.ends.shrink_to_fit();
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.text[start..*end])
    }
}
