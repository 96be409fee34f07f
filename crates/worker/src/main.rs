//! The `postroom-worker` process.

fn main() {}
