//! From template to MIME to transport to verdict.
//!
//! A mail goes through here in three steps, each of which can be tested alone:
//!
//! 1. [`Templates::render_mail`] turns a mail into its words: subject, text, HTML ([`Rendered`]).
//! 2. [`compose`] turns mail and words into bytes and an envelope ([`Message`]): the same bytes on every attempt.
//! 3. [`Transport::send`] hands them over and says in one [`Attempt`] what came of it, for each recipient,
//!    judged by one table ([`Verdict`]).
//!
//! Each of the first two ends within limits, whatever the content; what may take long is done apart from the threads that wait for
//! servers ([`apart`]).
//!
//! Beside that it tells URLs of events ([`Webhooks`]).
//!
//! It knows no job and no store: what has to be noted before the bytes that commit a mail is a future the caller
//! passes in ([`Commit`]), and captured mail goes to the caller's [`CaptureSink`].

mod attempt;
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
mod work;

pub use attempt::{Attempt, RecipientOutcome};
pub use compose::{ComposeError, compose};
pub use hint::{Hint, Scope};
pub use message::{Envelope, Identity, Message};
pub use postroom_smtp::Commit;
pub use rendered::Rendered;
pub use templates::{LoadError, RenderError, TemplateInfo, Templates, Variables};
pub use transport::{
    BadTransport, CaptureSink, Captured, FileTransport, Kept, LoginError, ResendTransport, SmtpTransport, Transport,
    login_check,
};
pub use verdict::Verdict;
pub use webhook::{Webhook, Webhooks};
pub use work::apart;
