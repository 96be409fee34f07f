//! `postroom limits`

mod target;
mod view;

use std::collections::BTreeSet;

use clap::Subcommand;
use postroom_core::{BatchId, Rate, Store, store::LimitName};

use self::{
    target::{LimitTarget, LimitValue},
    view::LimitView,
};
use crate::{
    context::Context,
    exit::{CommandError, Result},
    queue_names,
};

const EXAMPLES: &str = "Examples:
  postroom limits
  postroom limits set transport.default 2/s
  postroom limits set b.bulk.01ARZ3NDEKTSV4RRFFQ69G5FAV 100/m
  postroom limits set queue.bulk none
  postroom limits unset queue.bulk";

const SET_EXAMPLES: &str = "Examples:
  postroom limits set transport.default 2/s
  postroom limits set queue.bulk none
  postroom limits set b.bulk.01ARZ3NDEKTSV4RRFFQ69G5FAV 5s";

/// Show the rate limits, or change them at run time; workers share each limit
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<LimitsCommand>,
}

#[derive(Debug, Subcommand)]
enum LimitsCommand {
    /// Override a configured limit; workers apply it within 5 s
    #[command(
        after_help = SET_EXAMPLES
    )]
    Set {
        /// transport.NAME, queue.NAME, domain.NAME, template.NAME or the id of a batch
        #[arg(value_name = "LIMIT")]
        target: LimitTarget,
        /// Rate such as 2/s, 100/m, 1000/h or 50000/d; none for no limit; for a batch also a pause
        /// such as 5s
        #[arg(value_name = "RATE|none")]
        value: LimitValue,
    },
    /// Remove an override, so that the configured limit applies; for a batch, remove its rate or
    /// pause
    #[command(after_help = "Examples:\n  postroom limits unset transport.default")]
    Unset {
        /// transport.NAME, queue.NAME, domain.NAME, template.NAME or the id of a batch
        #[arg(value_name = "LIMIT")]
        target: LimitTarget,
    },
}

pub(crate) async fn run(context: &Context, args: &Args) -> Result<()> {
    let store = context.postroom.store().await?;
    match &args.command {
        None => list(context, store).await,
        Some(LimitsCommand::Set { target: LimitTarget::Limit(name), value }) => set(context, store, name, *value).await,
        Some(LimitsCommand::Unset { target: LimitTarget::Limit(name) }) => unset(context, store, name).await,
        Some(LimitsCommand::Set { target: LimitTarget::Batch(id), value }) => pace(context, store, id, *value).await,
        Some(LimitsCommand::Unset { target: LimitTarget::Batch(id) }) => {
            pace(context, store, id, LimitValue::None).await
        }
    }
}

async fn set(context: &Context, store: &Store, name: &LimitName, value: LimitValue) -> Result<()> {
    check(context, store, name).await?;
    let rate = value.rate()?;
    store.set_live_limit(name, rate).await?;
    let view = LimitView::of_rate(name.to_string(), configured(context, name), Some(rate));
    context.console.result(&view, || format!("{name} is {value} now"));
    Ok(())
}

async fn unset(context: &Context, store: &Store, name: &LimitName) -> Result<()> {
    let was_set = store.unset_live_limit(name).await?;
    if !was_set {
        check(context, store, name).await?;
    }
    let view = LimitView::of_rate(name.to_string(), configured(context, name), None);
    let rate = view.rate();
    let text = || match was_set {
        true => format!("{name} is {rate} now, as configured"),
        false => format!("{name} has no override; it is {rate}, as configured"),
    };
    context.console.result(&view, text);
    Ok(())
}

async fn pace(context: &Context, store: &Store, id: &BatchId, value: LimitValue) -> Result<()> {
    store.pace_batch(id, value.pace()).await?;
    let view = LimitView::of_batch(id, value.pace().map(|pace| pace.to_string()));
    context.console.result(&view, || format!("{id} is {value} now"));
    Ok(())
}

fn configured(context: &Context, name: &LimitName) -> Option<Rate> {
    context.postroom.settings().limits.get(name).copied()
}

async fn list(context: &Context, store: &Store) -> Result<()> {
    let states = store.limit_states(context.postroom.settings()).await?;
    let mut views: Vec<LimitView> = states.into_iter().map(LimitView::from).collect();
    views.extend(of_batches(context, store).await?);
    context.console.list(&views, || view::table_of(&views));
    Ok(())
}

/// Returns the unfinished batches that have a rate or a pause, among the latest of each queue.
async fn of_batches(context: &Context, store: &Store) -> Result<Vec<LimitView>> {
    const LATEST: usize = 200;
    let mut views = Vec::new();
    for queue in queue_names::known(context, store).await? {
        for batch in store.batches(&queue, 0, LATEST).await?.into_iter().filter(|batch| !batch.done) {
            let pace = batch.pace_us.map(target::pace_text);
            views.extend(pace.map(|pace| LimitView::of_batch(&batch.id, Some(pace))));
        }
    }
    Ok(views)
}

/// Rejects a name that no transport, queue or template has, so that a typo is an error.
async fn check(context: &Context, store: &Store, name: &LimitName) -> Result<()> {
    let (kind, own, known) = match name {
        LimitName::Transport(own) => ("transport", own.as_str(), transports(context, store).await?),
        LimitName::Queue(own) => {
            let known = queue_names::known(context, store).await?;
            ("queue", own.as_str(), known.iter().map(ToString::to_string).collect())
        }
        LimitName::Template(own) => match templates(context).await? {
            Some(known) => ("template", own.as_str(), known),
            // Only the workers' machines have templates.
            None => return Ok(()),
        },
        // Any domain is valid.
        LimitName::Domain(_) => return Ok(()),
    };
    if known.contains(own) {
        return Ok(());
    }
    Err(CommandError::unknown(kind, own, known.iter().map(String::as_str)))
}

/// Returns the templates of this machine and those that are configured; `None` if it has no folder
/// of templates.
async fn templates(context: &Context) -> Result<Option<BTreeSet<String>>> {
    let configured = context.postroom.settings().templates.keys().cloned();
    let found = context.postroom.templates().await?;
    Ok(found.map(|templates| templates.names().into_iter().chain(configured).collect()))
}

/// Returns the transports that are configured here and those that workers use.
async fn transports(context: &Context, store: &Store) -> Result<BTreeSet<String>> {
    // A worker's transport from environment variables has this name.
    let from_env = std::iter::once("default".to_owned());
    let configured = context.postroom.settings().transports.keys().cloned();
    let workers = store.workers().await?;
    let used = workers.iter().flat_map(|worker| &worker.transports).map(|transport| transport.name.clone());
    Ok(from_env.chain(configured).chain(used).collect())
}
