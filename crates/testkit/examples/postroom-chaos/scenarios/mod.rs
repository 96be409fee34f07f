//! One scenario for each row of README's table "What is guaranteed".

mod clients;
mod clocks;
mod content;
mod crowd;
mod damage;
mod endings;
mod limits;
mod network;
mod pace;
mod provider;
mod redis;
mod replies;
mod steering;
mod workers;

use crate::account::Account;
use crate::args::{Args, OnUnknown, Scenario};
use crate::crew::Crew;
use crate::fault::FaultLog;
use crate::load::Load;
use crate::report::Report;
use crate::scale::Scale;
use crate::site::{Setup, Site};
use clap::ValueEnum;
use postroom_testkit::{Action, Fault, Phase, PrivateRedis};
use std::sync::Arc;
use std::time::Duration;

/// Plays one.
pub(crate) async fn run(scenario: Scenario, args: &Args) -> Report {
    let play = Play { scale: Scale::of(args), seed: args.seed, on_unknown: args.on_unknown, logs: args.logs };
    let name = scenario.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    let quick = if args.quick { " --quick" } else { "" };
    let report = Report::new(format!("{name} --on-unknown {}{quick}", args.on_unknown.as_str()));
    match scenario {
        Scenario::WorkersKilled => workers::killed(play, report).await,
        Scenario::WorkerStopped => workers::stopped(play, report).await,
        Scenario::RedisKilled => redis::killed(play, report).await,
        Scenario::RedisCutBack => redis::cut_back(play, report).await,
        Scenario::RedisFailover => redis::failover(play, report).await,
        Scenario::RedisStalled => redis::stalled(play, report).await,
        Scenario::RedisStopped => redis::stopped(play, report).await,
        Scenario::RedisFull => redis::full(play, report).await,
        Scenario::RedisClock => clocks::of_redis(play, report).await,
        Scenario::WorkerClocks => clocks::of_workers(play, report).await,
        Scenario::BlackHole => network::black_hole(play, report).await,
        Scenario::LostReplies => replies::lost(play, report).await,
        Scenario::Limit => limits::held(play, report).await,
        Scenario::MillionDue => crowd::million_due(play, report).await,
        Scenario::BatchSteered => steering::batch_steered(play, report).await,
        Scenario::Sigterm => endings::sigterm(play, report).await,
        Scenario::BulkDelay => pace::bulk_delay(play, report).await,
        Scenario::ServerRate => pace::server_rate(play, report).await,
        Scenario::ServerConnections => pace::server_connections(play, report).await,
        Scenario::HostileContent => content::hostile(play, report).await,
        Scenario::Resend => provider::resend(play, report).await,
        Scenario::UrgentLimited => pace::urgent_limited(play, report).await,
        Scenario::DamagedRecords => damage::records(play, report).await,
        Scenario::SlowClients => clients::slow(play, report).await,
        Scenario::ScheduledCancelled => endings::scheduled_cancelled(play, report).await,
    }
}

/// How a scenario is played.
#[derive(Clone, Copy, Debug)]
struct Play {
    scale: Scale,
    /// What is done at random follows from it.
    seed: u64,
    on_unknown: OnUnknown,
    logs: bool,
}

impl Play {
    /// A site on this Redis, reached directly or by an address of its own.
    async fn site(self, redis: PrivateRedis, url: Option<String>) -> Arc<Site> {
        Site::new(Setup { url, ..self.setup(redis) }).await
    }

    fn setup(self, redis: PrivateRedis) -> Setup {
        Setup {
            redis,
            url: None,
            on_unknown: self.on_unknown,
            lease: self.scale.lease(),
            transport: None,
            toml: String::new(),
        }
    }

    /// What all scenarios end with: everything is sent, and the books are closed.
    async fn close(self, report: &mut Report, site: &Site, crew: &Crew, load: &Load, log: &FaultLog) -> Account {
        let account = Account::settled(site, load, self.scale.patience()).await;
        report.balance(&account);
        report.was_real(log, &account);
        self.tell_logs(report, crew);
        account
    }

    fn tell_logs(self, report: &mut Report, crew: &Crew) {
        if self.logs {
            report.note(format!("what workers and beats said:\n{}", crew.logs()));
        }
    }
}

/// Makes each mail take about so long: half of it before the server has asked for its content, half after it has it.
fn slow(site: &Site, length: Duration) {
    site.smtp.fault(Fault::at(Phase::Mail, Action::Delay(length / 2)));
    site.smtp.fault(Fault::at(Phase::Dot, Action::Delay(length / 2)));
}
