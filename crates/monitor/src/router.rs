//! Routes of all paths.

use axum::{
    Router,
    middleware::{from_fn, from_fn_with_state},
    routing::{get, post},
};

use crate::{action, admission, api, app::App, assets, error_pages, guard, health, metrics, page};

pub(crate) fn router(app: App) -> Router {
    pages()
        .merge(actions())
        .merge(for_programs())
        .fallback(page::not_found)
        .layer(from_fn(error_pages::limit_time))
        .layer(from_fn_with_state(app.clone(), admission::admit_request))
        .merge(for_frames().layer(from_fn(error_pages::limit_time)))
        .layer(from_fn_with_state(app.clone(), error_pages::render))
        .route("/healthz", get(health::show))
        .layer(from_fn(guard::add_headers))
        .with_state(app)
}

fn pages() -> Router<App> {
    Router::new()
        .route("/", get(page::overview::show))
        .route("/jobs", get(page::jobs::show))
        .route("/jobs/{id}", get(page::job::show))
        .route("/jobs/{id}/preview", get(page::job::frame))
        .route("/batches", get(page::batches::show))
        .route("/batches/{id}", get(page::batch::show))
        .route("/queues", get(page::queues::show))
        .route("/schedules", get(page::schedules::show))
        .route("/captured", get(page::captured::show))
        .route("/captured/{id}", get(page::captured::show_mail))
        .route("/captured/{id}/preview", get(page::captured::frame))
        .route("/captured/{id}/raw", get(page::captured::raw))
        .route("/find", get(page::find))
        .route("/static/{name}", get(assets::show))
}

/// Resources of a mail's frame. The frame sends no cookie, so each address contains a proof.
fn for_frames() -> Router<App> {
    Router::new().route("/captured/{id}/image/{number}", get(page::captured::image))
}

fn actions() -> Router<App> {
    Router::new()
        .route("/login", get(page::login::show).post(action::login::enter))
        .route("/logout", post(action::login::leave))
        .route("/jobs/{id}/{action}", post(action::job::run))
        .route("/batches/{id}/{action}", post(action::batch::run))
        .route("/queues/{queue}/{action}", post(action::queue::run))
}

fn for_programs() -> Router<App> {
    Router::new()
        .route("/metrics", get(metrics::show))
        .route("/api/overview", get(api::overview))
        .route("/api/jobs", get(api::jobs))
        .route("/api/jobs/{id}", get(api::job))
        .route("/api/batches", get(api::batches))
        .route("/api/batches/{id}", get(api::batch))
        .route("/api/queues", get(api::queues))
        .route("/api/workers", get(api::workers))
        .route("/api/schedules", get(api::schedules))
}
