//! Actions on a queue: pause, resume.

use axum::{
    extract::{Path, State},
    response::Response,
};
use postroom_core::QueueName;

use super::back;
use crate::{app::App, flash::Flash, handler_error::HandlerError, signed_form::SignedForm};

pub(crate) async fn run(
    State(app): State<App>,
    Path((queue, action)): Path<(String, String)>,
    _form: SignedForm,
) -> Result<Response, HandlerError> {
    let queue: QueueName = queue.parse().map_err(|_| HandlerError::not_found(format!("the queue {queue:?}")))?;
    let store = app.store()?;
    let (changed, word) = match action.as_str() {
        "pause" => (store.pause(&queue).await?, "paused: mails being sent are completed, no others are claimed"),
        "resume" => (store.resume(&queue).await?, "running"),
        other => return Err(HandlerError::not_found(format!("the action {other:?}"))),
    };
    let text = if changed {
        format!("Queue {queue} is {word}.")
    } else {
        format!("Nothing was changed: queue {queue} is in this state already.")
    };
    tracing::info!(%queue, action, "{text}");
    Ok(back("/queues", &Flash::done(text)))
}
