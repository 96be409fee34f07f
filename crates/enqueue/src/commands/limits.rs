//! `postroom limits`

mod shown;
mod target;

use std::collections::BTreeSet;

use clap::Subcommand;
use postroom_core::{BatchId, Rate, Store, store::LimitName};

use self::{
    shown::Shown,
    target::{Target, Value},
};
use super::{
    Context,
    exit::{Failure, Result},
    queues,
};

const EXAMPLES: &str = "Examples:
  postroom limits
  postroom limits set transport.default 2/s
  postroom limits set b.bulk.01ARZ3NDEKTSV4RRFFQ69G5FAV 100/m
  postroom limits set queue.bulk none
  postroom limits unset queue.bulk";

/// Show how fast mail may go, or change that while it runs; all workers hold it together
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    act: Option<Act>,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Set a limit in place of what is configured; workers hold it within 5 s
    #[command(
        after_help = "Examples:\n  postroom limits set transport.default 2/s\n  postroom limits set queue.bulk none\n  postroom limits set b.bulk.01ARZ3NDEKTSV4RRFFQ69G5FAV 5s"
    )]
    Set {
        /// transport.NAME, queue.NAME, domain.NAME, template.NAME or the id of a batch
        #[arg(value_name = "LIMIT")]
        target: Target,
        /// As in 2/s, 100/m, 1000/h or 50000/d; none lifts the limit; of a batch also the time between two mails, as in 5s
        #[arg(value_name = "RATE|none")]
        value: Value,
    },
    /// Go back to what is configured; of a batch, lift its pace
    #[command(after_help = "Examples:\n  postroom limits unset transport.default")]
    Unset {
        /// transport.NAME, queue.NAME, domain.NAME, template.NAME or the id of a batch
        #[arg(value_name = "LIMIT")]
        target: Target,
    },
}

pub(crate) async fn run(context: &Context, args: &Args) -> Result<()> {
    let store = context.postroom.store().await?;
    match &args.act {
        None => list(context, store).await,
        Some(Act::Set { target: Target::Limit(name), value }) => set(context, store, name, *value).await,
        Some(Act::Unset { target: Target::Limit(name) }) => unset(context, store, name).await,
        Some(Act::Set { target: Target::Batch(id), value }) => pace(context, store, id, *value).await,
        Some(Act::Unset { target: Target::Batch(id) }) => pace(context, store, id, Value::None).await,
    }
}

async fn set(context: &Context, store: &Store, name: &LimitName, value: Value) -> Result<()> {
    check(context, store, name).await?;
    let rate = value.rate()?;
    store.set_live_limit(name, rate).await?;
    let shown = Shown::of_rate(name.to_string(), configured(context, name), Some(rate));
    context.console.tell(&shown, || format!("{name} is {value} now"));
    Ok(())
}

async fn unset(context: &Context, store: &Store, name: &LimitName) -> Result<()> {
    let was_set = store.unset_live_limit(name).await?;
    if !was_set {
        check(context, store, name).await?;
    }
    let shown = Shown::of_rate(name.to_string(), configured(context, name), None);
    let rate = shown.rate();
    let now = if was_set { "now" } else { "as before" };
    context.console.tell(&shown, || format!("{name} is {rate} {now}, as configured"));
    Ok(())
}

async fn pace(context: &Context, store: &Store, id: &BatchId, value: Value) -> Result<()> {
    store.pace_batch(id, value.pace()).await?;
    let shown = Shown::of_batch(id, value.pace().map(|pace| pace.to_string()));
    context.console.tell(&shown, || format!("{id} is {value} now"));
    Ok(())
}

fn configured(context: &Context, name: &LimitName) -> Option<Rate> {
    context.postroom.settings().limits.get(name).copied()
}

async fn list(context: &Context, store: &Store) -> Result<()> {
    let states = store.limit_states(context.postroom.settings()).await?;
    let mut shown: Vec<Shown> = states.into_iter().map(Shown::from).collect();
    shown.extend(of_batches(context, store).await?);
    context.console.list(&shown, || shown::table_of(&shown));
    Ok(())
}

/// Batches under way that have a pace, of the latest of each queue.
async fn of_batches(context: &Context, store: &Store) -> Result<Vec<Shown>> {
    const LATEST: usize = 200;
    let mut shown = Vec::new();
    for queue in queues::known(context, store).await? {
        for batch in store.batches(&queue, 0, LATEST).await?.into_iter().filter(|batch| !batch.done) {
            let pace = batch.pace_us.map(target::pace_in_words);
            shown.extend(pace.map(|pace| Shown::of_batch(&batch.id, Some(pace))));
        }
    }
    Ok(shown)
}

/// A slip in a name must not look like success.
async fn check(context: &Context, store: &Store, name: &LimitName) -> Result<()> {
    let (kind, own, known) = match name {
        LimitName::Transport(own) => ("transport", own.as_str(), transports(context, store).await?),
        LimitName::Queue(own) => {
            let known = queues::known(context, store).await?;
            ("queue", own.as_str(), known.iter().map(ToString::to_string).collect())
        }
        // Mail goes to any domain, and a template may be on the workers' machines only.
        LimitName::Domain(_) | LimitName::Template(_) => return Ok(()),
    };
    if known.contains(own) {
        return Ok(());
    }
    let names: Vec<&str> = known.iter().map(String::as_str).collect();
    Err(Failure::usage("limit", format!("there is no {kind} {own}; it may be {}", names.join(", "))))
}

/// Those that are configured here, and those that workers use.
async fn transports(context: &Context, store: &Store) -> Result<BTreeSet<String>> {
    // What the environment of a worker describes has that name.
    let usual = std::iter::once("default".to_owned());
    let configured = context.postroom.settings().transports.keys().cloned();
    let workers = store.workers().await?;
    let used = workers.iter().flat_map(|worker| &worker.transports).map(|transport| transport.name.clone());
    Ok(usual.chain(configured).chain(used).collect())
}
