//! Three-valued logic: what is known of rendered HTML from a template's source.

/// Whether something holds in the rendered HTML. The least certain comes first, so that `min` is
/// "and" and `max` is "or".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Certainty {
    /// In no rendering.
    No,
    /// Depends on the variables or on another file.
    Maybe,
    /// In each rendering.
    Yes,
}

impl Certainty {
    pub(super) fn of(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }

    pub(super) fn not(self) -> Self {
        match self {
            Self::No => Self::Yes,
            Self::Maybe => Self::Maybe,
            Self::Yes => Self::No,
        }
    }

    /// At most "maybe", if a condition holds.
    pub(super) fn unsure_if(self, condition: bool) -> Self {
        if condition { self.min(Self::Maybe) } else { self }
    }
}
