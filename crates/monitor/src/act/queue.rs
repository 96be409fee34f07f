//! Actions on a queue: pause, resume.

use axum::{
    extract::{Path, State},
    response::Response,
};
use postroom_core::QueueName;

use super::back;
use crate::{app::App, failure::Failure, flash::Flash, guard::Signed};

pub(crate) async fn act(
    State(app): State<App>,
    Path((queue, act)): Path<(String, String)>,
    _form: Signed,
) -> Result<Response, Failure> {
    let queue: QueueName = queue.parse().map_err(|_| Failure::not_found(format!("the queue {queue:?}")))?;
    let store = app.store()?;
    let (changed, word) = match act.as_str() {
        "pause" => (store.pause(&queue).await?, "paused: mails being sent are completed, no others are claimed"),
        "resume" => (store.resume(&queue).await?, "running"),
        other => return Err(Failure::not_found(format!("the action {other:?}"))),
    };
    let text = if changed {
        format!("Queue {queue} is {word}.")
    } else {
        format!("Nothing was changed: queue {queue} is in this state already.")
    };
    tracing::info!(%queue, act, "{text}");
    Ok(back("/queues", &Flash::done(text)))
}
