//! Damaged records: keys of the wrong type are moved aside, and all damage is listed.
//!
//! Scripts repair damage themselves (`prelude.lua`). After a `WRONGTYPE` error of a plain command,
//! `mend.lua` moves its keys aside and the command is repeated.

use std::collections::BTreeMap;

use redis::{Arg, Cmd};
use serde::Serialize;

use crate::{
    QueueName, Result,
    store::{
        connection::Store,
        process::is_readable,
        script::{Args, Fields, LossyText, Script},
    },
};

/// Maximum number of entries read from each list.
const MOST: usize = 20;

/// Damage found in a queue.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Damage {
    /// Number of entries in the list of damage (at most 1,000, from the last 30 days).
    pub found: u64,
    /// Latest 20 entries, each `<what>: <why>`.
    pub latest: Vec<String>,
    /// Number of jobs written by a newer protocol version.
    pub newer: u64,
    /// Ids of the first 20 of these jobs.
    pub newer_jobs: Vec<String>,
}

impl Store {
    /// Returns the damage found in a queue.
    ///
    /// # Errors
    /// Fails if Redis can't be reached.
    pub async fn damage(&self, queue: &QueueName) -> Result<Damage> {
        self.damage_at(&self.keys.queue(queue)).await
    }

    /// Returns the damage found outside the queues: in schedules, processes and the list of queues.
    ///
    /// # Errors
    /// Fails if Redis can't be reached.
    pub async fn system_damage(&self) -> Result<Damage> {
        self.damage_at(&self.keys.system_base()).await
    }

    async fn damage_at(&self, base: &str) -> Result<Damage> {
        let (damaged, newer) = (format!("{base}:damaged"), format!("{base}:newer"));
        let mut reads = redis::pipe();
        reads.cmd("ZCARD").arg(&damaged).cmd("ZREVRANGE").arg(&damaged).arg(0).arg(MOST - 1);
        reads.cmd("ZCARD").arg(&newer).cmd("ZRANGE").arg(&newer).arg(0).arg(MOST - 1);
        let (found, latest, newer, newer_jobs): (u64, Vec<LossyText>, u64, Vec<LossyText>) =
            self.run_all(&reads).await?;
        let id = |entry: LossyText| entry.0.rsplit(' ').next().unwrap_or_default().to_owned();
        Ok(Damage {
            found,
            latest: latest.into_iter().map(|entry| entry.0).collect(),
            newer,
            newer_jobs: newer_jobs.into_iter().map(id).collect(),
        })
    }

    /// Counts unreadable entries, which are skipped elsewhere, per key: names of queues, reports of
    /// processes, schedules.
    ///
    /// # Errors
    /// Fails if Redis can't be reached.
    pub async fn unreadable_members(&self) -> Result<Vec<(String, usize)>> {
        let (queues, processes) = (self.keys.system("queues"), self.keys.system("processes"));
        let mut reads = redis::pipe();
        reads.cmd("SMEMBERS").arg(&queues).cmd("HGETALL").arg(&processes);
        let (names, reports): (Vec<LossyText>, Fields) = self.run_all(&reads).await?;
        let names = names.iter().filter(|name| name.0.parse::<QueueName>().is_err()).count();
        let reports = reports.values().filter(|report| !is_readable(report)).count();
        let schedules = (self.keys.system("schedules"), self.unreadable_schedules().await?.len());
        Ok([(queues, names), (processes, reports), schedules].into_iter().filter(|(_, number)| *number > 0).collect())
    }

    /// Moves the keys of these commands aside if they are not of the type that the command needs.
    pub(in crate::store) async fn mend<'a>(&self, commands: impl Iterator<Item = &'a Cmd>) -> Result<()> {
        let mut keys: BTreeMap<String, Args> = BTreeMap::new();
        for (base, name, kind) in commands.filter_map(place) {
            keys.entry(base).or_default().push(name).push(kind);
        }
        for (base, args) in keys {
            self.call_at::<(String, u64)>(Script::Mend, base, args).await?;
        }
        Ok(())
    }
}

/// Returns the base key, the rest of the key, and the type that the command needs.
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
    fn a_command_is_split_into_base_key_name_and_type() {
        let mut command = redis::cmd("LRANGE");
        command.arg("{postroom:emails}:ready:5").arg(0).arg(4);
        let place = place(&command).expect("a place");
        assert_eq!(place, ("{postroom:emails}".to_owned(), "ready:5".to_owned(), "list"));
        assert_eq!(super::place(&redis::cmd("TIME")), None);
    }
}
