//! DATA, content and final dot.

use super::transaction::TransactionEnvelope;
use super::{ServerSession, SessionEnd};
use crate::smtp::body::ReceivedBody;
use crate::smtp::fault::FaultPhase;
use crate::smtp::ledger::Received;
use crate::smtp::reply::{ServerReply, is_yes};
use std::time::{Instant, SystemTime};

impl ServerSession {
    pub(super) async fn data(&mut self) -> Result<(), SessionEnd> {
        let Some(envelope) = &self.envelope else {
            return self.refuse_without_mail("DATA");
        };
        let usual = if envelope.recipients.is_empty() {
            ServerReply::new(554, "5.5.1 No valid recipients")
        } else {
            ServerReply::new(354, "End data with <CR><LF>.<CR><LF>")
        };
        let code = self.answer(FaultPhase::Data, usual).await?;
        if code != 354 {
            return Ok(());
        }
        self.check_no_early_content().await;
        let body = self.read_body().await?;
        self.check_body(&body);
        self.finish(body).await
    }

    /// Records a violation if the client sent content before it read the 354 reply.
    async fn check_no_early_content(&mut self) {
        if self.wire.pending().is_empty() {
            self.wire.read_ready().await;
            if !self.wire.pending().is_empty() {
                self.violation("content received before 354 was sent");
            }
        }
    }

    async fn read_body(&mut self) -> Result<ReceivedBody, SessionEnd> {
        let mut body = ReceivedBody::new();
        self.wire.flush().await?;
        if self.wire.pending().is_empty() {
            self.wire.read().await?;
        }
        let mut received = 0;
        loop {
            let all = body.wire_bytes + self.wire.pending().len();
            self.answer_to_content(received..all).await?;
            received = all;
            while let Some(line) = self.wire.take_line() {
                if body.push(&line) {
                    return Ok(body);
                }
            }
            self.wire.flush().await?;
            self.wire.read().await?;
        }
    }

    fn check_body(&self, body: &ReceivedBody) {
        for violation in &body.violations {
            self.violation(violation);
        }
        let allowed = self.envelope.as_ref().is_some_and(TransactionEnvelope::allows_eight_bits);
        if body.has_eight_bits && !allowed {
            self.violation("8-bit content without BODY=8BITMIME");
        }
        if !self.shared.options.pipelining && !self.wire.pending().is_empty() {
            self.violation("more follows the final dot before its reply although pipelining is not offered");
        }
    }

    /// Records the mail before replying, so that a client that has read the reply finds the mail in
    /// the record.
    async fn finish(&mut self, body: ReceivedBody) -> Result<(), SessionEnd> {
        let usual = if body.data.len() > self.shared.options.size.unwrap_or(usize::MAX) {
            ServerReply::new(552, "5.3.4 Message too big")
        } else {
            let number = self.envelope.as_ref().map_or(0, |envelope| envelope.number);
            ServerReply::new(250, format!("2.0.0 Ok: queued as {number}"))
        };
        let read_at = Instant::now();
        self.is_ahead = !self.wire.pending().is_empty();
        if self.is_ahead {
            self.shared.ledger.count_ahead();
        }
        let action = self.matching_fault(FaultPhase::Dot).await?;
        let is_stored = action.as_ref().map_or(is_yes(usual.code), |action| action.stores(usual.code));
        if let Some(envelope) = self.envelope.take_if(|_| is_stored) {
            self.store(envelope, body.data, read_at);
        }
        (self.envelope, self.mail_group) = (None, None);
        self.perform(action, usual).await?;
        self.is_idle = true;
        Ok(())
    }

    fn store(&mut self, envelope: TransactionEnvelope, data: Vec<u8>, at: Instant) {
        self.accepted += 1;
        self.shared.ledger.add(Received {
            at,
            at_system: SystemTime::now(),
            connection: self.number,
            nth_on_connection: self.accepted,
            mail_from: envelope.sender,
            params: envelope.params,
            rcpt_to: envelope.recipients,
            data,
            tls: self.tls,
            auth_user: self.user.clone(),
        });
    }
}
