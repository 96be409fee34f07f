//! Permits.

pub(crate) mod cpu;
