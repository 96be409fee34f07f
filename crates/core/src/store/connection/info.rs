//! Replies of INFO: one field per line.

/// Text of an INFO reply.
#[derive(Debug, Default)]
pub(in crate::store) struct Info(String);

impl Info {
    pub(in crate::store) fn new(text: String) -> Self {
        Self(text)
    }

    /// Returns a field by its name, or an empty string if the server does not report it.
    pub(in crate::store) fn field(&self, name: &str) -> &str {
        self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or_default().trim()
    }
}
