//! Mail from template to transport, read back by an independent parser and received by fake
//! servers.

mod envelope;
mod filters;
mod fixture;
mod full_disk;
mod fuzz;
mod headers;
mod hostile;
mod inlining;
mod mailboxes;
mod mime;
mod parser;
mod parts;
mod replies;
mod resend;
mod shipped;
mod templates;
mod transports;
mod variables;
mod webhook;

use postroom_core::Mail;
use postroom_mail::Identity;
use serde_json::Value;

/// Names that break careless code.
const NAMES: [&str; 8] =
    ["Żółć", "Ёлка", "Ağaoğlu", "O'Brien & <b>", "李雷", "👩‍🚀 🎉", "{{ name }}", "{% if x %}\\\"=?utf-8?q?x?="];

fn mail(value: Value) -> Mail {
    serde_json::from_value(value).expect("a mail")
}

fn identity() -> Identity {
    Identity {
        message_id: "emails-01JD0000000000000000000000@example.org".into(),
        date_ms: 1_732_300_000_000,
        boundary_seed: "emails-01JD0000000000000000000000".into(),
        generation: 0,
    }
}
