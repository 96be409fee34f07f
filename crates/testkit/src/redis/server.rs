//! The server program: finding it, starting it, and the little of its protocol that tests need.

use super::plan::Plan;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const START_LIMIT: Duration = Duration::from_secs(30);
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
pub(super) const LOG: &str = "redis.log";

/// Where a private Redis listens.
#[derive(Clone, Debug)]
pub(super) enum Address {
    Socket(PathBuf),
    Port(u16),
}

impl Address {
    pub(super) fn url(&self) -> String {
        match self {
            Self::Socket(path) => format!("redis+unix://{}", path.display()),
            Self::Port(port) => format!("redis://127.0.0.1:{port}"),
        }
    }

    pub(super) fn socket_addr(&self) -> SocketAddr {
        match self {
            Self::Socket(path) => panic!("{} is a unix socket; start this Redis with tcp()", path.display()),
            Self::Port(port) => (Ipv4Addr::LOCALHOST, *port).into(),
        }
    }

    fn arguments(&self) -> Vec<String> {
        let arguments: &[&str] = match self {
            Self::Socket(path) => &["--port", "0", "--unixsocket", &path.display().to_string()],
            Self::Port(port) => &["--bind", "127.0.0.1", "--port", &port.to_string()],
        };
        arguments.iter().map(ToString::to_string).collect()
    }
}

/// `POSTROOM_TEST_REDIS`, or the first of `redis-server` and `valkey-server` on the path.
fn program() -> PathBuf {
    if let Some(chosen) = std::env::var_os("POSTROOM_TEST_REDIS") {
        return chosen.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut candidates = ["redis-server", "valkey-server"]
        .into_iter()
        .flat_map(|name| std::env::split_paths(&path).map(move |folder| folder.join(name)));
    candidates.find(|program| program.is_file()).unwrap_or_else(|| {
        panic!(
            "these tests need a Redis or Valkey server: run scripts/test, which installs one, or install it \
             (apt-get install redis-server, brew install redis), or name the program in POSTROOM_TEST_REDIS"
        )
    })
}

/// The program, in its folder and silent.
pub(super) fn command(folder: &Path) -> Command {
    let mut command = Command::new(program());
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// The program set up as README advises, with what a test adds.
pub(super) fn configured(address: &Address, folder: &Path, plan: &Plan) -> Command {
    let mut command = command(folder);
    command
        .args(address.arguments())
        .args(["--appendonly", "yes", "--appendfsync", "everysec", "--save", ""])
        .args(["--maxmemory-policy", "noeviction", "--repl-diskless-sync-delay", "0", "--logfile", LOG])
        .arg("--dir")
        .arg(folder)
        .args(&plan.args)
        .envs(plan.envs.iter().map(|(name, value)| (name, value)));
    command
}

/// Starts a server and waits until it answers; the error is its log.
pub(super) fn start(mut command: Command, address: &Address, folder: &Path) -> Result<Child, String> {
    let mut child = command.spawn().unwrap_or_else(|error| panic!("can't run {command:?}: {error}"));
    if answers_soon(&mut child, address) {
        return Ok(child);
    }
    let _ = child.kill();
    let _ = child.wait();
    Err(std::fs::read_to_string(folder.join(LOG)).unwrap_or_default())
}

/// A folder for a server.
pub(super) fn folder() -> TempDir {
    tempfile::Builder::new().prefix("postroom-redis-").tempdir().expect("a temporary folder can be made")
}

fn answers_soon(child: &mut Child, address: &Address) -> bool {
    let end = Instant::now() + START_LIMIT;
    while Instant::now() < end {
        if !matches!(child.try_wait(), Ok(None)) {
            return false;
        }
        if is_ready(address, child.id()) {
            return true;
        }
        sleep(Duration::from_millis(2));
    }
    false
}

/// Whether it has loaded its data (as a replica, its primary's) and is this very process: on a port that was just lost to somebody else's Redis, that
/// one would answer.
fn is_ready(address: &Address, pid: u32) -> bool {
    let Ok(info) = ask(address, &["INFO"]) else { return false };
    let has = |wanted: &str| info.lines().any(|line| line == wanted);
    has(&format!("process_id:{pid}")) && !has("loading:1") && !has("master_link_status:down")
}

/// Sends one command; see [`PrivateRedis::ask`](super::PrivateRedis::ask) for what comes back.
pub(super) fn ask(address: &Address, command: &[&str]) -> io::Result<String> {
    match address {
        Address::Socket(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(ANSWER_LIMIT))?;
            exchange(stream, command)
        }
        Address::Port(port) => {
            let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, *port))?;
            stream.set_read_timeout(Some(ANSWER_LIMIT))?;
            exchange(stream, command)
        }
    }
}

fn exchange(mut stream: impl Read + Write, command: &[&str]) -> io::Result<String> {
    let mut request = format!("*{}\r\n", command.len());
    for word in command {
        request += &format!("${}\r\n{word}\r\n", word.len());
    }
    stream.write_all(request.as_bytes())?;
    read_reply(&mut BufReader::new(stream))
}

fn read_reply(input: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    input.read_line(&mut line)?;
    let line = line.trim_end();
    match (line.get(..1), line.get(1..).and_then(|rest| rest.parse::<i64>().ok())) {
        (Some("$"), Some(length)) => read_bulk(input, length),
        (Some("*"), Some(count)) => {
            let elements: io::Result<Vec<_>> = (0..count).map(|_| read_reply(input)).collect();
            elements.map(|elements| elements.join("\n"))
        }
        (Some("+" | ":"), _) => Ok(line[1..].to_owned()),
        (Some("-"), _) => Ok(line.to_owned()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn read_bulk(input: &mut impl BufRead, length: i64) -> io::Result<String> {
    let Ok(length) = usize::try_from(length) else { return Ok(String::new()) };
    let mut bytes = vec![0; length + 2];
    input.read_exact(&mut bytes)?;
    bytes.truncate(length);
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
