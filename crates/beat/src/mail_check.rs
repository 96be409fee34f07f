//! Check of the mails of all schedules with the templates of this machine.

use postroom_core::{Settings, settings::ScheduleSettings};
use postroom_mail::Templates;

/// Warns about each schedule whose mail can't be rendered, on a thread of its own. A machine
/// without a folder of templates leaves this to the workers.
pub(crate) fn warn_about_mails(settings: &Settings) {
    let folder = settings.templates_dir.clone();
    let with_template = |schedule: &&ScheduleSettings| schedule.enabled && schedule.mail.template.is_some();
    let schedules: Vec<ScheduleSettings> = settings.schedules.iter().filter(with_template).cloned().collect();
    if schedules.is_empty() || !folder.is_dir() {
        return;
    }
    std::thread::spawn(move || match Templates::load(&folder) {
        Ok(templates) => schedules.into_iter().for_each(|schedule| warn_about_mail(&templates, schedule)),
        Err(error) => tracing::warn!("the templates of the schedules can't be checked: {error}"),
    });
}

fn warn_about_mail(templates: &Templates, mut schedule: ScheduleSettings) {
    if schedule.each {
        schedule.mail.to.truncate(1);
    }
    if let Err(error) = templates.render_mail(&schedule.mail) {
        let name = &schedule.name;
        tracing::warn!(schedule = name, "the mail of schedule {name} can't be rendered here: {error}");
    }
}
