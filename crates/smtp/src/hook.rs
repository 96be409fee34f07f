//! Hook of the caller before the commit point, run concurrently with the transaction.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll},
};

/// Decision of the hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// Send the final dot.
    Proceed,
    /// Close the connection without the final dot. The mail is not sent.
    Abort,
}

/// The hook and its decision.
pub(crate) struct Hook<'a, F> {
    future: Pin<&'a mut F>,
    decision: Option<Commit>,
    /// Whether the hook may run before the whole message was written.
    early: bool,
    started: bool,
}

impl<'a, F: Future<Output = Commit>> Hook<'a, F> {
    pub(crate) fn new(future: Pin<&'a mut F>, early: bool) -> Self {
        Self { future, decision: None, early, started: false }
    }

    /// Starts the hook if it may run early.
    pub(crate) fn start(&mut self) {
        self.started = self.early;
    }

    /// Awaits `work` and polls a started hook meanwhile.
    pub(crate) async fn alongside<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|context| {
            if self.started {
                // The result is stored. Both futures wake this task.
                let _ = self.poll_decision(context);
            }
            work.as_mut().poll(context)
        })
        .await
    }

    /// Waits for the decision; starts the hook if it was not started.
    pub(crate) async fn decide(&mut self) -> Commit {
        poll_fn(|context| self.poll_decision(context)).await
    }

    fn poll_decision(&mut self, context: &mut Context<'_>) -> Poll<Commit> {
        if let Some(decision) = self.decision {
            return Poll::Ready(decision);
        }
        let poll = self.future.as_mut().poll(context);
        if let Poll::Ready(decision) = poll {
            self.decision = Some(decision);
        }
        poll
    }
}
