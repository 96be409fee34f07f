//! SMTP client with pipelining, a time limit for each phase and a result for each recipient.
//!
//! The crate has no notion of jobs or a store. A [`Session`] is one connection; [`Session::send`]
//! sends one mail:
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use postroom_smtp::{
//!     Address, Commit, ConnectionSecurity, Endpoint, Envelope, SendOutcome, Session,
//! };
//!
//! let endpoint = Endpoint::new("mail.example.org", 25, ConnectionSecurity::None);
//! let mut session = Session::connect(&endpoint).await?;
//! let envelope = Envelope::new(
//!     Some(Address::parse("shop@example.org")?),
//!     vec![Address::parse("ada@example.net")?],
//! )?;
//! let message = b"Subject: hello\r\n\r\nHello\r\n";
//! // Runs once, before the bytes that commit the mail. Record durably here that sending begins.
//! let before_commit = async { Commit::Proceed };
//! let report = session.send(&envelope, message, before_commit).await?;
//! if let SendOutcome::Accepted { reply } = report.outcome {
//!     println!("accepted: {reply}");
//! }
//! session.quit().await;
//! # Ok(())
//! # }
//! ```
//!
//! Guarantees:
//! - `Err` from [`Session::send`] means that nothing was sent. A mail in doubt is an outcome:
//!   [`SendOutcome::InDoubt`].
//! - [`SendOutcome::Accepted`] requires an [`Acceptance`], which only a 2yz reply to the final dot
//!   creates. A 2yz or 3yz reply to a command that expects another is [`ErrorKind::Unexpected`]:
//!   nothing was sent, and the connection is closed.
//! - A reply that echoes the login is redacted when it is read.
//! - Required TLS fails closed. Credentials are sent unencrypted only with
//!   [`ConnectionSecurity::None`].
//! - A session that ended in the middle of an exchange (error, time limit, dropped future) is never
//!   used again.
//! - A bare CR or LF in a message is sent as CRLF. Addresses and names cannot contain one.
//!
//! Replies and EHLO keywords are parsed here instead of by the crate `smtp-proto`. That crate
//! stores each part of an enhanced code in a byte (5.7.515 becomes 5.7.255) and strips the code
//! from the text. Verdicts depend on these digits.

mod acceptance;
mod address;
mod auth;
mod body_encoder;
mod capabilities;
mod dial;
mod endpoint;
mod envelope;
mod error;
#[cfg(test)]
mod fuzz;
mod happy_eyeballs;
mod hook;
mod limits;
mod mail_parameters;
mod pinned;
mod pool;
mod pool_permits;
mod redaction;
mod refusal;
mod reply;
mod reply_buffer;
mod send_report;
mod session;
mod session_limit;
mod stream;
mod tls;
mod tls_failure;
mod transaction;
mod waiters;
mod wire;

pub use acceptance::Acceptance;
pub use address::{Address, BadAddress, BadHelloName, HelloName};
pub use capabilities::Capabilities;
pub use endpoint::{ConnectionSecurity, Credentials, Endpoint};
pub use envelope::{Envelope, NoRecipient};
pub use error::{ErrorKind, Phase, SmtpError};
pub use happy_eyeballs::connect;
pub use hook::Commit;
pub use limits::TimeLimits;
pub use pool::{Pool, PoolLimits, PooledSession};
pub use redaction::Redaction;
pub use refusal::Refusal;
pub use reply::{EnhancedCode, Reply};
pub use send_report::{RcptReply, SendOutcome, SendReport};
pub use session::Session;
pub use tls::{BadTlsOptions, TlsClient, TlsOptions};
pub use tls_failure::TlsFailure;
