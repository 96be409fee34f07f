//! The password, compared in constant time.

use ring::{hmac, rand::SystemRandom};
use secrecy::{ExposeSecret, SecretString};

/// The password, stored as an HMAC under a random key. Comparing HMACs takes the same time for any
/// input.
pub(super) struct Password {
    key: hmac::Key,
    tag: hmac::Tag,
}

impl Password {
    pub(super) fn new(password: &SecretString) -> Self {
        let key = random_key();
        let tag = hmac::sign(&key, password.expose_secret().as_bytes());
        Self { key, tag }
    }

    pub(super) fn is(&self, text: &str) -> bool {
        hmac::verify(&self.key, text.as_bytes(), self.tag.as_ref()).is_ok()
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Returns a new random key.
pub(super) fn random_key() -> hmac::Key {
    #[expect(clippy::expect_used, reason = "access control is unsafe without the system's random numbers")]
    hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).expect("the system's random numbers")
}
