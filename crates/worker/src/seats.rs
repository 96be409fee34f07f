//! Seats: how many mails of this worker may be under way by a transport whose server counts connections. One for each that it may
//! have, and, while there are no more to be had, one more that is next: its envelope can go ahead. All workers together have no more
//! connections than are set, or than the server lets in.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use postroom_core::{
    Result,
    store::{ConnectionDemand, ConnectionShare},
};
use tokio::sync::Mutex as AsyncMutex;

use crate::{lease_clock, office::Office, outlet::Outlet};

/// When there are none to be had, it is asked again after so long, unless something changes before.
const ASK_AGAIN: Duration = Duration::from_millis(300);

/// The seats of an outlet.
#[derive(Debug, Default)]
pub(crate) struct Seats {
    count: Mutex<Count>,
    /// One question at a time, so that answers are heard in their order.
    asking: AsyncMutex<()>,
}

#[derive(Debug, Default)]
struct Count {
    held: usize,
    taken: usize,
    /// What Redis was told last.
    told: usize,
    /// Nobody needs to ask before that.
    ask_at: Duration,
    /// The number is limited, and not only because more have to be opened first.
    capped: bool,
    /// Mail waits for one.
    missed: bool,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub(crate) struct Seat(Arc<Outlet>);

impl Count {
    /// How many seats there are now.
    fn seats(&self) -> usize {
        let has_next = self.capped && lease_clock::now() < self.ask_at;
        if has_next { self.held * 2 } else { self.held }
    }
}

impl Outlet {
    /// So many seats, or as many as are free.
    pub(crate) fn seats(self: &Arc<Self>, want: usize) -> Vec<Seat> {
        let mut count = self.count();
        let free = if self.transport.has_connections() { count.seats().saturating_sub(count.taken) } else { want };
        let number = want.min(free);
        count.taken += number;
        (0..number).map(|_| Seat(Arc::clone(self))).collect()
    }

    /// Mail waits for a seat: who serves the queue is told when one is free.
    pub(crate) fn miss_seats(&self) {
        self.count().missed = true;
    }

    /// Whether there may be more than are free: asking is of use.
    pub(crate) fn may_have_more(&self) -> bool {
        self.transport.has_connections() && self.count().ask_at <= lease_clock::now()
    }

    /// Asks for so many more.
    pub(crate) async fn ask_for_seats(&self, office: &Office, more: usize) -> Result<()> {
        let _one = self.seats.asking.lock().await;
        let (want, stood) = (self.count().taken + more, self.transport.connections());
        let holdings = self.hold(office, want, false).await?;
        let mut count = self.count();
        // Where another number stands by now, the answer may be another too.
        if holdings.number < want && self.transport.connections() == stood {
            count.ask_at = lease_clock::now() + ASK_AGAIN;
        }
        Ok(())
    }

    /// How long until asking is of use.
    pub(crate) fn ask_again_in(&self) -> Duration {
        self.count().ask_at.saturating_sub(lease_clock::now()).max(Duration::from_millis(1))
    }

    /// Says that this worker still has what it has; what is not needed goes back.
    pub(crate) async fn keep_seats(&self, office: &Office) -> Result<()> {
        let _one = self.seats.asking.lock().await;
        let want = {
            let mut count = self.count();
            if count.held == 0 && count.taken == 0 && count.told == 0 {
                return Ok(());
            }
            let needed = count.taken.max(self.transport.connections());
            count.held = count.held.min(needed);
            count.held.max(usize::from(count.taken > 0))
        };
        self.hold(office, want, false).await.map(drop)
    }

    /// One more connection was turned away at the door; answers whether there is a limit for them now.
    pub(crate) async fn turned_away(&self, office: &Office) -> Result<bool> {
        let _one = self.seats.asking.lock().await;
        let want = self.count().held.saturating_sub(1);
        Ok(self.hold(office, want, true).await?.cap.is_some())
    }

    /// Gives all back, before a process ends.
    pub(crate) async fn leave_seats(&self, office: &Office) -> Result<()> {
        if self.count().told == 0 { Ok(()) } else { self.hold(office, 0, false).await.map(drop) }
    }

    async fn hold(&self, office: &Office, want: usize, refused: bool) -> Result<ConnectionShare> {
        let holding = ConnectionDemand { want, open: self.transport.connections(), cap: self.cap, refused };
        let holdings = office.store.hold_connections(&self.limit, &office.id, holding).await?;
        {
            let mut count = self.count();
            (count.held, count.told) = (holdings.number, holding.open.max(holdings.number));
            count.capped = holdings.cap.is_some();
        }
        self.transport.allow_connections(holdings.number);
        Ok(holdings)
    }

    /// Another number of connections stands: there may be seats for who waits, here or at another worker.
    pub(crate) async fn connections_changed(&self, office: &Office) -> Result<()> {
        let (missed, owes) = {
            let mut count = self.count();
            count.ask_at = Duration::ZERO;
            (std::mem::take(&mut count.missed), count.told > count.held.max(self.transport.connections()))
        };
        if missed {
            self.bells.ready.notify_one();
        }
        if owes { self.keep_seats(office).await } else { Ok(()) }
    }

    fn count(&self) -> MutexGuard<'_, Count> {
        self.seats.count.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Whether it is one of this outlet.
    pub(crate) fn is_of(&self, outlet: &Arc<Outlet>) -> bool {
        Arc::ptr_eq(&self.0, outlet)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let missed = {
            let mut count = self.0.count();
            count.taken -= 1;
            count.taken < count.seats() && std::mem::take(&mut count.missed)
        };
        if missed {
            self.0.bells.ready.notify_one();
        }
    }
}
