//! Waits until written data is durable: on the server's disk or on a replica.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use redis::{FromRedisValue, aio::MultiplexedConnection};
use tokio::{
    sync::Mutex,
    time::{sleep, timeout},
};

use super::{
    connection::Store,
    info::Info,
    redis_error,
    run::RunId,
    server::{self, Opened},
};
use crate::{Error, InvalidInput, Result};

/// Maximum time of one round.
const LIMIT: Duration = Duration::from_secs(6);
/// Timeout of WAIT and WAITAOF. It is shorter than [`LIMIT`], so that Redis replies first.
const LIMIT_OF_REDIS_MS: u64 = 5_000;
/// Time until the next fsync has begun with `appendfsync everysec`.
///
/// Redis begins it at the first tick after its clock shows another second. At the usual ten ticks
/// per second that takes up to 1.1 s.
const NEXT_FSYNC: Duration = Duration::from_millis(1_200);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Where written data is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Durability {
    /// On the server's disk.
    pub disk: bool,
    /// On a replica.
    pub replica: bool,
}

/// Rounds of waiting. All calls that arrive during a round share the next one.
#[derive(Default)]
pub(super) struct Rounds {
    begun: AtomicU64,
    desk: Mutex<Desk>,
}

#[derive(Default)]
struct Desk {
    /// Separate connection, because WAIT and WAITAOF block all later commands on it.
    opened: Option<Opened>,
    last: Option<Round>,
}

struct Round {
    number: u64,
    run: RunId,
    outcome: Result<Durability>,
}

/// Persistence that the server has.
#[derive(Debug, Clone, Copy)]
struct Means {
    disk: bool,
    replica: bool,
}

impl Store {
    /// Checks that the server persists data by an append-only file or a replica.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it has neither.
    pub async fn check_durable(&self) -> Result<()> {
        Means::of(&Info::new(self.run(&redis::cmd("INFO")).await?)).map(drop)
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
        let rounds = &self.link.rounds;
        let before = rounds.begun.load(Ordering::SeqCst);
        let mut desk = rounds.desk.lock().await;
        if let Some(last) = desk.last.as_ref().filter(|last| last.number > before && &last.run == run) {
            return last.outcome.clone();
        }
        let number = rounds.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let outcome = self.round(&mut desk, run).await;
        desk.last = Some(Round { number, run: run.clone(), outcome: outcome.clone() });
        outcome
    }

    /// The connection is reused only after a successful round.
    async fn round(&self, desk: &mut Desk, run: &RunId) -> Result<Durability> {
        let opened = match desk.opened.take().filter(|opened| &opened.run == run) {
            Some(opened) => opened,
            None => server::open(self.link.line().await?.client().clone()).await?,
        };
        if &opened.run != run {
            return Err(Error::NotSynced);
        }
        let mut keeper = Keeper { connection: opened.connection.clone(), mark: self.keys.system("kept") };
        let late = || Error::Away("no confirmation within 6 s that written data is durable".to_owned());
        let kept = timeout(LIMIT, keeper.keep(self.link.is_watched())).await.map_err(|_| late())?;
        desk.opened = kept.is_ok().then_some(opened);
        kept
    }
}

impl Means {
    fn of(info: &Info) -> Result<Self> {
        let disk = info.field("aof_enabled") == "1";
        let replica = info.field("connected_slaves").parse().is_ok_and(|number: u32| number > 0);
        if disk || replica {
            return Ok(Self { disk, replica });
        }
        Err(cannot_keep("it has no append-only file and no replica; set appendonly yes"))
    }
}

fn cannot_keep(why: &str) -> Error {
    InvalidInput::new("durable", format!("this Redis can't make data durable: {why}")).into()
}

/// Durability check on one connection to one server run.
struct Keeper {
    connection: MultiplexedConnection,
    /// Key that is written first, so that WAIT and WAITAOF cover a write of this connection.
    mark: String,
}

impl Keeper {
    async fn keep(&mut self, is_watched: bool) -> Result<Durability> {
        let Means { disk, replica } = Means::of(&self.info("default").await?)?;
        let replica = replica && (is_watched || !disk);
        self.ask::<()>(redis::cmd("SET").arg(&self.mark).arg(1)).await?;
        if disk {
            self.on_disk().await?;
        }
        if replica && self.ask::<u64>(redis::cmd("WAIT").arg(1).arg(LIMIT_OF_REDIS_MS)).await? == 0 {
            return Err(Error::Away("no replica has confirmed the written data within 5 s".to_owned()));
        }
        Ok(Durability { disk, replica })
    }

    async fn on_disk(&mut self) -> Result<()> {
        match self.ask::<(u64, u64)>(redis::cmd("WAITAOF").arg(1).arg(0).arg(LIMIT_OF_REDIS_MS)).await {
            Ok((0, _)) => Err(Error::Away("no confirmation within 5 s that written data is on disk".to_owned())),
            Ok(_) => Ok(()),
            Err(error) if error.to_string().contains("unknown command") => self.on_disk_of_old().await,
            Err(error) => Err(error),
        }
    }

    /// Assumes the default policy if CONFIG is denied.
    async fn on_disk_of_old(&mut self) -> Result<()> {
        let policy = self.ask::<(String, String)>(redis::cmd("CONFIG").arg("GET").arg("appendfsync")).await;
        match policy.as_ref().map(|(_, policy)| policy.as_str()) {
            Ok("always") => Ok(()),
            Ok("no") => Err(cannot_keep("it never calls fsync (appendfsync no); set appendfsync everysec")),
            Ok(_) | Err(_) => self.next_fsync().await,
        }
    }

    /// Data in the file at a moment without a pending fsync is part of the next one, which begins
    /// within [`NEXT_FSYNC`].
    async fn next_fsync(&mut self) -> Result<()> {
        self.until_nothing_is_pending().await?;
        sleep(NEXT_FSYNC).await;
        // Any command makes Redis read its clock.
        self.ask::<()>(&redis::cmd("PING")).await?;
        sleep(LOOK_AGAIN).await;
        self.until_nothing_is_pending().await
    }

    async fn until_nothing_is_pending(&mut self) -> Result<()> {
        loop {
            let info = self.info("persistence").await?;
            if info.field("aof_buffer_length") == "0" && info.field("aof_pending_bio_fsync") == "0" {
                return Ok(());
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    async fn info(&mut self, section: &str) -> Result<Info> {
        self.ask(redis::cmd("INFO").arg(section)).await.map(Info::new)
    }

    async fn ask<T: FromRedisValue>(&mut self, command: &redis::Cmd) -> Result<T> {
        command.query_async(&mut self.connection).await.map_err(|error| redis_error::convert(&error))
    }
}
