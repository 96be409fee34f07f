//! Template rendering, MIME composition, mail transports and delivery verdicts.
//!
//! A mail is processed in three steps, each of which can be tested alone:
//!
//! 1. [`Templates::render_mail`] renders subject, text and HTML of a mail ([`Rendered`]).
//! 2. [`compose`] turns the mail and its rendered content into an envelope and bytes ([`Message`]).
//!    The bytes are the same on every attempt.
//! 3. [`Transport::send`] sends the message and returns an [`Attempt`]: the result for the mail and
//!    for each recipient, judged by one table ([`Verdict`]).
//!
//! Rendering and composing are bounded in time and memory, whatever the content. [`run_blocking`]
//! runs CPU-heavy work on a blocking thread, away from the threads that serve network I/O.
//!
//! [`Webhooks`] sends events to URLs.
//!
//! This crate depends on neither jobs nor the store. The caller passes the step before the commit
//! point of a mail as a future ([`Commit`]), and stores captured mail through its [`CaptureSink`].

mod advice;
mod attempt;
mod blocking;
mod compose;
mod hint;
mod html;
mod http;
mod message;
mod rendered;
mod templates;
mod tls;
mod transport;
mod verdict;
mod webhook;

pub use attempt::{Attempt, RecipientOutcome};
pub use blocking::run_blocking;
pub use compose::{ComposeError, compose};
pub use hint::{Hint, Scope};
pub use message::{AsciiForm, HeaderCharset, Identity, Message, MessageEnvelope};
pub use postroom_smtp::Commit;
pub use rendered::Rendered;
pub use templates::{
    HeaderTemplates, LoadError, NamesInUse, RenderError, TemplateInfo, Templates, Variables, short_name,
};
pub use transport::{
    BadTransport, CaptureFuture, CaptureSink, CapturedMessage, FileTransport, LoginError, ResendTransport,
    SmtpTransport, Transport, login_check,
};
pub use verdict::{Blame, Verdict};
pub use webhook::{Webhook, Webhooks};
