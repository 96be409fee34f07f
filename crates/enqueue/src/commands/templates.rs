//! `postroom templates`

use postroom_core::Mail;
use postroom_mail::{TemplateInfo, Templates};
use serde_json::json;

use super::{
    Context,
    args::VarArgs,
    exit::{Failure, Result},
    table,
};

const EXAMPLES: &str = "Examples:
  postroom templates
  postroom templates newsletter --var name=Ann --var title=News --var intro=Hi
  postroom templates event_reminder --locale pl --vars example.json --html > preview.html";

/// List the templates, or show one rendered
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The one to render; all are listed without it
    name: Option<String>,
    #[command(flatten)]
    vars: VarArgs,
    /// The language, as in pl-PL
    #[arg(long, value_name = "LOCALE", requires = "name")]
    locale: Option<String>,
    /// Show the HTML alone, for a file or a browser
    #[arg(long, requires = "name")]
    html: bool,
}

pub(crate) async fn run(context: &Context, args: &Args) -> Result<()> {
    let folder = context.postroom.settings().templates_dir.display();
    let missing = || Failure::usage("TEMPLATES_DIR", format!("there is no folder {folder}"));
    let templates = context.postroom.templates().await?.ok_or_else(missing)?;
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
            let joined = |words: &mut dyn Iterator<Item = &str>| words.collect::<Vec<_>>().join(", ");
            table.add_row([info.name.clone(), joined(&mut languages.into_iter()), joined(&mut bodies.into_iter())]);
        }
        table.trim_fmt()
    });
}

fn show(context: &Context, templates: &Templates, name: &str, args: &Args) -> Result<()> {
    let mail = Mail {
        template: Some(name.to_owned()),
        vars: args.vars.read()?,
        locale: args.locale.clone(),
        ..Mail::default()
    };
    let words = templates.render_mail(&mail).map_err(|error| match error.is_missing_template() {
        true => Failure::new(super::exit::Exit::NotFound, "not_found", error.to_string()),
        false => Failure::usage("template", error.to_string()),
    })?;
    let html = words.html.unwrap_or_default();
    if args.html {
        context.console.content(&html);
        return Ok(());
    }
    let told = json!({ "name": name, "subject": words.subject, "text": words.text, "html": html });
    context.console.tell(&told, || format!("Subject: {}\n\n{}", words.subject, words.text));
    Ok(())
}
