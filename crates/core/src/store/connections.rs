//! Connections to a transport's server, counted over all workers.

use super::{
    LimitName, WorkerId,
    connection::{Args, Store},
    reply::{Words, unexpected},
};
use crate::Result;

/// What a worker says of its connections to a server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Holding {
    /// How many it wants to have.
    pub want: usize,
    /// How many stand.
    pub open: usize,
    /// The most that all workers together may have, where that is set.
    pub cap: Option<u32>,
    /// One more was turned away at the server's door.
    pub refused: bool,
}

/// What it may have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Holdings {
    /// So many; fewer than it has when one is left to a worker with fewer.
    pub number: usize,
    /// The most that all workers together may have, as it is set or was learned.
    pub cap: Option<usize>,
}

impl Store {
    /// Tells how many connections this worker has and wants, and learns how many it may have. To be said again every few
    /// seconds: a worker that is silent for 10 s is lost, and its connections go to others. Said again, it has no other effect.
    pub async fn hold_connections(
        &self,
        transport: &LimitName,
        worker: &WorkerId,
        holding: Holding,
    ) -> Result<Holdings> {
        let Holding { want, open, cap, refused } = holding;
        let mut args = Args::default();
        args.push(worker).push(want).push(open).push(cap.unwrap_or(0)).push(u8::from(refused));
        let mut reply = Words::new(self.call_at("connections_hold", self.keys.limit(transport), args).await?);
        match reply.next::<String>()?.as_str() {
            "held" => Ok(Holdings { number: reply.next()?, cap: Some(reply.next()?).filter(|cap| *cap > 0) }),
            other => Err(unexpected(other)),
        }
    }
}
