//! Slots: how many mails this worker sends at once, and which mail the last slots are reserved for.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
};

use postroom_core::QueueName;
use tokio::sync::Notify;

/// The slots of a worker.
#[derive(Debug)]
pub(crate) struct Slots {
    count: AtomicUsize,
    /// Number of queues that share the slots.
    queues: usize,
    used: Mutex<SlotUse>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct SlotUse {
    urgent: usize,
    ordinary: HashMap<QueueName, usize>,
    /// Mails that gave up their slots and whose outcomes are being recorded.
    settling: usize,
}

/// Free slots for mail of one queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FreeSlots {
    /// For any mail.
    pub(crate) any: usize,
    /// Of these, for mail that is not urgent.
    pub(crate) ordinary: usize,
}

/// The slot of one mail; free again from [`settling`](Self::settling) on, or when it is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Arc<Slots>,
    queue: QueueName,
    urgent: bool,
    settling: AtomicBool,
}

/// Number of slots from which some are reserved.
const RESERVE_FROM: usize = 3;

impl Slots {
    /// Creates this many slots for a number of queues.
    pub(crate) fn new(all: usize, queues: usize) -> Arc<Self> {
        Arc::new(Self { count: AtomicUsize::new(all), queues, used: Mutex::default(), freed: Notify::new() })
    }

    /// Changes the number of slots. Mail under way beyond it finishes normally.
    pub(crate) fn resize(&self, all: usize) {
        if self.count.swap(all, Relaxed) < all {
            self.freed.notify_one();
        }
    }

    /// Returns the maximum number of ordinary mails over all queues. The rest is reserved for
    /// urgent mail.
    fn ordinary(&self) -> usize {
        let all = self.all();
        if all < RESERVE_FROM { all } else { all - 1 }
    }

    /// Returns the maximum number of ordinary mails of one queue, so that others are served beside
    /// it.
    fn share(&self) -> usize {
        let ordinary = self.ordinary();
        if self.queues > 1 && ordinary >= RESERVE_FROM { ordinary - 1 } else { ordinary }
    }

    /// Returns how many more mails of this queue may be sent now.
    pub(crate) fn free(&self, queue: &QueueName) -> FreeSlots {
        let used = self.lock();
        let any = self.all().saturating_sub(self.taken(&used));
        let here = used.ordinary.get(queue).copied().unwrap_or(0);
        let ordinary = self.ordinary().saturating_sub(used.all_ordinary()).min(self.share().saturating_sub(here));
        FreeSlots { any, ordinary: ordinary.min(any) }
    }

    /// Takes a slot if one is free, regardless of reservations.
    pub(crate) fn take(self: &Arc<Self>, queue: &QueueName, urgent: bool) -> Option<Slot> {
        let mut used = self.lock();
        if self.taken(&used) >= self.all() {
            return None;
        }
        match urgent {
            true => used.urgent += 1,
            false => *used.ordinary.entry(queue.clone()).or_default() += 1,
        }
        let (slots, queue) = (Arc::clone(self), queue.clone());
        Some(Slot { slots, queue, urgent, settling: AtomicBool::new(false) })
    }

    /// Returns the number of slots in use. As many mails again may be settling without a slot; the
    /// ones beyond that count as well, which bounds the mails in memory.
    fn taken(&self, used: &SlotUse) -> usize {
        used.all() + used.settling.saturating_sub(self.all())
    }

    /// Returns the number of slots.
    pub(crate) fn all(&self) -> usize {
        self.count.load(Relaxed)
    }

    /// Whether a slot is free.
    pub(crate) fn has_free(&self) -> bool {
        self.taken(&self.lock()) < self.all()
    }

    /// Waits for a free slot.
    pub(crate) async fn any_free(&self) {
        while !self.has_free() {
            self.freed().await;
        }
    }

    /// Returns the number of free slots for ordinary mail of all queues.
    pub(crate) fn free_ordinary(&self) -> usize {
        self.ordinary().saturating_sub(self.lock().all_ordinary())
    }

    /// Waits until this many slots are free for ordinary mail, or all of them.
    pub(crate) async fn several_free(&self, number: usize) {
        while self.free_ordinary() < number.min(self.ordinary()) {
            self.freed().await;
        }
    }

    /// Waits until a slot was freed since the last call.
    pub(crate) async fn freed(&self) {
        self.freed.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, SlotUse> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SlotUse {
    fn all_ordinary(&self) -> usize {
        self.ordinary.values().sum()
    }

    fn all(&self) -> usize {
        self.urgent + self.all_ordinary()
    }
}

impl SlotUse {
    fn release(&mut self, slot: &Slot) {
        if slot.urgent {
            self.urgent -= 1;
        } else if let Some(number) = self.ordinary.get_mut(&slot.queue) {
            *number -= 1;
        }
    }
}

impl Slot {
    /// Frees the slot for another mail. The attempt at this one is over; only its outcome remains
    /// to be recorded.
    pub(crate) fn settling(&self) {
        if self.settling.swap(true, Relaxed) {
            return;
        }
        let mut used = self.slots.lock();
        used.release(self);
        used.settling += 1;
        drop(used);
        self.slots.freed.notify_one();
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut used = self.slots.lock();
        match *self.settling.get_mut() {
            true => used.settling -= 1,
            false => used.release(self),
        }
        drop(used);
        self.slots.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(slots: &Arc<Slots>, queue: &QueueName) -> Vec<Slot> {
        (0..slots.free(queue).ordinary).filter_map(|_| slots.take(queue, false)).collect()
    }

    #[test]
    fn a_slot_is_reserved_for_other_queues_and_one_for_urgent_mail() {
        let (emails, bulk) = (QueueName::emails(), QueueName::bulk());
        for (all, queues, of_bulk, of_emails, urgent) in
            [(1, 2, 1, 0, 0), (2, 2, 2, 0, 0), (3, 2, 2, 0, 1), (4, 2, 2, 1, 1), (10, 2, 8, 1, 1), (10, 1, 9, 0, 1)]
        {
            let slots = Slots::new(all, queues);
            let bulk_held = fill(&slots, &bulk);
            assert_eq!(bulk_held.len(), of_bulk, "{all} slots, {queues} queues");
            let emails_held = fill(&slots, &emails);
            assert_eq!(emails_held.len(), of_emails, "{all} slots, {queues} queues");
            let urgent_held: Vec<Slot> = (0..all).filter_map(|_| slots.take(&emails, true)).collect();
            assert_eq!(urgent_held.len(), urgent, "{all} slots, {queues} queues");
            assert_eq!(slots.free(&bulk), FreeSlots { any: 0, ordinary: 0 });
            drop((bulk_held, emails_held, urgent_held));
            assert_eq!(slots.free(&bulk).any, all);
        }
    }

    #[test]
    fn settling_mails_free_their_slots_up_to_the_number_of_slots() {
        let queue = QueueName::bulk();
        let slots = Slots::new(2, 1);
        let mut settling = Vec::new();
        for _ in 0..2 {
            let slot = slots.take(&queue, false).expect("a free slot");
            slot.settling();
            slot.settling();
            settling.push(slot);
        }
        assert_eq!(slots.free(&queue), FreeSlots { any: 2, ordinary: 2 });
        let third = slots.take(&queue, false).expect("a free slot");
        third.settling();
        assert_eq!(slots.free(&queue), FreeSlots { any: 1, ordinary: 1 }, "two settle without a slot");
        let sending = slots.take(&queue, true).expect("a free slot");
        assert!(!slots.has_free() && slots.take(&queue, true).is_none());
        drop(settling);
        assert_eq!(slots.free(&queue).any, 1);
        drop((third, sending));
        assert_eq!(slots.free(&queue), FreeSlots { any: 2, ordinary: 2 });
    }

    #[tokio::test]
    async fn a_waiting_task_is_woken_by_a_free_slot() {
        let slots = Slots::new(1, 1);
        let slot = slots.take(&QueueName::bulk(), false).expect("free");
        let waiting = tokio::spawn({
            let slots = Arc::clone(&slots);
            async move { slots.any_free().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(slot);
        waiting.await.expect("free again");
    }
}
