//! Page of the queues: their counters, and buttons to pause and resume.

use askama::Template;
use axum::extract::State;

use super::{PageResult, Shell, html, overview::QueueRow};
use crate::{app::App, inventory};

#[derive(Template)]
#[template(path = "queues.html")]
struct QueuesPage {
    shell: Shell,
    queues: Vec<QueueRow>,
}

pub(crate) async fn show(State(app): State<App>, shell: Shell) -> PageResult {
    let store = app.store()?;
    let (queues, processes) = (inventory::queues(store).await?, store.processes().await?);
    let queues = queues.iter().map(|queue| QueueRow::new(queue, &processes)).collect();
    html(&QueuesPage { shell: shell.at("queues"), queues })
}
