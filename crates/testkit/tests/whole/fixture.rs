//! Paths of the repository and its tools, and the surroundings in which tests run the programs.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use postroom_testkit::{PrivateRedis, Process, eventually, target_bin, unique_prefix};
use tempfile::TempDir;

use crate::LIMIT;

/// Returns the repository's folder.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository")
}

/// Reads a file of the repository.
pub(crate) fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Finds a third-party program on the path, or where `scripts/test` installs it.
pub(crate) fn tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let own = root().join(".postroom/tools/bin");
    std::env::split_paths(&path).chain([own, "/usr/sbin".into()]).map(|at| at.join(name)).find(|file| file.is_file())
}

/// Like [`tool`], but panics if the program is missing.
pub(crate) fn needed(name: &str) -> PathBuf {
    tool(name).unwrap_or_else(|| panic!("{name} is missing: run scripts/test, which installs it"))
}

/// Folder and key prefix, with the variables that point the programs at both.
pub(crate) struct Fixture {
    folder: TempDir,
    env: Vec<(String, String)>,
}

impl Fixture {
    /// Creates a fixture with an empty folder and a unique prefix.
    pub(crate) fn new() -> Self {
        Self::at(PrivateRedis::shared().url(), unique_prefix())
    }

    /// Creates a fixture with an empty folder for this Redis.
    pub(crate) fn at(redis_url: String, prefix: String) -> Self {
        let folder = tempfile::Builder::new().prefix("postroom-fixture-").tempdir().expect("a folder");
        let env = [
            ("REDIS_URL", redis_url),
            ("POSTROOM_PREFIX", prefix),
            ("SMTP_MAIL_FROM", "Postroom <post@example.org>".to_owned()),
        ];
        Self { folder, env: env.map(|(name, value)| (name.to_owned(), value)).into() }
    }

    /// Adds an environment variable.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Creates a file in the folder.
    pub(crate) fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(&path, content).expect("a file");
        path
    }

    /// Returns the folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns a command in the folder, with Postroom's programs on its path and without the
    /// caller's settings.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        let home = std::env::var_os("HOME").unwrap_or_default();
        command.env_clear().env("HOME", home).env("PATH", path_with_ours());
        command.envs(self.env.iter().cloned()).current_dir(self.folder());
        command
    }

    /// Runs `postroom` and waits for its end.
    pub(crate) fn postroom(&self, args: &[&str]) -> Output {
        self.command(target_bin("postroom")).args(args).output().expect("postroom runs")
    }

    /// Runs `postroom`, which must succeed. Returns its standard output and standard error.
    pub(crate) fn ok(&self, args: &[&str]) -> (String, String) {
        let output = self.postroom(args);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "postroom {args:?}: {}\n{out}{err}", output.status);
        (out.trim_end().to_owned(), err)
    }

    /// Parses the output of `postroom … --json`.
    pub(crate) fn json(&self, args: &[&str]) -> serde_json::Value {
        let (out, _) = self.ok(&[args, &["--json"]].concat());
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
    }

    /// Starts a worker and waits until it is ready.
    pub(crate) async fn worker(&self) -> Process {
        let worker = Process::run(self.command(target_bin("postroom-worker")));
        worker.wait_for_line(" serves ", LIMIT).await;
        worker
    }

    /// Waits until a worker, a beat and a monitor are registered.
    pub(crate) async fn wait_for_processes(&self) {
        eventually(LIMIT, "worker, beat and monitor are registered", async || {
            let (out, _) = self.ok(&["workers", "--json"]);
            ["worker", "beat", "monitor"].iter().all(|kind| out.contains(&format!("\"{kind}\""))).then_some(())
        })
        .await;
    }
}

/// Returns the path with Postroom's programs first.
fn path_with_ours() -> std::ffi::OsString {
    let ours = ["postroom", "postroom-worker", "postroom-beat", "postroom-monitor"].map(target_bin);
    let folder = ours[0].parent().expect("the program's path has a folder").to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths([folder].into_iter().chain(std::env::split_paths(&path))).expect("a path")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
