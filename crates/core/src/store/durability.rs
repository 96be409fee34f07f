//! Waiting until what was written stays, whatever becomes of the server.

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
    run::RunId,
    server::{self, Opened},
    trouble,
};
use crate::{Error, InvalidInput, Result};

/// How long the disk or the replica may take.
const LIMIT: Duration = Duration::from_secs(6);
/// How long Redis itself waits for them: it gives up first.
const LIMIT_OF_REDIS_MS: u64 = 5_000;
/// With `appendfsync everysec` Redis begins to write out at the first tick after its clock has come to another second: a
/// second and a tenth, at its usual ten ticks a second.
const NEXT_FSYNC: Duration = Duration::from_millis(1_200);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Where what was written is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Durability {
    /// On the server's disk.
    pub disk: bool,
    /// At a replica.
    pub replica: bool,
}

/// The rounds of waiting. Those who come while one is under way share the next one.
#[derive(Default)]
pub(super) struct Rounds {
    begun: AtomicU64,
    desk: Mutex<Desk>,
}

#[derive(Default)]
struct Desk {
    /// Its own connection: waiting holds up all that is behind it.
    opened: Option<Opened>,
    last: Option<Round>,
}

struct Round {
    number: u64,
    run: RunId,
    outcome: Result<Durability>,
}

/// What the server has to keep things by.
#[derive(Debug, Clone, Copy)]
struct Means {
    disk: bool,
    replica: bool,
}

impl Store {
    /// Refuses where nothing that is written is sure to stay: no append-only file that is synced, and no replica.
    pub async fn check_durable(&self) -> Result<()> {
        Means::of(&Info::new(self.run(&redis::cmd("INFO")).await?)).map(drop)
    }

    /// Returns when all that was written during this run of the server, and answered before now, is on its disk or at a
    /// replica; where Sentinels may let a replica take over, at one of those too. The error is transient when that took too
    /// long, and [`Error::NotSynced`] when the server is in another run by now: what was written is to be said again.
    ///
    /// Redis 7.2 and Valkey tell it themselves (`WAITAOF`). Of an older one with `appendfsync everysec` we know only that
    /// it begins to write out once a second: this then takes 1.2 seconds, and with `no-appendfsync-on-rewrite yes` it may
    /// be wrong while the file is rewritten.
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

    /// The connection is kept only when all went well.
    async fn round(&self, desk: &mut Desk, run: &RunId) -> Result<Durability> {
        let opened = match desk.opened.take().filter(|opened| &opened.run == run) {
            Some(opened) => opened,
            None => server::open(self.link.line().await?.client().clone()).await?,
        };
        if &opened.run != run {
            return Err(Error::NotSynced);
        }
        let mut keeper = Keeper { connection: opened.connection.clone(), mark: self.keys.system("kept") };
        let late = || Error::Away("it does not say in time whether it keeps what was written".to_owned());
        let kept = timeout(LIMIT, keeper.keep(self.link.is_watched())).await.map_err(|_| late())?;
        desk.opened = kept.is_ok().then_some(opened);
        kept
    }
}

impl Means {
    fn of(info: &Info) -> Result<Self> {
        let disk = info.fact("aof_enabled") == "1";
        let replica = info.fact("connected_slaves").parse().is_ok_and(|number: u32| number > 0);
        if disk || replica {
            return Ok(Self { disk, replica });
        }
        Err(cannot_keep("it keeps no append-only file and has no replica; set appendonly yes"))
    }
}

fn cannot_keep(why: &str) -> Error {
    InvalidInput::new("durable", format!("this Redis can't promise to keep anything: {why}")).into()
}

/// Asks one run of the server, on one connection to it.
struct Keeper {
    connection: MultiplexedConnection,
    /// A key that is written, so that what is waited for is this connection's own.
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
            return Err(Error::Away("no replica has said in time that it has what was written".to_owned()));
        }
        Ok(Durability { disk, replica })
    }

    async fn on_disk(&mut self) -> Result<()> {
        match self.ask::<(u64, u64)>(redis::cmd("WAITAOF").arg(1).arg(0).arg(LIMIT_OF_REDIS_MS)).await {
            Ok((0, _)) => Err(Error::Away("it has not said in time that what was written is on disk".to_owned())),
            Ok(_) => Ok(()),
            Err(error) if error.to_string().contains("unknown command") => self.on_disk_of_old().await,
            Err(error) => Err(error),
        }
    }

    /// CONFIG may be refused to us; then it is taken to be as usual.
    async fn on_disk_of_old(&mut self) -> Result<()> {
        let policy = self.ask::<(String, String)>(redis::cmd("CONFIG").arg("GET").arg("appendfsync")).await;
        match policy.as_ref().map(|(_, policy)| policy.as_str()) {
            Ok("always") => Ok(()),
            Ok("no") => Err(cannot_keep("it leaves it to the system when to write out; set appendfsync everysec")),
            Ok(_) | Err(_) => self.next_fsync().await,
        }
    }

    /// What is in the file while none is running is part of the next fsync; that one has begun within [`NEXT_FSYNC`].
    async fn next_fsync(&mut self) -> Result<()> {
        self.until_nothing_is_pending().await?;
        sleep(NEXT_FSYNC).await;
        // Whatever it is told makes it look at its clock.
        self.ask::<()>(&redis::cmd("PING")).await?;
        sleep(LOOK_AGAIN).await;
        self.until_nothing_is_pending().await
    }

    async fn until_nothing_is_pending(&mut self) -> Result<()> {
        loop {
            let info = self.info("persistence").await?;
            if info.fact("aof_buffer_length") == "0" && info.fact("aof_pending_bio_fsync") == "0" {
                return Ok(());
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    async fn info(&mut self, section: &str) -> Result<Info> {
        self.ask(redis::cmd("INFO").arg(section)).await.map(Info::new)
    }

    async fn ask<T: FromRedisValue>(&mut self, command: &redis::Cmd) -> Result<T> {
        command.query_async(&mut self.connection).await.map_err(|error| trouble::told(&error))
    }
}
