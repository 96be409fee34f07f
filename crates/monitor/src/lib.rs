//! A web dashboard for Postroom: what runs, what failed, what became of a mail.
//!
//! It reads, and does the few things a person may do: retry, cancel, resolve, pause, resume. Mail flows without it.
//! [`listen`] opens the port, refusing an open address without a password; [`serve`] answers until it is asked to stop.
//!
//! Pages are made on the server; the script only refreshes them. What may be asked, by whom:
//!
//! | path | what | who |
//! | --- | --- | --- |
//! | `/healthz` | `ok`, or 503 and the reason | everybody |
//! | `/metrics` | OpenMetrics text, see `metrics.rs` | password, also as HTTP Basic |
//! | `/api/overview`, `jobs`, `jobs/{id}`, `batches`, `batches/{id}`, `queues`, `workers`, `schedules` | JSON as of `postroom … --json` | password, also as HTTP Basic |
//! | `/captured/{id}/image/{number}` | an image of a captured mail | who was shown the mail: the address holds a proof |
//! | everything else | pages | password, by `/login` |
//!
//! Without a password requests that came through a proxy, or that name this machine otherwise than by a loopback name,
//! are refused.

mod act;
mod api;
mod app;
mod asked;
mod assets;
mod captured_mail;
mod chart;
mod connection;
mod failure;
mod flags;
mod flash;
mod guard;
mod health;
mod inert;
mod listen;
mod metrics;
mod moment;
mod page;
mod preview;
mod query;
mod router;
mod serve;
mod snapshot;
mod warning;

pub use flags::Flags;
pub use listen::listen;
pub use serve::serve;
