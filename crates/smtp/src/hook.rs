//! The caller's word before the commit point, run beside the conversation.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll},
};

/// What the hook says: send the final dot or don't.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// The mail may go out.
    Proceed,
    /// Close the connection without the final dot; the mail does not go out.
    Abort,
}

/// A hook that may have started, and its decision.
pub(crate) struct Hook<'a, F> {
    future: Pin<&'a mut F>,
    decision: Option<Commit>,
    /// Whether it may run beside the conversation at all.
    early: bool,
    started: bool,
}

impl<'a, F: Future<Output = Commit>> Hook<'a, F> {
    pub(crate) fn new(future: Pin<&'a mut F>, early: bool) -> Self {
        Self { future, decision: None, early, started: false }
    }

    /// From now on it runs beside the conversation, if it may.
    pub(crate) fn start(&mut self) {
        self.started = self.early;
    }

    /// Does this work, and lets the hook go on meanwhile.
    pub(crate) async fn beside<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|context| {
            if self.started {
                // Woken together: this task is polled again when either can go on.
                let _ = self.poll_decision(context);
            }
            work.as_mut().poll(context)
        })
        .await
    }

    /// Starts it if need be, and waits for its decision.
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
