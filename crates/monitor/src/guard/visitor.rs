//! Visitors of the dashboard.

use super::access::AccessGuard;

/// A visitor who was admitted.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    pub(crate) session: String,
    pub(super) hash: String,
    /// Token of the forms on the visitor's pages.
    pub(crate) form_token: String,
}

impl Visitor {
    pub(crate) fn of_session(guard: &AccessGuard, session: &str) -> Self {
        let (hash, form_token) = (guard.session_key().hash(session), guard.session_key().form_token(session));
        Self { session: session.to_owned(), hash, form_token }
    }

    /// Returns the name of the session in the store.
    pub(crate) fn hash(&self) -> &str {
        &self.hash
    }
}
