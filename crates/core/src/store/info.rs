//! What INFO says, a fact a line.

/// The text of an INFO reply.
#[derive(Debug, Default)]
pub(super) struct Info(String);

impl Info {
    pub(super) fn new(text: String) -> Self {
        Self(text)
    }

    /// A fact by its name; empty when the server does not tell it.
    pub(super) fn fact(&self, name: &str) -> &str {
        self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or_default().trim()
    }
}
