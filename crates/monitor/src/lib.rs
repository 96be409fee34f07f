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
//! | everything else | pages | password, by `/login` |

mod act;
mod api;
mod app;
mod assets;
mod captured_mail;
mod chart;
mod failure;
mod flags;
mod flash;
mod guard;
mod health;
mod link;
mod listen;
mod metrics;
mod moment;
mod page;
mod presence;
mod preview;
mod query;
mod router;
mod serve;
mod snapshot;
mod warning;

pub use flags::Flags;
pub use listen::listen;
pub use serve::serve;
