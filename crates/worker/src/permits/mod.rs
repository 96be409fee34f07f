//! Permits.

pub(crate) mod cpu;
pub(crate) mod limits;
