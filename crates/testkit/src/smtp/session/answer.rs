//! Replies of a session, and the faults that replace them.

use super::{End, Session};
use crate::smtp::fault::{Action, Moment, Phase};
use crate::smtp::reply::Reply;
use std::ops::Range;
use std::time::Duration;
use tokio::time::sleep;

/// Reply to be sent, derived from an action.
struct Answer {
    code: u16,
    bytes: Vec<u8>,
    slowly: bool,
    afterwards: Option<(Duration, Vec<u8>)>,
    end: Option<End>,
}

/// Content range outside content, and of its first byte.
const FIRST: Range<usize> = 0..1;

impl Session {
    /// Sends the usual reply or that of a fault. Returns the code that the client receives.
    pub(super) async fn answer(&mut self, phase: Phase, usual: Reply) -> Result<u16, End> {
        let action = self.trouble(phase).await?;
        self.perform(action, usual).await
    }

    /// Returns the action of a matching fault, after its delay.
    pub(super) async fn trouble(&mut self, phase: Phase) -> Result<Option<Action>, End> {
        let found = self.faults(phase, FIRST);
        self.after_pause(found).await
    }

    /// Returns the action of a fault for one RCPT, by position and address.
    pub(super) async fn trouble_at_rcpt(&mut self, number: usize, address: &String) -> Result<Option<Action>, End> {
        let moment = self.moment(Phase::Rcpt, FIRST);
        let recipients = std::slice::from_ref(address);
        let found = self.shared.faults.take(&Moment { rcpt_number: Some(number), recipients, ..moment });
        self.after_pause(found).await
    }

    /// Applies faults that match the content bytes that just arrived.
    pub(super) async fn answer_to_content(&mut self, bytes: Range<usize>) -> Result<(), End> {
        let found = self.faults(Phase::Body, bytes);
        let action = self.after_pause(found).await?;
        self.perform(action, Reply::none()).await.map(drop)
    }

    /// Applies faults while the client is idle.
    pub(super) async fn rest(&mut self) -> Result<(), End> {
        self.wire.flush().await?;
        let (pause, Some(action)) = self.faults(Phase::Idle, FIRST) else { return Ok(()) };
        if !pause.is_zero() {
            tokio::select! {
                came = self.wire.read() => return came.map_err(End::from),
                () = sleep(pause) => {}
            }
        }
        self.perform(Some(action), Reply::none()).await?;
        Ok(self.wire.flush().await?)
    }

    pub(super) async fn perform(&mut self, action: Option<Action>, usual: Reply) -> Result<u16, End> {
        let answer = Answer::to(action.unwrap_or(Action::Usual), &usual);
        if answer.slowly {
            self.wire.send_byte_by_byte(&answer.bytes).await?;
        } else {
            self.wire.write(&answer.bytes);
        }
        if let Some((pause, bytes)) = answer.afterwards {
            self.pause(pause).await?;
            self.wire.write(&bytes);
        }
        match answer.end {
            None => Ok(answer.code),
            Some(end) => {
                self.wire.flush().await?;
                Err(end)
            }
        }
    }

    fn faults(&self, phase: Phase, bytes: Range<usize>) -> (Duration, Option<Action>) {
        self.shared.faults.take(&self.moment(phase, bytes))
    }

    fn moment(&self, phase: Phase, bytes: Range<usize>) -> Moment<'_> {
        let envelope = self.envelope.as_ref();
        Moment {
            phase,
            connection: self.number,
            message: self.message,
            is_ahead: self.is_ahead,
            rcpt_number: None,
            bytes,
            sender: envelope.map(|envelope| &envelope.sender),
            recipients: envelope.map_or(&[], |envelope| &envelope.recipients),
        }
    }

    async fn after_pause(&mut self, (pause, action): (Duration, Option<Action>)) -> Result<Option<Action>, End> {
        self.pause(pause).await?;
        Ok(action)
    }

    /// Sends the earlier replies of the same group, then pauses.
    async fn pause(&mut self, pause: Duration) -> Result<(), End> {
        if !pause.is_zero() {
            self.wire.flush().await?;
            sleep(pause).await;
        }
        Ok(())
    }
}

impl Answer {
    fn to(action: Action, usual: &Reply) -> Self {
        match action {
            Action::Usual | Action::Delay(_) | Action::DelayUpTo(_) => Self::saying(usual),
            Action::Reply(code, lines) => Self::saying(&Reply::of_lines(code, &lines)),
            Action::ReplyAndClose(code, lines) => {
                Self { end: Some(End::Close), ..Self::saying(&Reply::of_lines(code, &lines)) }
            }
            Action::Raw(bytes) => Self { bytes, ..Self::saying(&Reply::none()) },
            Action::Close | Action::StoreThenClose => Self::ending(End::Close),
            Action::Reset => Self::ending(End::Reset),
            Action::Stall | Action::StoreThenStall => Self::ending(End::Stall),
            Action::ByteByByte(action) => Self { slowly: true, ..Self::to(*action, usual) },
            Action::ThenSays(action, pause, bytes) => {
                Self { afterwards: Some((pause, bytes)), ..Self::to(*action, usual) }
            }
        }
    }

    fn saying(reply: &Reply) -> Self {
        Self { code: reply.code, bytes: reply.bytes(), slowly: false, afterwards: None, end: None }
    }

    fn ending(end: End) -> Self {
        Self { end: Some(end), ..Self::saying(&Reply::none()) }
    }
}
