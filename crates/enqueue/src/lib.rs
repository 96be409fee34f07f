//! The library for applications: enqueues mail for the workers, or sends it in the foreground.
//!
//! [`Postroom`] enqueues a mail and returns at once; workers send it. The command line `postroom`
//! is built on this crate.
//!
//! ```no_run
//! # async fn signup() -> postroom_enqueue::Result<()> {
//! use postroom_enqueue::{Mail, Postroom};
//!
//! let postroom = Postroom::connect("redis://127.0.0.1:6379/0").await?;
//! let mail = Mail {
//!     to: vec!["Ann <ann@example.org>".parse()?],
//!     subject: Some("Welcome".to_owned()),
//!     text: Some("It is good to have you here.".into()),
//!     ..Mail::default()
//! };
//! let id = postroom.send(mail).await?;
//! # let _ = id;
//! # Ok(())
//! # }
//! ```

mod backoff;
mod bulk;
mod bulk_checker;
mod check;
mod coalescer;
mod error;
mod fingerprint;
mod foreground;
mod options;
mod postroom;
mod replay_buffer;
mod send;

pub use bulk::{Bulk, BulkInput, BulkSummary};
pub use bulk_checker::BulkChecker;
pub use check::MailProblem;
pub use error::{Error, NotSent, Result};
pub use foreground::SentNow;
pub use options::Options;
pub use postroom::Postroom;
pub use postroom_core::{
    Addressee, Attachment, BatchId, BatchReport, Body, Content, EmailAddress, EnvelopePattern, HttpUrl, InvalidInput,
    JobId, JobReport, JobState, Mail, Mailbox, MailboxList, Pace, Priority, QueueName, Rate, Settings, store::Due,
};
pub use postroom_mail::{HeaderTemplates, NamesInUse, RenderError, short_name};
pub use send::SendMail;
