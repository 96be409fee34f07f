//! Scenarios, one per row of the first table under "The proof" in `docs/guarantees.md`.

mod batch_actions;
mod clients;
mod clocks;
mod content;
mod damage;
mod due_at_once;
mod limits;
mod network;
mod pace;
mod provider;
mod redis;
mod replies;
mod shutdown;
mod workers;

use crate::args::{Args, Scenario, UnknownPolicy};
use crate::audit::Audit;
use crate::fault::FaultLog;
use crate::load::Load;
use crate::processes::ProcessGroup;
use crate::report::Report;
use crate::scale::Scale;
use crate::testbed::{Setup, Testbed};
use clap::ValueEnum;
use postroom_testkit::{Action, Fault, FaultPhase, PrivateRedis};
use std::sync::Arc;
use std::time::Duration;

/// Runs one scenario.
pub(crate) async fn run(scenario: Scenario, args: &Args) -> Report {
    let run = ScenarioRun { scale: Scale::of(args), seed: args.seed, on_unknown: args.on_unknown, logs: args.logs };
    let name = scenario.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    let quick = if args.quick { " --quick" } else { "" };
    let report = Report::new(format!("{name} --on-unknown {}{quick}", args.on_unknown.as_str()));
    match scenario {
        Scenario::WorkersKilled => workers::killed(run, report).await,
        Scenario::WorkerStopped => workers::stopped(run, report).await,
        Scenario::RedisKilled => redis::killed(run, report).await,
        Scenario::RedisCutBack => redis::cut_back(run, report).await,
        Scenario::RedisFailover => redis::failover(run, report).await,
        Scenario::RedisStalled => redis::stalled(run, report).await,
        Scenario::RedisStopped => redis::stopped(run, report).await,
        Scenario::RedisFull => redis::full(run, report).await,
        Scenario::RedisClock => clocks::of_redis(run, report).await,
        Scenario::WorkerClocks => clocks::of_workers(run, report).await,
        Scenario::BlackHole => network::black_hole(run, report).await,
        Scenario::LostReplies => replies::lost(run, report).await,
        Scenario::Limit => limits::held(run, report).await,
        Scenario::MillionDue => due_at_once::million_due(run, report).await,
        Scenario::BatchSteered => batch_actions::batch_steered(run, report).await,
        Scenario::Sigterm => shutdown::sigterm(run, report).await,
        Scenario::BulkDelay => pace::bulk_delay(run, report).await,
        Scenario::ServerRate => pace::server_rate(run, report).await,
        Scenario::ServerConnections => pace::server_connections(run, report).await,
        Scenario::HostileContent => content::hostile(run, report).await,
        Scenario::Resend => provider::resend(run, report).await,
        Scenario::UrgentLimited => pace::urgent_limited(run, report).await,
        Scenario::DamagedRecords => damage::records(run, report).await,
        Scenario::SlowClients => clients::slow(run, report).await,
        Scenario::ScheduledCancelled => shutdown::scheduled_cancelled(run, report).await,
    }
}

/// Parameters of a scenario run.
#[derive(Clone, Copy, Debug)]
struct ScenarioRun {
    scale: Scale,
    /// Seed of random choices.
    seed: u64,
    on_unknown: UnknownPolicy,
    logs: bool,
}

impl ScenarioRun {
    /// Creates a testbed with this Redis. `None` connects to it directly.
    async fn testbed(self, redis: PrivateRedis, url: Option<String>) -> Arc<Testbed> {
        Testbed::new(Setup { url, ..self.setup(redis) }).await
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

    /// Waits until all mail is settled and adds the common checks.
    async fn finish(
        self,
        report: &mut Report,
        testbed: &Testbed,
        processes: &ProcessGroup,
        load: &Load,
        log: &FaultLog,
    ) -> Audit {
        let audit = Audit::settled(testbed, load, self.scale.settle_limit()).await;
        report.check_audit(&audit);
        report.check_faults(log, &audit);
        self.note_logs(report, processes);
        audit
    }

    fn note_logs(self, report: &mut Report, processes: &ProcessGroup) {
        if self.logs {
            report.note(format!("logs of workers and beats:\n{}", processes.logs()));
        }
    }
}

/// Makes each mail take about `length`: half of it at MAIL, half after the final dot.
fn slow(testbed: &Testbed, length: Duration) {
    testbed.smtp.fault(Fault::at(FaultPhase::Mail, Action::Delay(length / 2)));
    testbed.smtp.fault(Fault::at(FaultPhase::Dot, Action::Delay(length / 2)));
}
