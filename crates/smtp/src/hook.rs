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

/// When the hook starts. It always ends before the final dot, and never runs twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HookStart {
    /// Once DATA was written and a recipient is accepted: beside the wait for the server to say go on. It does not run for
    /// a mail refused at MAIL or at every RCPT, and a crash while the server thinks about those leaves no doubt. Where the
    /// server answers the whole flight in one packet, the hook's time adds to the mail's.
    #[default]
    RecipientAccepted,
    /// As soon as DATA was written, with PIPELINING together with MAIL: saves at most a round trip to a server that is
    /// faster than the hook, and may run for a mail that is then refused.
    DataWritten,
}

/// A hook that may have started, and its decision.
pub(crate) struct Hook<'a, F> {
    future: Pin<&'a mut F>,
    decision: Option<Commit>,
    started: bool,
}

impl<'a, F: Future<Output = Commit>> Hook<'a, F> {
    pub(crate) fn new(future: Pin<&'a mut F>) -> Self {
        Self { future, decision: None, started: false }
    }

    /// From now on it runs beside the conversation.
    pub(crate) fn start(&mut self) {
        self.started = true;
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
