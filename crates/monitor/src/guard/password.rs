//! The password, compared in constant time.

use ring::{hmac, rand::SystemRandom};
use secrecy::{ExposeSecret, SecretString};

/// The password, kept as a tag under a key that only this run knows: comparing tags takes the same time whatever was said.
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

    pub(super) fn is(&self, said: &str) -> bool {
        hmac::verify(&self.key, said.as_bytes(), self.tag.as_ref()).is_ok()
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(…)")
    }
}

/// A key that nobody else has.
pub(super) fn random_key() -> hmac::Key {
    #[expect(clippy::expect_used, reason = "without the system's random numbers nothing here is safe")]
    hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).expect("the system's random numbers")
}
