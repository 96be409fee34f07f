//! Who has logged in, and what only they can know.
//!
//! A session is a random id that only the browser has. The store knows it by its hash, an HMAC under a key that is derived
//! from the password: a session holds at every monitor, outlives a restart, and ends at logout, after its time, or when
//! the password is changed. The derivation is slow on purpose: what is in Redis must not be a cheap way to guess the
//! password.

use std::{num::NonZeroU32, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    hmac, pbkdf2,
    rand::{SecureRandom, SystemRandom},
};
use secrecy::{ExposeSecret, SecretString};

use super::password::random_key;

/// For how long a login holds.
pub(crate) const LASTS: Duration = Duration::from_secs(12 * 3_600);

const ROUNDS: NonZeroU32 = NonZeroU32::new(200_000).expect("more than none");

/// Hashes sessions, and seals what belongs to one.
#[derive(Debug)]
pub(crate) struct Sealer(hmac::Key);

impl Sealer {
    pub(super) fn new(password: Option<&SecretString>) -> Self {
        Self(password.map_or_else(random_key, derived_key))
    }

    /// The name of a session in the store.
    pub(crate) fn hash(&self, session: &str) -> String {
        self.seal("session", session)
    }

    /// What a form of this session's pages holds, and no other site can know.
    pub(super) fn form_token(&self, session: &str) -> String {
        self.seal("form", session)
    }

    pub(super) fn is_form_token(&self, session: &str, token: &str) -> bool {
        self.is_seal("form", session, token)
    }

    /// The proof that this session was shown a mail with an image.
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

/// A session that nobody had before.
pub(crate) fn new_session() -> String {
    let mut bytes = [0_u8; 32];
    #[expect(clippy::expect_used, reason = "without the system's random numbers nothing here is safe")]
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
    fn a_session_is_known_under_its_password_only() {
        let (sealer, other) = (Sealer::new(Some(&"one".into())), Sealer::new(Some(&"two".into())));
        let session = new_session();
        assert_eq!(sealer.hash(&session), Sealer::new(Some(&"one".into())).hash(&session), "after a restart");
        assert_ne!(sealer.hash(&session), other.hash(&session), "another password");
        assert!(session.len() == 43 && session != new_session());
    }

    #[test]
    fn a_seal_is_for_one_purpose_of_one_session() {
        let sealer = Sealer::new(None);
        let token = sealer.form_token("a");
        assert!(sealer.is_form_token("a", &token));
        for (session, token) in [("b", token.as_str()), ("a", ""), ("a", "AAAA"), ("a", &sealer.hash("a"))] {
            assert!(!sealer.is_form_token(session, token));
        }
        assert!(!Sealer::new(None).is_form_token("a", &token), "another run");
        let proof = sealer.image_proof("hash", "mail", 1);
        assert!(sealer.is_image_proof("hash", "mail", 1, &proof));
        for (hash, mail, number) in [("other", "mail", 1), ("hash", "other", 1), ("hash", "mail", 2)] {
            assert!(!sealer.is_image_proof(hash, mail, number, &proof));
        }
    }
}
