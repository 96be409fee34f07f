//! Memory use of `postroom bulk` with large files and large rows.

use std::io::Write;

use postroom_testkit::{Process, eventually};

use crate::fixture::{Fixture, LIMIT};

/// Memory does not grow with the input: 110 MB of rows take less than 48 MB.
#[tokio::test]
async fn a_long_file_takes_little_memory() {
    let fixture = Fixture::new().with_templates();
    let path = fixture.folder().join("long.csv");
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path).expect("a file"));
    writeln!(file, "email,name").expect("written");
    let filler = "x".repeat(2_000);
    for number in 0..2_000 {
        writeln!(file, "a{number}@example.org,{filler}").expect("written");
        // Duplicates make the input long without filling Redis.
        for _ in 0..27 {
            writeln!(file, "a{number}@example.org,{filler}").expect("written");
        }
    }
    file.into_inner().expect("flushed").sync_all().expect("on disk");
    let (bulk, peak) = peak_of(&fixture, &path).await;
    let batch = fixture.status(bulk.stdout().trim());
    assert_eq!((&batch["total"], &batch["duplicates"]), (&2_000.into(), &54_000.into()), "{batch}");
    assert!((1..48_000).contains(&peak), "{peak} kB");
}

/// A header with an unclosed quote is the whole file, which is not kept in memory.
#[tokio::test]
async fn an_open_quote_takes_little_memory() {
    let fixture = Fixture::new().with_templates();
    let path = fixture.folder().join("open.csv");
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path).expect("a file"));
    writeln!(file, "email,\"name").expect("written");
    for number in 0..1_500_000 {
        writeln!(file, "a{number}@example.org,and some more words so that it takes some time").expect("written");
    }
    file.into_inner().expect("flushed").sync_all().expect("on disk");
    let (bulk, peak) = peak_of(&fixture, &path).await;
    assert!(bulk.stdout().is_empty() && bulk.stderr().contains("is a quote left open?"), "{}", bulk.stderr());
    assert!((1..72_000).contains(&peak), "{peak} kB");
}

/// Enqueues a file; returns the ended command and the peak memory in kB.
async fn peak_of(fixture: &Fixture, path: &std::path::Path) -> (Process, u64) {
    let mut command = fixture.command();
    command.args(["bulk", "--template", "newsletter", "--var", "title=T", "--var", "intro=I", "--csv"]).arg(path);
    let mut bulk = Process::run(command);
    let mut peak = 0;
    eventually(LIMIT * 5, "the bulk ends", async || {
        if !bulk.is_running() {
            return Some(());
        }
        peak = peak.max(rss_kb(bulk.pid()));
        None
    })
    .await;
    bulk.wait(LIMIT).await;
    (bulk, peak)
}

fn rss_kb(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0");
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}
