//! Web dashboard of Postroom: running processes, failures, and the state of each mail.
//!
//! The dashboard reads, and offers a few actions: retry, cancel, resolve, pause, resume. Mail
//! delivery does not depend on it. [`listen`] opens the port, and refuses a reachable address
//! without a password. [`serve`] answers requests until shutdown.
//!
//! Pages are rendered on the server; the script only refreshes them. Paths and the access they
//! require:
//!
//! | path | content | access |
//! | --- | --- | --- |
//! | `/healthz` | `ok`, or 503 and the reason | public |
//! | `/metrics` | OpenMetrics text, see `metrics.rs` | password, also by HTTP Basic |
//! | `/api/…` | JSON, as of `postroom … --json` | password, also by HTTP Basic |
//! | `/captured/{id}/image/{number}` | image of a captured mail | proof in the address |
//! | everything else | pages | password, by `/login` |
//!
//! The API has the paths `overview`, `jobs`, `jobs/{id}`, `batches`, `batches/{id}`, `queues`,
//! `workers` and `schedules`.
//!
//! Without a password, requests through a proxy are refused, and requests whose host is not a
//! loopback name.

mod action;
mod admission;
mod api;
mod app;
mod assets;
mod bounded_query;
mod captured_mail;
mod chart;
mod connection;
mod cookie;
mod error_pages;
mod flags;
mod flash;
mod guard;
mod handler_error;
mod health;
mod inert;
mod inventory;
mod listen;
mod metrics;
mod page;
mod preview;
mod query;
mod router;
mod serve;
mod signed_form;
mod snapshot;
mod time_format;
mod warning;

pub use flags::Flags;
pub use listen::listen;
pub use serve::serve;
