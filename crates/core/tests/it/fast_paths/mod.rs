//! The fast paths of `claim`, `begin` and `finish` lead to the same data as the general paths.
//!
//! Each script runs in two variants on two queues: as it is, and with the condition of its fast
//! path replaced by `false`. Redis's time is a value that the test sets.

mod pair;
mod random;
mod usual;

/// A text that occurs once in a script, and its replacement.
type TextChange = (&'static str, &'static str);

/// The call of each fast path.
const WITHOUT_FAST_PATH: [(&str, TextChange); 3] = [
    ("claim", ("fresh and claim_row(id, payload, its_flight_key)", "false")),
    ("begin", ("begin_flight(place, id, fence, message_id, date_ms) and", "false and")),
    ("finish", ("if finish_row(at, place) then", "if false then")),
];

/// The call of each general path, for the ready lists in `claim`.
const WITHOUT_GENERAL_PATH: [(&str, TextChange); 3] = [
    ("claim", ("isolated(id, claim_job, id, nil, payload, fresh and {} or nil)", "error('the general path')")),
    ("begin", ("isolated(id, begin, id, fence, message_id, date_ms)", "error('the general path')")),
    ("finish", ("try_job(finish_job, at, place)", "error('the general path')")),
];

fn changed(text: &str, (from, to): TextChange) -> String {
    assert_eq!(text.matches(from).count(), 1, "{from} occurs once");
    text.replacen(from, to, 1)
}

/// Returns a script's text, with the change for it if there is one.
fn variant(script: &str, changes: &[(&str, TextChange)]) -> String {
    let text = crate::lua::whole(script);
    match changes.iter().find(|(name, _)| *name == script) {
        Some((_, change)) => changed(&text, *change),
        None => text,
    }
}
