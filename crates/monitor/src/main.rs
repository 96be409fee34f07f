//! The `postroom-monitor` process.

fn main() {}
