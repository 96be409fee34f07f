//! Sessions of logged-in visitors, and secrets bound to them.
//!
//! A session is a random id that only the browser stores. The store contains its HMAC under a key
//! derived from the password. So a session is valid at every monitor and after a restart. It ends
//! at logout, on expiry, or when the password changes. The derivation is slow on purpose: the hash
//! in Redis must not help to guess the password.

use std::{num::NonZeroU32, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    hmac, pbkdf2,
    rand::{SecureRandom, SystemRandom},
};
use secrecy::{ExposeSecret, SecretString};

use super::password::random_key;

/// Name of the session cookie.
pub(crate) const SESSION: &str = "postroom_session";
/// Lifetime of a session.
pub(crate) const LIFETIME: Duration = Duration::from_secs(12 * 3_600);

const ROUNDS: NonZeroU32 = NonZeroU32::new(200_000).expect("a number above 0");

/// Computes hashes of sessions, and HMACs of values that belong to a session.
#[derive(Debug)]
pub(crate) struct SessionKey(hmac::Key);

impl SessionKey {
    pub(super) fn new(password: Option<&SecretString>) -> Self {
        Self(password.map_or_else(random_key, derived_key))
    }

    /// Returns the name of a session in the store.
    pub(crate) fn hash(&self, session: &str) -> String {
        self.seal("session", session)
    }

    /// Returns the token of this session's forms, which other sites can't know.
    pub(super) fn form_token(&self, session: &str) -> String {
        self.seal("form", session)
    }

    pub(crate) fn is_form_token(&self, session: &str, token: &str) -> bool {
        self.is_seal("form", session, token)
    }

    /// Returns the proof that this session has access to an image of a mail.
    pub(super) fn image_proof(&self, hash: &str, mail: &str, number: usize) -> String {
        self.seal("image", &format!("{hash}\n{mail}\n{number}"))
    }

    pub(super) fn is_image_proof(&self, hash: &str, mail: &str, number: usize, proof: &str) -> bool {
        self.is_seal("image", &format!("{hash}\n{mail}\n{number}"), proof)
    }

    fn seal(&self, purpose: &str, text: &str) -> String {
        URL_SAFE_NO_PAD.encode(hmac::sign(&self.0, &message(purpose, text)))
    }

    fn is_seal(&self, purpose: &str, text: &str, seal: &str) -> bool {
        let seal = URL_SAFE_NO_PAD.decode(seal);
        seal.is_ok_and(|seal| hmac::verify(&self.0, &message(purpose, text), &seal).is_ok())
    }
}

/// Returns a new random session id.
pub(crate) fn new_session() -> String {
    let mut bytes = [0_u8; 32];
    #[expect(clippy::expect_used, reason = "access control is unsafe without the system's random numbers")]
    SystemRandom::new().fill(&mut bytes).expect("the system's random numbers");
    URL_SAFE_NO_PAD.encode(bytes)
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
    fn the_hash_of_a_session_depends_on_the_password() {
        let (session_key, other) = (SessionKey::new(Some(&"one".into())), SessionKey::new(Some(&"two".into())));
        let session = new_session();
        assert_eq!(session_key.hash(&session), SessionKey::new(Some(&"one".into())).hash(&session), "after a restart");
        assert_ne!(session_key.hash(&session), other.hash(&session), "another password");
        assert!(session.len() == 43 && session != new_session());
    }

    #[test]
    fn a_seal_is_valid_for_one_purpose_of_one_session() {
        let session_key = SessionKey::new(None);
        let token = session_key.form_token("a");
        assert!(session_key.is_form_token("a", &token));
        for (session, token) in [("b", token.as_str()), ("a", ""), ("a", "AAAA"), ("a", &session_key.hash("a"))] {
            assert!(!session_key.is_form_token(session, token));
        }
        assert!(!SessionKey::new(None).is_form_token("a", &token), "another key");
        let proof = session_key.image_proof("hash", "mail", 1);
        assert!(session_key.is_image_proof("hash", "mail", 1, &proof));
        for (hash, mail, number) in [("other", "mail", 1), ("hash", "other", 1), ("hash", "mail", 2)] {
            assert!(!session_key.is_image_proof(hash, mail, number, &proof));
        }
    }
}
