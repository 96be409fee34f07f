//! Workers and beats.

use crate::site::Site;
use postroom_testkit::Process;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

const START_LIMIT: Duration = Duration::from_secs(60);

/// How workers and beats are started.
#[derive(Clone, Debug)]
pub(crate) struct Post {
    pub(crate) program: &'static str,
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
}

impl Post {
    /// A worker that sends so many mails at a time.
    pub(crate) fn worker(concurrency: usize) -> Self {
        let args = vec!["--concurrency".to_owned(), concurrency.to_string()];
        Self { program: "postroom-worker", args, env: Vec::new() }
    }

    pub(crate) fn beat() -> Self {
        Self { program: "postroom-beat", args: Vec::new(), env: Vec::new() }
    }

    /// With more variables.
    pub(crate) fn with(mut self, env: Vec<(String, String)>) -> Self {
        self.env.extend(env);
        self
    }
}

/// Processes that can be hurt one by one.
#[derive(Debug)]
pub(crate) struct Crew {
    site: Arc<Site>,
    posts: Vec<Post>,
    members: Vec<Process>,
    /// What those said that are gone.
    said: Vec<String>,
}

impl Crew {
    /// Starts them all, and waits until the workers serve.
    pub(crate) async fn start(site: &Arc<Site>, posts: Vec<Post>) -> Self {
        let members: Vec<Process> = posts.iter().map(|post| spawn(site, post)).collect();
        for (member, post) in members.iter().zip(&posts) {
            if post.program == "postroom-worker" {
                member.wait_for_line(" serves ", START_LIMIT).await;
            }
        }
        Self { site: Arc::clone(site), posts, members, said: Vec::new() }
    }

    /// So many workers alike.
    pub(crate) async fn workers(site: &Arc<Site>, number: usize, concurrency: usize) -> Self {
        Self::start(site, vec![Post::worker(concurrency); number]).await
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// What it is, for the log.
    pub(crate) fn name(&self, index: usize) -> String {
        format!("{} {}", self.posts[index].program.trim_start_matches("postroom-"), index + 1)
    }

    /// The most memory that it has taken, in MB.
    pub(crate) fn peak_mb(&self, index: usize) -> u64 {
        self.members[index].peak_rss_kb() / 1024
    }

    /// The id under which a worker claims, as its log says.
    pub(crate) fn worker_id(&self, index: usize) -> Option<String> {
        let said = self.members[index].stderr();
        let line = said.lines().find(|line| line.contains(" serves "))?;
        let mut words = line.split_whitespace().skip_while(|word| *word != "worker").skip(1);
        words.next().map(str::to_owned)
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self, index: usize) {
        if let Some(worker) = self.worker_id(index) {
            self.site.bury(worker);
        }
        self.members[index].kill();
    }

    /// Another one in its place.
    pub(crate) fn replace(&mut self, index: usize) {
        let new = spawn(&self.site, &self.posts[index]);
        let old = std::mem::replace(&mut self.members[index], new);
        self.said.push(old.stderr());
    }

    /// SIGSTOP.
    pub(crate) fn freeze(&mut self, index: usize) {
        self.members[index].stop();
    }

    /// SIGCONT.
    pub(crate) fn thaw(&mut self, index: usize) {
        self.members[index].cont();
    }

    /// SIGTERM; [`ended`](Self::ended) waits.
    pub(crate) fn terminate(&mut self, index: usize) {
        self.members[index].terminate();
    }

    /// How many of them run.
    pub(crate) fn alive(&mut self) -> usize {
        self.members.iter_mut().map(|member| usize::from(member.is_running())).sum()
    }

    /// How it ended, if it did within the limit.
    pub(crate) async fn ended(&mut self, index: usize, limit: Duration) -> Option<ExitStatus> {
        let end = tokio::time::Instant::now() + limit;
        while self.members[index].is_running() {
            if tokio::time::Instant::now() >= end {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Some(self.members[index].wait(Duration::from_secs(5)).await)
    }

    /// Everything that they said, those that are gone first.
    pub(crate) fn logs(&self) -> String {
        let now = self.members.iter().map(Process::stderr);
        self.said.iter().cloned().chain(now).collect::<Vec<_>>().concat()
    }

    /// How many jobs they took from workers that they held for lost: (not begun, begun).
    pub(crate) fn rescued(&self) -> (u64, u64) {
        let logs = self.logs();
        let counts = logs.lines().filter_map(rescued_in);
        counts.fold((0, 0), |(queued, doubt), (more_queued, more_doubt)| (queued + more_queued, doubt + more_doubt))
    }
}

/// `…: 3 jobs of lost workers are queued again, 2 are in doubt`.
fn rescued_in(line: &str) -> Option<(u64, u64)> {
    let (before, after) = line.split_once(" jobs of lost workers are queued again, ")?;
    let queued = before.rsplit(' ').next()?.parse().ok()?;
    Some((queued, after.split(' ').next()?.parse().ok()?))
}

fn spawn(site: &Site, post: &Post) -> Process {
    let mut command = site.command(post.program);
    command.args(&post.args).envs(post.env.iter().cloned());
    Process::run(command)
}
