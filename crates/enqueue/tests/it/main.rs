//! Tests of the library as an application uses it.

mod durability;
mod hostile;
mod library;
