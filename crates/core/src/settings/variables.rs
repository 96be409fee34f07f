//! Every variable there is: the one table that the parser, `.env.example` and the messages read.

/// A setting that the environment, `.env` or the top of `postroom.toml` may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    /// Its name in the environment.
    pub name: &'static str,
    /// One line on what it is.
    pub help: &'static str,
    /// What it is when not set, or how it may look.
    pub value: Value,
    /// Never shown, and may be given as a file.
    pub secret: bool,
    /// Only the environment holds it, not the toml.
    pub env_only: bool,
}

/// What is shown as the value of a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// What holds when it is not set.
    Default(&'static str),
    /// How it may look; there is no fixed default.
    Example(&'static str),
}

impl Variable {
    const fn new(name: &'static str, value: Value, help: &'static str) -> Self {
        Self { name, help, value, secret: false, env_only: false }
    }

    const fn secret(self) -> Self {
        Self { secret: true, ..self }
    }

    const fn env_only(self) -> Self {
        Self { env_only: true, ..self }
    }

    /// Its key at the top of `postroom.toml`: the same name in lower case, without `POSTROOM_`.
    #[must_use]
    pub fn key(&self) -> Option<String> {
        (!self.env_only).then(|| self.name.strip_prefix("POSTROOM_").unwrap_or(self.name).to_lowercase())
    }

    /// The variable that names a file holding the secret.
    #[must_use]
    pub fn file_name(&self) -> Option<String> {
        self.secret.then(|| format!("{}_FILE", self.name))
    }

    /// The flag that sets it, where a command has one.
    #[must_use]
    pub fn flag(&self) -> String {
        format!("--{}", self.name.to_lowercase().replace('_', "-"))
    }

    /// What holds when it is not set.
    #[must_use]
    pub fn default(&self) -> Option<&'static str> {
        match self.value {
            Value::Default(value) => Some(value),
            Value::Example(_) => None,
        }
    }

    /// Whether the name is one of ours, a file's included.
    #[must_use]
    pub fn is_known(name: &str) -> bool {
        ALL.iter().any(|variable| variable.name == name || variable.file_name().as_deref() == Some(name))
    }
}

macro_rules! variables {
    ($($name:ident: $kind:ident($value:literal), $help:literal $(, $mark:ident)?;)+) => {
        $(
            #[doc = $help]
            pub const $name: Variable = Variable::new(stringify!($name), Value::$kind($value), $help)$(.$mark())?;
        )+
        /// All of them, in the order in which they are shown.
        pub const ALL: &[Variable] = &[$($name),+];
    };
}

variables! {
    REDIS_URL: Default("redis://127.0.0.1:6379/0"), "Redis or Valkey: redis://, rediss:// (TLS), redis+unix:// or redis+sentinel://one:26379,two:26379/NAME", secret;
    REDIS_TLS_INSECURE: Default("false"), "true: accept any certificate of Redis, as Heroku's self-signed ones need; warned about at start";
    REDIS_CA_FILE: Example("/etc/postroom/redis-ca.pem"), "The certificate authorities (PEM) that are trusted with Redis over TLS, in place of the public ones";
    POSTROOM_PREFIX: Default("postroom"), "What every key in Redis begins with; applications that share a Redis differ in it";
    POSTROOM_CONFIG: Example("/etc/postroom/postroom.toml"), "The toml file, which must exist; default: postroom.toml in the working directory, if there", env_only;
    SMTP_HOST: Example("smtp.example.org"), "The mail server; no default: a worker that knows no transport refuses to start";
    SMTP_PORT: Example("587"), "Its port; default by SMTP_SECURITY: 465 for tls, 587 for starttls, 25 for none";
    SMTP_SECURITY: Example("starttls"), "tls, starttls (required, never skipped) or none (only for a server on this machine); default: tls on port 465, else starttls";
    SMTP_USERNAME: Example("postroom"), "The login, if the server wants one";
    SMTP_PASSWORD: Example("secret"), "The password of the login", secret;
    SMTP_CA_FILE: Example("/etc/postroom/ca.pem"), "Further certificate authorities (PEM), for a private mail server";
    SMTP_HELLO_NAME: Example("app.example.org"), "The name we greet with; default: this host's full name, or the sender's domain";
    SMTP_MAIL_FROM: Example("news@example.org"), "The sender of mails that name none: an address, or a name and the address in angle brackets";
    SMTP_FROM_NAME: Example("Example News"), "The sender's name, where SMTP_MAIL_FROM is only an address";
    MAIL_TRANSPORT: Example("smtp"), "smtp, resend (the provider), file:DIR (.eml files), capture (kept for the monitor) or discard; default: smtp if SMTP_HOST is set";
    RESEND_API_KEY: Example("re_123"), "The API key of the transport resend", secret;
    TEMPLATES_DIR: Default("templates"), "The folder of templates";
    QUEUES: Example("emails:5,bulk:1"), "The queues that a worker serves and their weights; default: all it knows, with equal weights";
    CONCURRENCY: Default("10"), "How many mails a worker sends at once: a number, or a range such as 3-10";
    MAX_MESSAGE_SIZE: Default("25MB"), "The largest message that is sent, in B, kB, MB, GB, KiB, MiB or GiB";
    RETENTION: Default("30d"), "For how long results are kept; 0s keeps none";
    TIMEZONE: Default("UTC"), "The time zone of schedules, as in Europe/Warsaw";
    SHUTDOWN_TIMEOUT: Default("25s"), "For how long a stopping worker lets mails under way come to their end";
    BIND: Default("127.0.0.1"), "The address that the monitor and health ports listen on";
    MONITOR_PORT: Default("5555"), "The monitor's port";
    MONITOR_PASSWORD: Example("long secret"), "The monitor's password; required, with at least 8 characters, where others can reach it", secret;
    TRUSTED_PROXIES: Example("127.0.0.1,10.0.0.0/8"), "Addresses and networks of reverse proxies whose X-Forwarded-For, X-Forwarded-Proto and Forwarded the monitor believes";
    HEALTH_PORT: Default("off"), "The port where worker and beat answer /healthz, or off";
    PORT: Example("8080"), "Set by platforms for the process named web; the monitor prefers it to MONITOR_PORT", env_only;
    NOTIFY_WEBHOOK_SECRET: Example("whsec_c29tZSAyNCByYW5kb20gYnl0ZXMuLi4="), "The key that signs webhooks: whsec_ and base64, or any text of at least 24 bytes", secret;
    NOTIFY_WEBHOOK_CA_FILE: Example("/etc/postroom/ca.pem"), "Further certificate authorities (PEM), for such URLs";
    LOG_LEVEL: Default("info"), "error, warn, info, debug or trace";
    LOG_FORMAT: Default("text"), "text or json";
}
