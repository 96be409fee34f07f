//! Connection permits of a transport's server, counted over all workers.

use crate::{
    LimitName, Result, WorkerId,
    store::{
        connection::Store,
        script::{Args, ReplyWords, Script, unexpected},
    },
};

/// Number of connections that one worker has and wants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConnectionDemand {
    /// Number of wanted connections.
    pub want: usize,
    /// Number of open connections.
    pub open: usize,
    /// Configured maximum over all workers.
    pub cap: Option<u32>,
    /// Whether the server refused an additional connection.
    pub refused: bool,
}

/// Number of connections that one worker may have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConnectionShare {
    /// Permitted number of connections. It is lower than the current number if one must go to a
    /// worker with fewer.
    pub number: usize,
    /// Maximum over all workers, configured or learned.
    pub cap: Option<usize>,
}

impl Store {
    /// Reports this worker's open and wanted connections and returns its permitted number.
    ///
    /// Call it every few seconds: after 10 s without a call the worker counts as lost and its
    /// connections go to others. Repeating a call has no other effect.
    pub async fn hold_connections(
        &self,
        transport: &LimitName,
        worker: &WorkerId,
        holding: ConnectionDemand,
    ) -> Result<ConnectionShare> {
        let ConnectionDemand { want, open, cap, refused } = holding;
        let mut args = Args::default();
        args.push(worker).push(want).push(open).push(cap.unwrap_or(0)).push(u8::from(refused));
        let mut reply = ReplyWords::new(self.call_at(Script::ConnectionsHold, self.keys.limit(transport), args).await?);
        match reply.next::<String>()?.as_str() {
            "held" => Ok(ConnectionShare { number: reply.next()?, cap: Some(reply.next()?).filter(|cap| *cap > 0) }),
            other => Err(unexpected(other)),
        }
    }
}
