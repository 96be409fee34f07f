//! Who has logged in: nothing is stored, a seal says it.
//!
//! A session is `<until>.<seal>`, the seal an HMAC over the time until which it holds. Its key is derived from the
//! password, so that sessions outlive a restart, hold at every monitor, and end when the password is changed. The
//! derivation is slow on purpose: a stolen cookie must not be a cheap way to guess the password.

use std::num::NonZeroU32;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{hmac, pbkdf2};
use secrecy::{ExposeSecret, SecretString};

use super::password::random_key;

/// For how long a login holds, in seconds.
pub(crate) const LASTS_S: u64 = 12 * 3_600;

const ROUNDS: NonZeroU32 = NonZeroU32::new(200_000).expect("more than none");

/// Seals sessions and forms.
#[derive(Debug)]
pub(crate) struct Sealer(hmac::Key);

impl Sealer {
    pub(super) fn new(password: Option<&SecretString>) -> Self {
        Self(password.map_or_else(random_key, derived_key))
    }

    /// A session from now (Unix seconds) on.
    pub(crate) fn session(&self, now_s: u64) -> String {
        let until = (now_s + LASTS_S).to_string();
        let seal = self.seal("session", &until);
        format!("{until}.{seal}")
    }

    pub(super) fn is_session(&self, session: &str, now_s: u64) -> bool {
        let Some((until, seal)) = session.split_once('.') else { return false };
        self.is_seal("session", until, seal) && until.parse::<u64>().is_ok_and(|until| now_s < until)
    }

    /// What a form of this session's pages holds, and no other site can know.
    pub(super) fn form_token(&self, session: &str) -> String {
        self.seal("form", session)
    }

    pub(super) fn is_form_token(&self, session: &str, token: &str) -> bool {
        self.is_seal("form", session, token)
    }

    fn seal(&self, purpose: &str, text: &str) -> String {
        URL_SAFE_NO_PAD.encode(hmac::sign(&self.0, &message(purpose, text)))
    }

    fn is_seal(&self, purpose: &str, text: &str, seal: &str) -> bool {
        let seal = URL_SAFE_NO_PAD.decode(seal);
        seal.is_ok_and(|seal| hmac::verify(&self.0, &message(purpose, text), &seal).is_ok())
    }
}

fn message(purpose: &str, text: &str) -> Vec<u8> {
    format!("{purpose}\n{text}").into_bytes()
}

fn derived_key(password: &SecretString) -> hmac::Key {
    let mut bytes = [0_u8; 32];
    let secret = password.expose_secret().as_bytes();
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ROUNDS, b"postroom monitor session", secret, &mut bytes);
    hmac::Key::new(hmac::HMAC_SHA256, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_holds_until_it_ends_and_with_its_password_only() {
        let (sealer, other) = (Sealer::new(Some(&"one".into())), Sealer::new(Some(&"two".into())));
        let session = sealer.session(1_000);
        assert!(sealer.is_session(&session, 1_000 + LASTS_S - 1));
        assert!(Sealer::new(Some(&"one".into())).is_session(&session, 1_001), "after a restart");
        assert!(!sealer.is_session(&session, 1_000 + LASTS_S), "too late");
        assert!(!other.is_session(&session, 1_001), "another password");
        let (until, seal) = session.split_once('.').expect("two parts");
        let longer = until.parse::<u64>().expect("a number") + 1;
        for forged in [format!("{longer}.{seal}"), format!("{until}."), until.to_owned(), String::new()] {
            assert!(!sealer.is_session(&forged, 1_001), "{forged}");
        }
    }

    #[test]
    fn a_form_belongs_to_its_session_and_is_no_session() {
        let sealer = Sealer::new(None);
        let token = sealer.form_token("a");
        assert!(sealer.is_form_token("a", &token));
        for (session, token) in [("b", token.as_str()), ("a", ""), ("a", "AAAA")] {
            assert!(!sealer.is_form_token(session, token));
        }
        assert!(!sealer.is_session(&format!("99999999999.{}", sealer.form_token("99999999999")), 0));
        assert!(!Sealer::new(None).is_form_token("a", &token), "another run");
    }
}
