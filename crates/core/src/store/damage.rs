//! Damaged records: keys of the wrong type are moved aside, and what was found is listed.
//!
//! Scripts repair what they meet themselves (`prelude.lua`). Plain commands can't: after a `WRONGTYPE` error the keys of the
//! command are given to `mend.lua`, and the command runs once more.

use std::collections::BTreeMap;

use redis::{Arg, Cmd};
use serde::Serialize;

use super::{
    connection::{Args, Store},
    processes::is_readable,
    reply::{Fields, Text},
};
use crate::{QueueName, Result};

/// How many entries of each list are read.
const MOST: usize = 20;

/// Damage found in a queue.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Damage {
    /// Number of entries in the list of damage, at most 1,000 of the last 30 days.
    pub found: u64,
    /// The latest 20 of them, each `<what>: <why>`.
    pub latest: Vec<String>,
    /// Number of jobs that a newer protocol version wrote.
    pub newer: u64,
    /// Ids of the first 20 of these.
    pub newer_jobs: Vec<String>,
}

impl Store {
    /// Returns the damage found in a queue.
    ///
    /// # Errors
    /// Fails when Redis is away.
    pub async fn damage(&self, queue: &QueueName) -> Result<Damage> {
        self.damage_at(&self.keys.queue(queue)).await
    }

    /// Returns the damage found in what belongs to no queue: schedules, processes, the list of queues.
    ///
    /// # Errors
    /// Fails when Redis is away.
    pub async fn system_damage(&self) -> Result<Damage> {
        self.damage_at(&self.keys.system_base()).await
    }

    async fn damage_at(&self, base: &str) -> Result<Damage> {
        let (damaged, newer) = (format!("{base}:damaged"), format!("{base}:newer"));
        let mut reads = redis::pipe();
        reads.cmd("ZCARD").arg(&damaged).cmd("ZREVRANGE").arg(&damaged).arg(0).arg(MOST - 1);
        reads.cmd("ZCARD").arg(&newer).cmd("ZRANGE").arg(&newer).arg(0).arg(MOST - 1);
        let (found, latest, newer, newer_jobs): (u64, Vec<Text>, u64, Vec<Text>) = self.run_all(&reads).await?;
        let id = |entry: Text| entry.0.rsplit(' ').next().unwrap_or_default().to_owned();
        Ok(Damage {
            found,
            latest: latest.into_iter().map(|entry| entry.0).collect(),
            newer,
            newer_jobs: newer_jobs.into_iter().map(id).collect(),
        })
    }

    /// Counts the members of the system's collections that can't be read and are skipped: names of queues, reports of processes.
    ///
    /// # Errors
    /// Fails when Redis is away.
    pub async fn unreadable_members(&self) -> Result<Vec<(String, usize)>> {
        let (queues, processes) = (self.keys.system("queues"), self.keys.system("processes"));
        let mut reads = redis::pipe();
        reads.cmd("SMEMBERS").arg(&queues).cmd("HGETALL").arg(&processes);
        let (names, reports): (Vec<Text>, Fields) = self.run_all(&reads).await?;
        let names = names.iter().filter(|name| name.0.parse::<QueueName>().is_err()).count();
        let reports = reports.values().filter(|report| !is_readable(report)).count();
        let schedules = (self.keys.system("schedules"), self.unreadable_schedules().await?.len());
        Ok([(queues, names), (processes, reports), schedules].into_iter().filter(|(_, number)| *number > 0).collect())
    }

    /// Moves those keys of these commands aside that are not of the type that the commands need.
    pub(super) async fn mend<'a>(&self, commands: impl Iterator<Item = &'a Cmd>) -> Result<()> {
        let mut keys: BTreeMap<String, Args> = BTreeMap::new();
        for (base, name, kind) in commands.filter_map(place) {
            keys.entry(base).or_default().push(name).push(kind);
        }
        for (base, args) in keys {
            self.call_at::<(String, u64)>("mend", base, args).await?;
        }
        Ok(())
    }
}

/// The base key, the rest of the key, and the type of the key that a command reads or writes first.
fn place(command: &Cmd) -> Option<(String, String, &'static str)> {
    let mut words = command.args_iter().filter_map(|arg| match arg {
        Arg::Simple(word) => std::str::from_utf8(word).ok(),
        _ => None,
    });
    let kind = kind(words.next()?)?;
    let key = words.next()?;
    let end = key.find("}:")?;
    Some((key[..=end].to_owned(), key[end + 2..].to_owned(), kind))
}

fn kind(command: &str) -> Option<&'static str> {
    Some(match command {
        "SMEMBERS" | "SADD" | "SISMEMBER" | "SREM" => "set",
        "HGETALL" | "HGET" | "HEXISTS" | "HSET" | "HDEL" | "HMGET" => "hash",
        "LRANGE" | "LLEN" | "LPUSH" | "RPUSH" | "LTRIM" | "LPOP" | "BLPOP" => "list",
        "ZRANGE" | "ZREVRANGE" | "ZCARD" | "ZREM" | "ZADD" | "ZCOUNT" | "ZRANGEBYSCORE" | "ZSCORE" => "zset",
        "XDEL" | "XLEN" | "XRANGE" | "XADD" => "stream",
        "GET" | "GETRANGE" | "STRLEN" => "string",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_command_is_its_key() {
        let mut command = redis::cmd("LRANGE");
        command.arg("{postroom:emails}:ready:5").arg(0).arg(4);
        let place = place(&command).expect("a place");
        assert_eq!(place, ("{postroom:emails}".to_owned(), "ready:5".to_owned(), "list"));
        assert_eq!(super::place(&redis::cmd("TIME")), None);
    }
}
