//! MAIL and RCPT.

use super::{ServerSession, SessionEnd};
use crate::smtp::builder::TlsMode;
use crate::smtp::command::Path;
use crate::smtp::fault::{Action, FaultPhase};
use crate::smtp::reply::{ServerReply, is_yes};

/// Envelope of the current transaction.
#[derive(Debug)]
pub(super) struct TransactionEnvelope {
    /// Number among all transactions of the server.
    pub(super) number: usize,
    pub(super) sender: String,
    pub(super) params: Vec<String>,
    /// Accepted recipients.
    pub(super) recipients: Vec<String>,
    /// Number of RCPT commands.
    pub(super) rcpts: usize,
}

impl TransactionEnvelope {
    pub(super) fn allows_eight_bits(&self) -> bool {
        self.has("BODY=8BITMIME") || self.has("SMTPUTF8")
    }

    fn has(&self, param: &str) -> bool {
        self.params.iter().any(|found| found.eq_ignore_ascii_case(param))
    }
}

impl ServerSession {
    pub(super) async fn mail(&mut self, path: Path) -> Result<(), SessionEnd> {
        if self.envelope.is_some() {
            return self.reply_to_violation("MAIL inside a transaction", &ServerReply::new(503, "5.5.1 Nested MAIL"));
        }
        if self.accepted >= self.shared.options.max_messages {
            self.mail_group = Some(self.group);
            let refusal = self.shared.options.spent.clone();
            return self.perform(Some(refusal), ServerReply::none()).await.map(drop);
        }
        self.mail_group = Some(self.group);
        if let Some(refusal) = self.too_fast() {
            return self.perform(Some(refusal), ServerReply::none()).await.map(drop);
        }
        let number = self.shared.ledger.transaction();
        self.message = Some(number);
        let envelope =
            TransactionEnvelope { number, sender: path.address, params: path.params, recipients: Vec::new(), rcpts: 0 };
        let usual = self.judge_sender(&envelope);
        self.envelope = Some(envelope);
        if !is_yes(self.answer(FaultPhase::Mail, usual).await?) {
            self.envelope = None;
        }
        Ok(())
    }

    pub(super) async fn rcpt(&mut self, path: Path) -> Result<(), SessionEnd> {
        let Some(envelope) = &mut self.envelope else {
            return self.refuse_without_mail("RCPT");
        };
        envelope.rcpts += 1;
        let (number, accepted) = (envelope.rcpts, envelope.recipients.len());
        let usual = if !path.address.is_ascii() && !envelope.has("SMTPUTF8") {
            self.violation("a recipient needs SMTPUTF8, which MAIL did not request");
            ServerReply::new(553, "5.6.7 SMTPUTF8 needed")
        } else if accepted >= self.shared.options.max_recipients {
            ServerReply::new(452, "4.5.3 Too many recipients")
        } else {
            ServerReply::new(250, "2.1.5 Ok")
        };
        let action = self.matching_rcpt_fault(number, &path.address).await?;
        if is_yes(self.perform(action, usual).await?) {
            self.envelope.iter_mut().for_each(|envelope| envelope.recipients.push(path.address.clone()));
        }
        Ok(())
    }

    /// Refuses a command outside a transaction. If MAIL was refused in the same group, a pipelining
    /// client expects this reply; otherwise it is a violation.
    pub(super) fn refuse_without_mail(&mut self, what: &str) -> Result<(), SessionEnd> {
        if self.mail_group != Some(self.group) {
            self.violation(&format!("{what} outside a transaction"));
        }
        self.reply(&ServerReply::new(503, "5.5.1 MAIL first"))
    }

    fn too_fast(&self) -> Option<Action> {
        let (per_second, refusal) = self.shared.options.rate.as_ref()?;
        (!self.shared.pace.allows(*per_second)).then(|| refusal.clone())
    }

    fn judge_sender(&self, envelope: &TransactionEnvelope) -> ServerReply {
        if !self.greeted {
            self.violation("MAIL before EHLO");
            return ServerReply::new(503, "5.5.1 EHLO first");
        }
        if self.shared.options.tls == Some(TlsMode::StartTlsRequired) && !self.tls {
            return ServerReply::new(530, "5.7.0 STARTTLS first");
        }
        if self.shared.options.login.is_some() && self.user.is_none() {
            return ServerReply::new(530, "5.7.0 Authentication required");
        }
        if let Some(param) = envelope.params.iter().find(|param| !self.is_offered(param)) {
            self.violation(&format!("MAIL has {param}, which was not offered"));
            return ServerReply::new(555, "5.5.4 Unknown parameter");
        }
        if !envelope.sender.is_ascii() && !envelope.has("SMTPUTF8") {
            self.violation("the sender needs SMTPUTF8, which MAIL did not request");
            return ServerReply::new(553, "5.6.7 SMTPUTF8 needed");
        }
        if self.announced_size(envelope) > self.shared.options.size.unwrap_or(usize::MAX) {
            return ServerReply::new(552, "5.3.4 Message too big");
        }
        ServerReply::new(250, "2.1.0 Ok")
    }

    fn is_offered(&self, param: &str) -> bool {
        let options = &self.shared.options;
        let (name, value) = param.split_once('=').unwrap_or((param, ""));
        match (name.to_ascii_uppercase().as_str(), value.to_ascii_uppercase().as_str()) {
            ("SIZE", size) => options.size.is_some() && size.parse::<usize>().is_ok(),
            ("BODY", "7BIT" | "8BITMIME") => options.eight_bit_mime,
            ("SMTPUTF8", "") => options.smtputf8,
            ("AUTH", _) => options.login.is_some(),
            _ => false,
        }
    }

    fn announced_size(&self, envelope: &TransactionEnvelope) -> usize {
        let mut values = envelope.params.iter().filter_map(|param| param.split_once('='));
        let size = values.find(|(name, _)| name.eq_ignore_ascii_case("SIZE"));
        size.and_then(|(_, value)| value.parse().ok()).unwrap_or(0)
    }
}
