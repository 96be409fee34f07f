//! Replies of a session, and the faults that replace them.

use super::{ServerSession, SessionEnd};
use crate::smtp::fault::{Action, FaultPhase, SessionMoment};
use crate::smtp::reply::ServerReply;
use std::ops::Range;
use std::time::Duration;
use tokio::time::sleep;

/// Reply to be sent, derived from an action.
struct PlannedReply {
    code: u16,
    bytes: Vec<u8>,
    byte_by_byte: bool,
    afterwards: Option<(Duration, Vec<u8>)>,
    end: Option<SessionEnd>,
}

/// Content range outside content, and of its first byte.
const FIRST: Range<usize> = 0..1;

impl ServerSession {
    /// Sends the usual reply or that of a fault. Returns the code that the client receives.
    pub(super) async fn answer(&mut self, phase: FaultPhase, usual: ServerReply) -> Result<u16, SessionEnd> {
        let action = self.matching_fault(phase).await?;
        self.perform(action, usual).await
    }

    /// Returns the action of a matching fault, after its delay.
    pub(super) async fn matching_fault(&mut self, phase: FaultPhase) -> Result<Option<Action>, SessionEnd> {
        let fault = self.faults(phase, FIRST);
        self.after_pause(fault).await
    }

    /// Returns the action of a fault for one RCPT, by position and address.
    pub(super) async fn matching_rcpt_fault(
        &mut self,
        number: usize,
        address: &String,
    ) -> Result<Option<Action>, SessionEnd> {
        let moment = self.moment(FaultPhase::Rcpt, FIRST);
        let recipients = std::slice::from_ref(address);
        let fault = self.shared.faults.take(&SessionMoment { rcpt_number: Some(number), recipients, ..moment });
        self.after_pause(fault).await
    }

    /// Applies faults that match the content bytes that just arrived.
    pub(super) async fn answer_to_content(&mut self, bytes: Range<usize>) -> Result<(), SessionEnd> {
        let fault = self.faults(FaultPhase::Body, bytes);
        let action = self.after_pause(fault).await?;
        self.perform(action, ServerReply::none()).await.map(drop)
    }

    /// Applies faults while the client is idle.
    pub(super) async fn apply_idle_faults(&mut self) -> Result<(), SessionEnd> {
        self.wire.flush().await?;
        let (pause, Some(action)) = self.faults(FaultPhase::Idle, FIRST) else { return Ok(()) };
        if !pause.is_zero() {
            tokio::select! {
                read = self.wire.read() => return read.map_err(SessionEnd::from),
                () = sleep(pause) => {}
            }
        }
        self.perform(Some(action), ServerReply::none()).await?;
        Ok(self.wire.flush().await?)
    }

    pub(super) async fn perform(&mut self, action: Option<Action>, usual: ServerReply) -> Result<u16, SessionEnd> {
        let answer = PlannedReply::to(action.unwrap_or(Action::Usual), &usual);
        self.errors += usize::from(answer.code >= 400);
        if answer.byte_by_byte {
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

    fn faults(&self, phase: FaultPhase, bytes: Range<usize>) -> (Duration, Option<Action>) {
        self.shared.faults.take(&self.moment(phase, bytes))
    }

    fn moment(&self, phase: FaultPhase, bytes: Range<usize>) -> SessionMoment<'_> {
        let envelope = self.envelope.as_ref();
        SessionMoment {
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

    async fn after_pause(&mut self, (pause, action): (Duration, Option<Action>)) -> Result<Option<Action>, SessionEnd> {
        self.pause(pause).await?;
        Ok(action)
    }

    /// Sends the earlier replies of the same group, then pauses.
    async fn pause(&mut self, pause: Duration) -> Result<(), SessionEnd> {
        if !pause.is_zero() {
            self.wire.flush().await?;
            sleep(pause).await;
        }
        Ok(())
    }
}

impl PlannedReply {
    fn to(action: Action, usual: &ServerReply) -> Self {
        match action {
            Action::Usual | Action::Delay(_) | Action::DelayUpTo(_) => Self::of_reply(usual),
            Action::Reply(code, lines) => Self::of_reply(&ServerReply::of_lines(code, &lines)),
            Action::ReplyAndClose(code, lines) => {
                Self { end: Some(SessionEnd::Close), ..Self::of_reply(&ServerReply::of_lines(code, &lines)) }
            }
            Action::Raw(bytes) => Self { bytes, ..Self::of_reply(&ServerReply::none()) },
            Action::Close | Action::StoreThenClose => Self::of_end(SessionEnd::Close),
            Action::Reset => Self::of_end(SessionEnd::Reset),
            Action::Stall | Action::StoreThenStall => Self::of_end(SessionEnd::Stall),
            Action::ByteByByte(action) => Self { byte_by_byte: true, ..Self::to(*action, usual) },
            Action::ThenSends(action, pause, bytes) => {
                Self { afterwards: Some((pause, bytes)), ..Self::to(*action, usual) }
            }
        }
    }

    fn of_reply(reply: &ServerReply) -> Self {
        Self { code: reply.code, bytes: reply.bytes(), byte_by_byte: false, afterwards: None, end: None }
    }

    fn of_end(end: SessionEnd) -> Self {
        Self { end: Some(end), ..Self::of_reply(&ServerReply::none()) }
    }
}
