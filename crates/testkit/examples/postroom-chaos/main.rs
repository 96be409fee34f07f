//! Makes trouble for workers, beats, Redis, the network and the mail server while mail is going out, and then counts:
//! what was handed over, what the server has, what the jobs say. Run it by `scripts/chaos`.

mod account;
mod args;
mod crew;
mod fault;
mod hostile;
mod load;
mod report;
mod scale;
mod scenarios;
mod site;
mod soak;
mod work;

use args::Args;
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = Args::parse();
    // Some of what is asked here blocks while Redis is stalled.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(8).enable_all().build();
    let report = runtime.expect("a runtime can be made").block_on(async {
        match args.scenario {
            Some(scenario) => scenarios::run(scenario, &args).await,
            None => soak::run(&args).await,
        }
    });
    report.print();
    report.exit_code()
}
