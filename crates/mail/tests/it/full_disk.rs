//! Transport `file:` when the disk is full.

use std::{
    env,
    path::Path,
    process::{Command, Output},
    sync::Arc,
};

use postroom_core::settings::TransportSettings;
use postroom_mail::{Commit, Message, Rendered, Verdict, compose, login_check};
use serde_json::json;

use crate::{
    fixture::{Destination, Fixture, addresses, files},
    identity, mail,
};

/// Variable that passes the folder to the child process.
const FOLDER: &str = "POSTROOM_TEST_FULL_FOLDER";
/// Variable that passes the size of the message to the child process.
const SIZE: &str = "POSTROOM_TEST_MESSAGE_SIZE";

/// Tests a full disk. A limit on the size of files simulates it without special rights: a write
/// fails after the part that still fits. The limit applies to a whole process, so the test runs
/// itself again as a child.
#[tokio::test]
async fn a_full_disk_is_nothing_sent() {
    if let Ok(folder) = env::var(FOLDER) {
        return in_child(Path::new(&folder)).await;
    }
    for (blocks, size) in [(0, 10), (8, 100_000), (8, 5_000_000)] {
        let folder = tempfile::tempdir().expect("a folder");
        let child = limited(blocks, size, folder.path());
        let (out, err) = (String::from_utf8_lossy(&child.stdout), String::from_utf8_lossy(&child.stderr));
        assert!(child.status.success() && out.contains("1 passed"), "{blocks} blocks, {size} bytes: {out}\n{err}");
        assert_eq!(files(folder.path()), Vec::<std::path::PathBuf>::new(), "no temporary file is left");
    }
}

/// Runs this test in a process whose files are limited to this number of blocks.
fn limited(blocks: u32, size: usize, folder: &Path) -> Output {
    let shell = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &shell, "sh"]).arg(env::current_exe().expect("this test"));
    command.args(["--exact", "full_disk::a_full_disk_is_nothing_sent", "--nocapture"]);
    command.env(FOLDER, folder).env(SIZE, size.to_string()).output().expect("a shell")
}

async fn in_child(folder: &Path) {
    let settings = TransportSettings::File(folder.to_owned());
    let fixture = Fixture::new(&settings, &Arc::default(), Destination::Nothing);
    let size = env::var(SIZE).ok().and_then(|size| size.parse().ok()).expect("a size");
    let (attempt, _) = fixture.send(&message(size), &addresses(&["a@example.net"]), Commit::Proceed).await;
    assert_eq!(attempt.verdict, Verdict::NothingSent, "{attempt:?}");
    assert!(attempt.reply.contains("can't write to the folder"), "{attempt:?}");
    if size < 1000 {
        let error = login_check(&settings).await.expect_err("nothing can be written").to_string();
        assert!(error.contains("can't write to the folder"), "{error}");
    }
}

fn message(size: usize) -> Message {
    let text = "A line of text.\n".repeat(size / 16 + 1);
    let mail = mail(json!({"from": "s@example.org", "to": "a@example.net", "subject": "Long", "text": text}));
    let rendered = Rendered::literal("Long", Some(&text), None);
    compose(&Arc::new(mail), rendered, &identity(), None).expect("composed")
}
