//! Random operations by several workers, checked step by step against a simple model in memory.
//!
//! Redis's clock can't be set, so time passes for single jobs: the tests move a lease or a due time
//! into the past.

mod check;
mod memory;
mod operation;
mod run;

use proptest::prelude::*;

use self::{operation::op, run::ModelRun};

const WORKERS: usize = 3;

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 120,
        max_shrink_iters: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn random_operations_keep_every_job_in_one_place(ops in prop::collection::vec(op(), 1..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut run = ModelRun::new().await;
            for op in &ops {
                run.apply(op).await;
                run.check().await;
            }
        });
    }
}
