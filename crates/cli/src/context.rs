//! The context of a command.

use postroom_enqueue::Postroom;

use crate::console::Console;

/// The console and the library, as set up for one command.
pub(crate) struct Context {
    pub(crate) console: Console,
    pub(crate) postroom: Postroom,
}
