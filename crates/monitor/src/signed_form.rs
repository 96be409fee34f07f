//! Forms with a token of the visitor.

use std::collections::HashMap;

use axum::{
    Form,
    extract::{FromRequest, Request},
};

use crate::{app::App, guard::Visitor, handler_error::HandlerError};

/// Fields of a form with a valid token of this visitor. Other forms are refused.
#[derive(Debug)]
pub(crate) struct SignedForm(HashMap<String, String>);

impl SignedForm {
    pub(crate) fn field(&self, name: &str) -> &str {
        self.0.get(name).map(String::as_str).unwrap_or_default()
    }
}

impl FromRequest<App> for SignedForm {
    type Rejection = HandlerError;

    async fn from_request(request: Request, app: &App) -> Result<Self, HandlerError> {
        let visitor = request.extensions().get::<Visitor>().cloned().ok_or_else(HandlerError::forged)?;
        let form = Form::<HashMap<String, String>>::from_request(request, app).await;
        let Form(fields) = form.map_err(|_| HandlerError::forged())?;
        let token = fields.get("token").map(String::as_str).unwrap_or_default();
        if app.guard().session_key().is_form_token(&visitor.session, token) {
            return Ok(Self(fields));
        }
        Err(HandlerError::forged())
    }
}
