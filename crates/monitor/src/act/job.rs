//! Retry, cancel, resolve.

use axum::{
    extract::{Path, State},
    response::Response,
};
use postroom_core::{
    Error, JobId, Result, Store,
    store::{CancelReply, Resolution, RetryReply},
};

use super::back;
use crate::{app::App, failure::Failure, flash::Flash, guard::Signed};

pub(crate) async fn act(
    State(app): State<App>,
    Path((id, act)): Path<(String, String)>,
    _form: Signed,
) -> Result<Response, Failure> {
    let id: JobId = id.parse().map_err(|_| Failure::not_found(format!("the job {id:?}")))?;
    let store = app.store()?;
    let flash = match act.as_str() {
        "retry" => retry(store, &id).await?,
        "cancel" => cancel(store, &id).await?,
        "sent" => resolve(store, &id, Resolution::Sent, "Noted: it was sent.").await?,
        "resend" => resolve(store, &id, Resolution::Resend, "It is queued and will be sent again.").await?,
        "failed" => resolve(store, &id, Resolution::Failed, "Noted: it was not sent, and will not be.").await?,
        other => return Err(Failure::not_found(format!("the act {other:?}"))),
    };
    tracing::info!(job = %id, act, "{}", flash.text);
    Ok(back(&format!("/jobs/{id}"), &flash))
}

async fn retry(store: &Store, id: &JobId) -> Result<Flash> {
    Ok(match store.retry(id).await? {
        RetryReply::Queued => Flash::done("It is queued and will be tried at once."),
        RetryReply::Refused { state, why } if why.is_empty() => {
            Flash::refused(format!("It can't be tried again: it is {state} by now."))
        }
        RetryReply::Refused { why, .. } => Flash::refused(format!("It can't be tried again: {why}.")),
    })
}

async fn cancel(store: &Store, id: &JobId) -> Result<Flash> {
    Ok(match store.cancel(id, "person").await? {
        CancelReply::Cancelled => Flash::done("It is cancelled and will not be sent."),
        CancelReply::Already => Flash::done("It was cancelled before."),
        CancelReply::Begun => Flash::refused("Too late to cancel: it is being sent right now."),
        CancelReply::InDoubt => Flash::refused("It is in doubt: it may have been sent. Say below what became of it."),
        CancelReply::Finished(state) => Flash::refused(format!("Too late to cancel: it is {state} already.")),
    })
}

async fn resolve(store: &Store, id: &JobId, resolution: Resolution, done: &str) -> Result<Flash> {
    match store.resolve(id, resolution).await {
        Ok(()) => Ok(Flash::done(done)),
        Err(Error::Conflict(why)) => Ok(Flash::refused(format!("Nothing was changed: {why}."))),
        Err(error) => Err(error),
    }
}
