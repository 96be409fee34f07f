//! The same for each of several things that a command names.

use super::{console::Console, exit::Result};

/// All are tried; the first failure decides the exit code, the others are told too.
pub(crate) async fn each<T>(console: Console, all: &[T], act: impl AsyncFn(&T) -> Result<()>) -> Result<()> {
    let mut first = None;
    for one in all {
        match (act(one).await, &first) {
            (Ok(()), _) => {}
            (Err(failure), None) => first = Some(failure),
            (Err(failure), Some(_)) => console.fail(&failure),
        }
    }
    first.map_or(Ok(()), Err)
}
