//! Runs an action for each argument of a command.

use crate::{console::Console, exit::Result};

/// Runs `action` for every argument. The first error is returned, later ones are printed.
pub(crate) async fn each<T>(console: Console, all: &[T], action: impl AsyncFn(&T) -> Result<()>) -> Result<()> {
    let mut first = None;
    for one in all {
        match (action(one).await, &first) {
            (Ok(()), _) => {}
            (Err(error), None) => first = Some(error),
            (Err(error), Some(_)) => console.fail(&error),
        }
    }
    first.map_or(Ok(()), Err)
}
