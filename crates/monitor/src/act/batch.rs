//! Cancelling what of a batch still waits.

use axum::{
    extract::{Path, State},
    response::Response,
};
use postroom_core::BatchId;

use super::back;
use crate::{app::App, failure::Failure, flash::Flash, guard::Signed, moment::grouped};

pub(crate) async fn cancel(State(app): State<App>, Path(id): Path<String>, _form: Signed) -> Result<Response, Failure> {
    let id: BatchId = id.parse().map_err(|_| Failure::not_found(format!("the batch {id:?}")))?;
    let flash = match app.store()?.cancel_batch(&id).await? {
        Some(number) => {
            Flash::done(format!("{} waiting mails are cancelled; what was being sent goes on.", grouped(number)))
        }
        None => Flash::done("It was cancelled before."),
    };
    tracing::info!(batch = %id, "{}", flash.text);
    Ok(back(&format!("/batches/{id}"), &flash))
}
