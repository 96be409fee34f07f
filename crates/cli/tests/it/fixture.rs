//! The surroundings of one test: a folder, a key prefix in Redis and the command line.

use std::{
    ffi::OsStr,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use postroom_testkit::{FakeSmtp, PrivateRedis, Process, unique_prefix};
use serde_json::Value;
use tempfile::TempDir;

/// Surroundings of one test.
pub(crate) struct Fixture {
    folder: TempDir,
    env: Vec<(String, String)>,
}

/// Exit code and output of a command.
#[derive(Debug)]
pub(crate) struct CommandOutput {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Fixture {
    /// Creates an empty folder and a key prefix in the Redis that all tests share.
    pub(crate) fn new() -> Self {
        Self::at(&PrivateRedis::shared().url())
    }

    /// Creates a fixture with another Redis.
    pub(crate) fn at(url: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let env = vec![("REDIS_URL".to_owned(), url.to_owned()), ("POSTROOM_PREFIX".to_owned(), unique_prefix())];
        Self { folder, env }
    }

    /// Sets an environment variable.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Uses the templates of the repository.
    pub(crate) fn with_templates(self) -> Self {
        let templates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../templates");
        self.with("TEMPLATES_DIR", templates.to_str().expect("UTF-8"))
    }

    /// Sends mail to this server.
    pub(crate) fn with_smtp(self, server: &FakeSmtp) -> Self {
        self.with("SMTP_HOST", &server.host())
            .with("SMTP_PORT", &server.port().to_string())
            .with("SMTP_SECURITY", "none")
            .with("SMTP_MAIL_FROM", "Desk <desk@example.org>")
    }

    /// Writes a file in the folder and returns its path.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).expect("a folder");
        }
        std::fs::write(&path, content).expect("a file");
        path
    }

    /// Folder of the test.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs `postroom` until it ends.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> CommandOutput {
        self.run_with(args, b"")
    }

    /// Runs `postroom` with this standard input.
    pub(crate) fn run_with<S: AsRef<OsStr>>(&self, args: &[S], stdin: &[u8]) -> CommandOutput {
        let mut command = self.command();
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("postroom runs");
        // Fails if the command does not read its standard input.
        let _ = child.stdin.take().expect("a pipe").write_all(stdin);
        let output = child.wait_with_output().expect("postroom ends");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        CommandOutput {
            code: output.status.code().expect("an exit code"),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// Runs a command that must succeed; returns its standard output without the final line break.
    pub(crate) fn ok<S: AsRef<OsStr>>(&self, args: &[S]) -> String {
        let ran = self.run(args);
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.stdout.trim_end().to_owned()
    }

    /// Enqueues a plain mail; returns its id.
    pub(crate) fn send(&self, more: &[&str]) -> String {
        let args = ["send", "--to", "ann@example.org", "--subject", "Hi", "--text", "Hello"];
        self.ok(&[&args, more].concat())
    }

    /// Returns the status of a job or a batch.
    pub(crate) fn status(&self, id: &str) -> Value {
        serde_json::from_str(&self.ok(&["status", id, "--json"])).expect("JSON")
    }

    /// Returns the stored string of a job (`kind` is empty) or the shared content of a batch
    /// (`kind` is `c:`).
    pub(crate) fn stored(&self, kind: &str, id: &str) -> String {
        let prefix = self.env.iter().find(|(name, _)| name == "POSTROOM_PREFIX").map_or("", |(_, prefix)| prefix);
        let queue = if kind.is_empty() {
            id.rsplit_once('-').expect("an id").0
        } else {
            id.split('.').nth(1).expect("a batch")
        };
        let name = if kind.is_empty() { id.rsplit('-').next().unwrap_or_default() } else { id };
        PrivateRedis::shared().ask(&["GET", &format!("{{{prefix}:{queue}}}:{kind}{name}")])
    }

    /// Returns a `postroom` command with this fixture's environment.
    pub(crate) fn command(&self) -> Command {
        self.command_of(env!("CARGO_BIN_EXE_postroom"))
    }

    /// Returns a command of another program with this fixture's environment.
    pub(crate) fn command_of(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        self.set_up(&mut command);
        command
    }

    /// Starts a worker and waits until it has registered.
    pub(crate) async fn worker(&self) -> Process {
        let mut command = Command::new(postroom_testkit::target_bin("postroom-worker"));
        self.set_up(&mut command);
        let mut worker = Process::run(command);
        postroom_testkit::eventually(LIMIT, "the worker has registered", async || {
            assert!(worker.is_running(), "{}", worker.stderr());
            (!self.ok(&["workers", "--json"]).is_empty()).then_some(())
        })
        .await;
        worker
    }

    fn set_up(&self, command: &mut Command) {
        let inherited = ["PATH", "HOME", "LLVM_PROFILE_FILE"].map(|name| (name, std::env::var_os(name)));
        command.env_clear().envs(inherited.into_iter().filter_map(|(name, value)| Some((name, value?))));
        command.envs(self.env.iter().cloned()).current_dir(self.folder.path());
    }
}

/// Maximum time of a step on a busy machine.
pub(crate) const LIMIT: std::time::Duration = std::time::Duration::from_secs(60);

impl CommandOutput {
    /// Checks the exit code, that all these words are on standard error, and that standard output
    /// is empty.
    #[track_caller]
    pub(crate) fn refused(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        assert_eq!(self.stdout, "", "{self:?}");
        self.mentions(words);
    }

    /// Checks that all these words are on standard error.
    #[track_caller]
    pub(crate) fn mentions(&self, words: &[&str]) {
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is missing: {self:?}");
        }
    }

    /// Returns standard output without the final line break.
    pub(crate) fn out(&self) -> &str {
        self.stdout.trim_end()
    }
}
