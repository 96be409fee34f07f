//! AUTH PLAIN and AUTH LOGIN.

use super::{ServerSession, SessionEnd};
use crate::smtp::fault::FaultPhase;
use crate::smtp::reply::{ServerReply, is_yes};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

impl ServerSession {
    pub(super) async fn auth(&mut self, mechanism: &str, initial: Option<String>) -> Result<(), SessionEnd> {
        let Some(expected) = self.shared.options.login.clone() else {
            return self.reply_to_violation("AUTH was not offered", &ServerReply::new(503, "5.5.1 Not offered"));
        };
        if !self.shared.options.mechanisms.iter().any(|offered| offered.eq_ignore_ascii_case(mechanism)) {
            return self.reply_to_violation(
                "an AUTH mechanism that was not offered",
                &ServerReply::new(504, "5.5.4 Unknown mechanism"),
            );
        }
        let credentials = match mechanism {
            "PLAIN" => self.plain(initial).await?,
            "LOGIN" => self.login(initial).await?,
            _ => return self.reply(&ServerReply::new(504, "5.5.4 Only announced")),
        };
        let usual = match &credentials {
            Some(credentials) if *credentials == expected => ServerReply::new(235, "2.7.0 Welcome"),
            Some(_) => ServerReply::new(535, "5.7.8 Wrong user or password"),
            None => ServerReply::new(501, "5.5.2 Not readable"),
        };
        if is_yes(self.answer(FaultPhase::Auth, usual).await?) {
            self.user = credentials.map(|(user, _)| user);
        }
        Ok(())
    }

    async fn plain(&mut self, initial: Option<String>) -> Result<Option<(String, String)>, SessionEnd> {
        let Some(text) = self.response(initial, "").await? else { return Ok(None) };
        let mut parts = text.split('\0').skip(1).map(str::to_owned);
        Ok(parts.next().zip(parts.next()))
    }

    async fn login(&mut self, initial: Option<String>) -> Result<Option<(String, String)>, SessionEnd> {
        let Some(user) = self.response(initial, "Username:").await? else { return Ok(None) };
        let password = self.response(None, "Password:").await?;
        Ok(password.map(|password| (user, password)))
    }

    /// Returns the initial response or the response to a challenge; `None` if it is invalid.
    async fn response(&mut self, initial: Option<String>, challenge: &str) -> Result<Option<String>, SessionEnd> {
        let encoded = match initial {
            Some(initial) => initial,
            None => {
                self.wire.write(&ServerReply::new(334, STANDARD.encode(challenge)).bytes());
                let line = self.next_line().await?;
                self.shared.ledger.command(self.number, &line);
                line
            }
        };
        Ok(STANDARD.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok()))
    }
}
