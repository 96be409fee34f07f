//! Waits until written data is durable: on the server's disk or on a replica.

use std::time::Duration;

use redis::{FromRedisValue, aio::MultiplexedConnection};
use tokio::time::{sleep, timeout};

use super::{
    info::Info,
    redis_error,
    rounds::Durability,
    run::RunId,
    server::{self, NewConnection},
    store::Store,
};
use crate::{Error, InvalidInput, Result};

/// Maximum time of one round.
const LIMIT: Duration = Duration::from_secs(6);
/// Timeout of WAIT and WAITAOF. It is shorter than [`LIMIT`], so that Redis replies first.
const WAIT_TIMEOUT_MS: u64 = 5_000;
/// Time until the next fsync has begun with `appendfsync everysec`.
///
/// Redis begins it at the first tick after its clock shows another second. At the usual ten ticks
/// per second that takes up to 1.1 s.
const FSYNC_DELAY: Duration = Duration::from_millis(1_200);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Persistence that the server has.
#[derive(Debug, Clone, Copy)]
struct Persistence {
    disk: bool,
    replica: bool,
}

impl Store {
    /// Checks that the server persists data by an append-only file or a replica.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it has neither.
    pub async fn check_durable(&self) -> Result<()> {
        Persistence::of(&Info::new(self.run(&redis::cmd("INFO")).await?)).map(drop)
    }

    /// Waits until all earlier acknowledged writes of this server run are durable.
    ///
    /// They are then on the server's disk or on a replica. If Sentinels may promote a replica, they
    /// are also on a replica.
    ///
    /// Redis 7.2 and Valkey confirm this (WAITAOF). Older servers with `appendfsync everysec` are
    /// observed until their next fsync, which takes 1.2 s. With `no-appendfsync-on-rewrite yes`
    /// that result may be wrong while the file is rewritten.
    ///
    /// # Errors
    /// A transient error after a timeout. [`Error::NotSynced`] if the server is in another run
    /// by now: then write the data again.
    pub async fn make_durable(&self, run: &RunId) -> Result<Durability> {
        let rounds = &self.shared.rounds;
        let before = rounds.begun();
        let mut state = rounds.lock().await;
        if let Some(outcome) = state.outcome_after(before, run) {
            return outcome;
        }
        let number = rounds.begin();
        let outcome = self.round(&mut state.connection, run).await;
        state.record(number, run, outcome.clone());
        outcome
    }

    /// The connection is reused only after a successful round.
    async fn round(&self, connection: &mut Option<NewConnection>, run: &RunId) -> Result<Durability> {
        let current = match connection.take().filter(|connection| &connection.run == run) {
            Some(connection) => connection,
            None => server::open(self.shared.connection().await?.client().clone()).await?,
        };
        if &current.run != run {
            return Err(Error::NotSynced);
        }
        let mut check = DurabilityCheck { handle: current.handle.clone(), key: self.keys.system("kept") };
        let timed_out = || Error::Away("no confirmation within 6 s that written data is durable".to_owned());
        let result = timeout(LIMIT, check.run(self.shared.is_watched())).await.map_err(|_| timed_out())?;
        *connection = result.is_ok().then_some(current);
        result
    }
}

impl Persistence {
    fn of(info: &Info) -> Result<Self> {
        let disk = info.field("aof_enabled") == "1";
        let replica = info.field("connected_slaves").parse().is_ok_and(|number: u32| number > 0);
        if disk || replica {
            return Ok(Self { disk, replica });
        }
        Err(not_durable("it has no append-only file and no replica; set appendonly yes"))
    }
}

fn not_durable(why: &str) -> Error {
    InvalidInput::new("durable", format!("this Redis can't make data durable: {why}")).into()
}

/// Durability check on one connection to one server run.
struct DurabilityCheck {
    handle: MultiplexedConnection,
    /// Key that is written first, so that WAIT and WAITAOF cover a write of this connection.
    key: String,
}

impl DurabilityCheck {
    async fn run(&mut self, is_watched: bool) -> Result<Durability> {
        let Persistence { disk, replica } = Persistence::of(&self.info("default").await?)?;
        let replica = replica && (is_watched || !disk);
        self.query::<()>(redis::cmd("SET").arg(&self.key).arg(1)).await?;
        if disk {
            self.await_disk().await?;
        }
        if replica && self.query::<u64>(redis::cmd("WAIT").arg(1).arg(WAIT_TIMEOUT_MS)).await? == 0 {
            return Err(Error::Away("no replica has confirmed the written data within 5 s".to_owned()));
        }
        Ok(Durability { disk, replica })
    }

    async fn await_disk(&mut self) -> Result<()> {
        match self.query::<(u64, u64)>(redis::cmd("WAITAOF").arg(1).arg(0).arg(WAIT_TIMEOUT_MS)).await {
            Ok((0, _)) => Err(Error::Away("no confirmation within 5 s that written data is on disk".to_owned())),
            Ok(_) => Ok(()),
            Err(error) if error.to_string().contains("unknown command") => self.await_disk_by_info().await,
            Err(error) => Err(error),
        }
    }

    /// Assumes the default policy if CONFIG is denied.
    async fn await_disk_by_info(&mut self) -> Result<()> {
        let policy = self.query::<(String, String)>(redis::cmd("CONFIG").arg("GET").arg("appendfsync")).await;
        match policy.as_ref().map(|(_, policy)| policy.as_str()) {
            Ok("always") => Ok(()),
            Ok("no") => Err(not_durable("it never calls fsync (appendfsync no); set appendfsync everysec")),
            Ok(_) | Err(_) => self.await_next_fsync().await,
        }
    }

    /// Data in the file at a moment without a pending fsync is part of the next one, which begins
    /// within [`FSYNC_DELAY`].
    async fn await_next_fsync(&mut self) -> Result<()> {
        self.await_no_pending_fsync().await?;
        sleep(FSYNC_DELAY).await;
        // Any command makes Redis read its clock.
        self.query::<()>(&redis::cmd("PING")).await?;
        sleep(POLL_INTERVAL).await;
        self.await_no_pending_fsync().await
    }

    async fn await_no_pending_fsync(&mut self) -> Result<()> {
        loop {
            let info = self.info("persistence").await?;
            if info.field("aof_buffer_length") == "0" && info.field("aof_pending_bio_fsync") == "0" {
                return Ok(());
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    async fn info(&mut self, section: &str) -> Result<Info> {
        self.query(redis::cmd("INFO").arg(section)).await.map(Info::new)
    }

    async fn query<T: FromRedisValue>(&mut self, command: &redis::Cmd) -> Result<T> {
        command.query_async(&mut self.handle).await.map_err(|error| redis_error::convert(&error))
    }
}
