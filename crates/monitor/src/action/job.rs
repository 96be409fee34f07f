//! Actions on a job: retry, cancel, resolve.

use axum::{
    extract::{Path, State},
    response::Response,
};
use postroom_core::{
    Error, JobId, Result, Store,
    store::{CancelReply, Resolution, RetryReply},
};

use super::back;
use crate::{app::App, flash::Flash, handler_error::HandlerError, signed_form::SignedForm};

pub(crate) async fn run(
    State(app): State<App>,
    Path((id, action)): Path<(String, String)>,
    _form: SignedForm,
) -> Result<Response, HandlerError> {
    let id: JobId = id.parse().map_err(|_| HandlerError::not_found(format!("the job {id:?}")))?;
    let store = app.store()?;
    let flash = match action.as_str() {
        "retry" => retry(store, &id).await?,
        "cancel" => cancel(store, &id).await?,
        "sent" => resolve(store, &id, Resolution::Sent, "The mail is recorded as sent.").await?,
        "resend" => resolve(store, &id, Resolution::Resend, "The mail is queued and will be sent again.").await?,
        "failed" => {
            resolve(store, &id, Resolution::Failed, "The mail is recorded as failed and will not be sent again.")
                .await?
        }
        other => return Err(HandlerError::not_found(format!("the action {other:?}"))),
    };
    tracing::info!(job = %id, action, "{}", flash.text);
    Ok(back(&format!("/jobs/{id}"), &flash))
}

async fn retry(store: &Store, id: &JobId) -> Result<Flash> {
    Ok(match store.retry(id).await? {
        RetryReply::Queued => Flash::done("The mail is queued for an immediate attempt."),
        RetryReply::Refused { state, why } if why.is_empty() => {
            Flash::refused(format!("The mail can't be retried: its state is {state}."))
        }
        RetryReply::Refused { why, .. } => Flash::refused(format!("The mail can't be retried: {why}.")),
    })
}

async fn cancel(store: &Store, id: &JobId) -> Result<Flash> {
    Ok(match store.cancel(id, "person").await? {
        CancelReply::Cancelled => Flash::done("The mail is cancelled and will not be sent."),
        CancelReply::Already => Flash::done("The mail was cancelled before."),
        CancelReply::Begun => Flash::refused("Too late to cancel: the mail is being sent."),
        CancelReply::InDoubt => {
            Flash::refused("The mail may have been sent, so it can't be cancelled. Choose below what happened to it.")
        }
        CancelReply::Finished(state) => Flash::refused(format!("Too late to cancel: the mail is {state} already.")),
    })
}

async fn resolve(store: &Store, id: &JobId, resolution: Resolution, done: &str) -> Result<Flash> {
    match store.resolve(id, resolution).await {
        Ok(()) => Ok(Flash::done(done)),
        Err(Error::Conflict(why)) => Ok(Flash::refused(format!("Nothing was changed: {why}."))),
        Err(error) => Err(error),
    }
}
