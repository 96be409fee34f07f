//! Every way into Postroom.
//!
//! For applications in Rust, [`Postroom`]: it hands a mail over to the workers and returns at once, or sends it in the
//! foreground. For everybody else the command line `postroom`, which is made from the same parts.
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

mod bulk;
mod check;
pub mod commands;
mod error;
mod fingerprint;
mod foreground;
mod options;
mod patience;
mod postroom;
mod send;
mod shared;
mod together;
mod unkept;

pub use bulk::{Bulk, BulkInput, BulkSummary};
pub use error::{Error, NotSent, Result};
pub use foreground::SentNow;
pub use options::Options;
pub use postroom::Postroom;
pub use postroom_core::{
    Addressee, Attachment, BatchId, BatchReport, Body, Content, EmailAddress, HttpUrl, InvalidInput, JobId, JobReport,
    JobState, Mail, Mailbox, Pace, Priority, QueueName, Rate, Settings, store::Due,
};
pub use send::SendMail;
