//! DATA, content and final dot.

use super::transaction::Envelope;
use super::{End, Session};
use crate::smtp::body::Body;
use crate::smtp::fault::Phase;
use crate::smtp::ledger::Received;
use crate::smtp::reply::{Reply, is_yes};
use std::time::{Instant, SystemTime};

impl Session {
    pub(super) async fn data(&mut self) -> Result<(), End> {
        let Some(envelope) = &self.envelope else {
            return self.refuse_without_mail("DATA");
        };
        let usual = if envelope.recipients.is_empty() {
            Reply::new(554, "5.5.1 No valid recipients")
        } else {
            Reply::new(354, "End data with <CR><LF>.<CR><LF>")
        };
        let code = self.answer(Phase::Data, usual).await?;
        if code != 354 {
            return Ok(());
        }
        self.check_patience().await;
        let body = self.read_body().await?;
        self.check_body(&body);
        self.finish(body).await
    }

    /// Records a violation if the client sent content before it read the 354 reply.
    async fn check_patience(&mut self) {
        if self.wire.pending().is_empty() {
            self.wire.read_ready().await;
            if !self.wire.pending().is_empty() {
                self.violation("content came before 354 was sent");
            }
        }
    }

    async fn read_body(&mut self) -> Result<Body, End> {
        let mut body = Body::new();
        self.wire.flush().await?;
        if self.wire.pending().is_empty() {
            self.wire.read().await?;
        }
        let mut came = 0;
        loop {
            let all = body.wire_bytes + self.wire.pending().len();
            self.answer_to_content(came..all).await?;
            came = all;
            while let Some(line) = self.wire.take_line() {
                if body.push(&line) {
                    return Ok(body);
                }
            }
            self.wire.flush().await?;
            self.wire.read().await?;
        }
    }

    fn check_body(&self, body: &Body) {
        for violation in &body.violations {
            self.violation(violation);
        }
        let allowed = self.envelope.as_ref().is_some_and(Envelope::allows_eight_bits);
        if body.has_eight_bits && !allowed {
            self.violation("8-bit content without BODY=8BITMIME");
        }
        if !self.shared.options.pipelining && !self.wire.pending().is_empty() {
            self.violation("more follows the final dot before its reply although pipelining is not offered");
        }
    }

    /// Records the mail before replying, so that a client that has read the reply finds the mail in
    /// the record.
    async fn finish(&mut self, body: Body) -> Result<(), End> {
        let usual = if body.data.len() > self.shared.options.size.unwrap_or(usize::MAX) {
            Reply::new(552, "5.3.4 Message too big")
        } else {
            let number = self.envelope.as_ref().map_or(0, |envelope| envelope.number);
            Reply::new(250, format!("2.0.0 Ok: queued as {number}"))
        };
        let came_at = Instant::now();
        self.is_ahead = !self.wire.pending().is_empty();
        if self.is_ahead {
            self.shared.ledger.came_ahead();
        }
        let action = self.trouble(Phase::Dot).await?;
        let kept = action.as_ref().map_or(is_yes(usual.code), |action| action.keeps(usual.code));
        if let Some(envelope) = self.envelope.take_if(|_| kept) {
            self.keep(envelope, body.data, came_at);
        }
        (self.envelope, self.mail_flight) = (None, None);
        self.perform(action, usual).await?;
        self.is_idle = true;
        Ok(())
    }

    fn keep(&mut self, envelope: Envelope, data: Vec<u8>, at: Instant) {
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
