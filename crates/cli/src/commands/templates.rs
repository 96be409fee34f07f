//! `postroom templates`

use postroom_core::{Mail, Mailbox};
use postroom_mail::{TemplateInfo, Templates};
use serde_json::json;

use crate::{
    args::VarArgs,
    context::Context,
    exit::{CommandError, Exit, Result},
    table,
};

const EXAMPLES: &str = "Examples:
  postroom templates
  postroom templates newsletter --var name=Ann --var title=News --var intro=Hi
  postroom templates event_reminder --locale pl --vars example.json --html > preview.html";

/// Recipient of a mail that is only shown.
const EXAMPLE: &str = "ann@example.org";

/// List the templates, or render one
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Template to render; without it, all templates are listed
    name: Option<String>,
    #[command(flatten)]
    vars: VarArgs,
    /// Recipient, whose address is the variable email; default: ann@example.org
    #[arg(long, value_name = "ADDRESS", requires = "name")]
    to: Option<Mailbox>,
    /// Language of the template, such as pl-PL
    #[arg(long, value_name = "LOCALE", requires = "name")]
    locale: Option<String>,
    /// Print only the HTML, for a file or a browser
    #[arg(long, requires = "name")]
    html: bool,
}

pub(crate) async fn run(context: &Context, args: &Args) -> Result<()> {
    let folder = context.postroom.settings().templates_dir.display();
    let missing = || CommandError::usage("TEMPLATES_DIR", format!("there is no folder {folder}"));
    let templates = context.postroom.templates().await?.ok_or_else(missing)?;
    for warning in templates.warnings() {
        context.console.warn(warning);
    }
    match &args.name {
        None => list(context, templates),
        Some(name) => show(context, templates, name, args)?,
    }
    Ok(())
}

fn list(context: &Context, templates: &Templates) {
    let infos: Vec<TemplateInfo> = templates.names().iter().filter_map(|name| templates.describe(name)).collect();
    context.console.list(&infos, || {
        let mut table = table::with(&["name", "languages", "bodies"]);
        for info in &infos {
            let languages = std::iter::once("default").chain(info.locales.iter().map(String::as_str));
            let bodies = [(info.has_html, "HTML"), (info.has_text, "text")];
            let bodies = bodies.into_iter().filter_map(|(has, name)| has.then_some(name));
            let joined = |names: &mut dyn Iterator<Item = &str>| names.collect::<Vec<_>>().join(", ");
            table.add_row([info.name.clone(), joined(&mut languages.into_iter()), joined(&mut bodies.into_iter())]);
        }
        table.trim_fmt()
    });
}

fn show(context: &Context, templates: &Templates, name: &str, args: &Args) -> Result<()> {
    let mail = Mail {
        to: args.to.clone().map_or_else(|| EXAMPLE.parse(), Ok).map(|to| vec![to])?,
        template: Some(name.to_owned()),
        vars: args.vars.read()?,
        locale: args.locale.clone(),
        ..Mail::default()
    };
    let rendered = templates.render_mail(&mail).map_err(|error| match error.is_missing_template() {
        true => CommandError::new(Exit::NotFound, "not_found", error.to_string()),
        false => CommandError::usage("template", error.to_string()),
    })?;
    let html = rendered.html.unwrap_or_default();
    if args.html {
        context.console.content(&html);
        return Ok(());
    }
    let (subject, text, headers) = (rendered.subject, rendered.text, rendered.headers);
    let result = json!({ "name": name, "subject": subject, "text": text, "html": html, "headers": headers });
    context.console.result(&result, || {
        let further = headers.iter().map(|(name, value)| format!("{name}: {}\n", value.as_str().unwrap_or_default()));
        format!("Subject: {subject}\n{}\n{text}", further.collect::<String>())
    });
    Ok(())
}
