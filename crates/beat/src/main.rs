//! The `postroom-beat` process.

fn main() {}
