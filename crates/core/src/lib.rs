//! Domain types of Postroom, its settings, and its protocol in Redis.
//!
//! All other crates share this one. It owns the domain types (queue, priority, mail, job, batch,
//! state), the settings of every process, and [`Store`]. No other crate depends on Redis. The
//! protocol is documented in `crates/core/README.md`.

mod address;
mod addressee;
mod attempt;
mod body;
pub mod bounds;
mod content;
mod error;
mod escape;
#[cfg(test)]
mod fuzz;
pub mod health;
mod host;
mod http_url;
mod id;
mod json;
mod limit;
mod limited_file;
pub mod listener;
mod mail;
mod nearest;
mod open_files;
mod outage;
mod payload;
mod policy;
mod queue;
mod quota;
mod rate;
pub mod schedule;
pub mod settings;
mod shutdown;
mod span;
mod state;
pub mod store;
pub mod telemetry;
mod time;
mod worker_id;

pub use address::{EmailAddress, EnvelopePattern, EnvelopeSender, Mailbox, MailboxList};
pub use addressee::Addressee;
pub use attempt::{AttemptRecord, RecipientReport, RecipientResult};
pub use body::Body;
pub use content::{Content, ContentHash};
pub use error::{Error, InvalidInput, Result};
pub use escape::{Escaped, EscapedLines, needs_escape};
pub use http_url::HttpUrl;
pub use id::{BatchId, JobId};
pub use json::{parse_object, parse_value};
pub use limit::{LimitName, Measure};
pub use limited_file::{SETTINGS_FILE, read_at_most, read_file};
pub use mail::{
    Attachment, FieldBody, Mail, MediaType, check_header_name, check_locale, foldable_pieces, header_fields,
    mailboxes_from_json, merged_headers,
};
pub use outage::Outage;
pub use payload::Header;
pub use policy::{Backoff, OnUnknown, Policy};
pub use queue::{Priority, QueueName};
pub use quota::{Over, Per, Quota};
pub use rate::{Pace, Rate};
pub use settings::Settings;
pub use shutdown::Shutdown;
pub use span::{format_span, parse_span};
pub use state::JobState;
pub use store::{BatchReport, JobReport, QueueReport, Store};
pub use worker_id::WorkerId;
