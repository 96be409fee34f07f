//! Table of all variables, used by the parser, `.env.example` and messages.

/// A setting in the environment, `.env` or the top level of `postroom.toml`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    /// Name in the environment.
    pub name: &'static str,
    /// Description in one line.
    pub help: &'static str,
    /// Default, or an example.
    pub value: Value,
    /// Whether the value is never shown and may be given as a file.
    pub secret: bool,
    /// Whether the toml may not contain it.
    pub env_only: bool,
}

/// Value shown for a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// Default value.
    Default(&'static str),
    /// Example of a value; there is no fixed default.
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

    /// Returns the key at the top level of `postroom.toml`: the lower-case name without
    /// `POSTROOM_`.
    #[must_use]
    pub fn key(&self) -> Option<String> {
        (!self.env_only).then(|| self.name.strip_prefix("POSTROOM_").unwrap_or(self.name).to_lowercase())
    }

    /// Returns the variable that names a file with the secret.
    #[must_use]
    pub fn file_name(&self) -> Option<String> {
        self.secret.then(|| format!("{}_FILE", self.name))
    }

    /// Returns the flag, for commands that have one.
    #[must_use]
    pub fn flag(&self) -> String {
        format!("--{}", self.name.to_lowercase().replace('_', "-"))
    }

    /// Returns the default value, if any.
    #[must_use]
    pub fn default(&self) -> Option<&'static str> {
        match self.value {
            Value::Default(value) => Some(value),
            Value::Example(_) => None,
        }
    }

    /// Whether the name is a variable of Postroom or its `_FILE` form.
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
        /// All variables, in the order in which they are shown.
        pub const ALL: &[Variable] = &[$($name),+];
    };
}

variables! {
    REDIS_URL: Default("redis://127.0.0.1:6379/0"),
        "URL of Redis or Valkey: redis://, rediss:// (TLS), redis+unix:// or \
         redis+sentinel://one:26379,two:26379/NAME", secret;
    REDIS_TLS_INSECURE: Default("false"),
        "Accept any certificate of Redis (true), such as Heroku's self-signed ones; logs a warning";
    REDIS_CA_FILE: Example("/etc/postroom/redis-ca.pem"),
        "Certificate authorities (PEM) for Redis over TLS, instead of the public ones";
    POSTROOM_PREFIX: Default("postroom"),
        "Prefix of all keys in Redis; applications that share a Redis need different ones";
    POSTROOM_CONFIG: Example("/etc/postroom/postroom.toml"),
        "Path of the toml file; default: postroom.toml in the working directory, if it exists", env_only;
    SMTP_HOST: Example("smtp.example.org"),
        "Mail server; a worker without any transport refuses to start";
    SMTP_PORT: Example("587"),
        "Port of the mail server; default by SMTP_SECURITY: 465 for tls, 587 for starttls, 25 for none";
    SMTP_SECURITY: Example("starttls"),
        "Encryption: tls, starttls (mandatory) or none (only on this machine); default: tls on ports 465 \
         and 2465, else starttls; none if only SMTP_HOST is set and names this machine";
    SMTP_USERNAME: Example("postroom"),
        "User name for the mail server, if it requires one";
    SMTP_PASSWORD: Example("secret"),
        "Password for the mail server", secret;
    SMTP_CA_FILE: Example("/etc/postroom/ca.pem"),
        "Additional certificate authorities (PEM) for a private mail server, or its own certificate";
    SMTP_HELLO_NAME: Example("app.example.org"),
        "Name sent with EHLO; default: this host's full name if it is public, or the sender's domain";
    SMTP_MAIL_FROM: Example("news@example.org"),
        "Sender of mails that name none: an address, or a name and the address in angle brackets";
    SMTP_FROM_NAME: Example("Example News"),
        "Display name of the sender, if SMTP_MAIL_FROM is only an address";
    SMTP_ENVELOPE_FROM: Example("bounces+{id}@example.org"),
        "Envelope sender, which gets bounces; {id} is the job's id, <> is none; default: the address in From";
    MAIL_TRANSPORT: Example("smtp"),
        "Transport: smtp, resend, file:DIR (.eml files), capture (shown by the monitor) or discard; \
         default: smtp if SMTP_HOST is set";
    RESEND_API_KEY: Example("re_123"),
        "API key of the transport resend", secret;
    TEMPLATES_DIR: Default("templates"),
        "Folder of templates";
    QUEUES: Example("emails:5,bulk:1"),
        "Queues that a worker serves, in order or with weights; default: all, emails first and bulk last";
    CONCURRENCY: Default("10"),
        "Number of mails that a worker sends at the same time, or a range such as 3-10";
    MAX_MESSAGE_SIZE: Default("25MB"),
        "Maximum size of a message, in B, kB, MB, GB, KiB, MiB or GiB";
    RETENTION: Default("30d"),
        "Retention of results; 0s stores none";
    TIMEZONE: Default("UTC"),
        "Time zone of schedules, as in Europe/Warsaw";
    SHUTDOWN_TIMEOUT: Default("25s"),
        "Time that a stopping worker allows for deliveries in progress";
    BIND: Default("127.0.0.1"),
        "Address that the monitor and health ports listen on";
    MONITOR_PORT: Default("5555"),
        "Port of the monitor";
    MONITOR_PASSWORD: Example("long secret"),
        "Password of the monitor, at least 8 characters; required unless it listens on this machine only", secret;
    TRUSTED_PROXIES: Example("127.0.0.1,10.0.0.0/8"),
        "Addresses and networks of reverse proxies whose X-Forwarded-For, X-Forwarded-Proto and Forwarded \
         are trusted";
    HEALTH_PORT: Default("off"),
        "Port where worker and beat serve /healthz, or off";
    PORT: Example("8080"),
        "Set by platforms for the process named web; overrides MONITOR_PORT", env_only;
    NOTIFY_WEBHOOK_SECRET: Example("whsec_c29tZSAyNCByYW5kb20gYnl0ZXMuLi4="),
        "Key that signs webhooks: whsec_ and base64, or any text of at least 24 bytes", secret;
    NOTIFY_WEBHOOK_CA_FILE: Example("/etc/postroom/ca.pem"),
        "Additional certificate authorities (PEM) for webhooks";
    LOG_LEVEL: Default("info"),
        "Lowest level that is logged: error, warn, info, debug or trace";
    LOG_FORMAT: Default("text"),
        "Format of log lines: text or json";
}
