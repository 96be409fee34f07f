//! The connection to Redis: location of the server, reconnects, resync state, durability.
//!
//! Only the settings and the names of keys are used here. Scripts and all other folders build on
//! [`Store`].

mod client;
mod durability;
mod info;
mod lazy_store;
mod redis_error;
mod rounds;
mod run;
mod sentinel;
mod server;
mod server_info;
mod shared;
mod store;
mod wake_listener;

pub use lazy_store::LazyStore;
pub use rounds::Durability;
pub use run::RunId;
pub use server_info::ServerInfo;
pub use store::Store;
pub use wake_listener::WakeListener;
