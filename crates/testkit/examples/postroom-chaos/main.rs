//! Injects faults into workers, beats, Redis, the network and the mail server while mail is sent.
//! Then compares the enqueued mails, the mails at the server and the states of the jobs.
//!
//! `scripts/chaos` builds and runs this program.

mod args;
mod audit;
mod fault;
mod hostile_mail;
mod load;
mod processes;
mod report;
mod scale;
mod scenarios;
mod script_monitor;
mod soak;
mod testbed;

use args::Args;
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = Args::parse();
    // Requests to a stalled Redis block a thread.
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
