//! Actions on a batch: cancel, pause, resume.

use axum::{
    extract::{Path, State},
    response::Response,
};
use postroom_core::{BatchId, Result, Store};

use super::back;
use crate::{app::App, flash::Flash, handler_error::HandlerError, signed_form::SignedForm, time_format::grouped};

pub(crate) async fn run(
    State(app): State<App>,
    Path((id, action)): Path<(String, String)>,
    _form: SignedForm,
) -> Result<Response, HandlerError> {
    let id: BatchId = id.parse().map_err(|_| HandlerError::not_found(format!("the batch {id:?}")))?;
    let store = app.store()?;
    let text = match action.as_str() {
        "cancel" => cancelled(store, &id).await?,
        "pause" if store.pause_batch(&id).await? => "The batch is paused. Mails being sent are completed.".to_owned(),
        "resume" if store.resume_batch(&id).await? => "The batch is resumed.".to_owned(),
        "pause" | "resume" => "Nothing was changed: the batch is in this state already.".to_owned(),
        other => return Err(HandlerError::not_found(format!("the action {other:?}"))),
    };
    let flash = Flash::done(text);
    tracing::info!(batch = %id, action, "{}", flash.text);
    Ok(back(&format!("/batches/{id}"), &flash))
}

async fn cancelled(store: &Store, id: &BatchId) -> Result<String> {
    Ok(match store.cancel_batch(id).await? {
        Some(number) => format!("{} waiting mails are cancelled. Mails being sent are completed.", grouped(number)),
        None => "The batch was cancelled before.".to_owned(),
    })
}
