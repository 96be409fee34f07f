//! The column that holds the address, found by its name.

use unicode_normalization::UnicodeNormalization;

/// Names of the address column, by program and language. Letter case, accents, blanks and
/// punctuation do not count. A number 1 may be added; a higher number names a further address.
const NAMES: &[&[&str]] = &[
    // Fields of a mail
    &["to", "recipient", "recipients", "recipient email", "to email", "to address"],
    // General
    &["email", "mail", "email address", "mail address", "email addr", "email id", "email account", "email contact"],
    &["emails", "mails", "email addresses", "electronic mail", "smtp address", "primary smtp address"],
    // Thunderbird, Google Contacts, Google Workspace, Yahoo, iCloud
    &["primary email", "primary email address", "email value", "email address required", "main email"],
    &["Primäre E-Mail-Adresse", "Première adresse électronique", "Adresse électronique principale"],
    &["Główny adres e-mail", "Podstawowy adres e-mail"],
    // WordPress, WooCommerce, Shopify, Magento, Amazon, eBay, Stripe, PayPal
    &["user email", "billing email", "billing email address", "email billing", "customer email", "buyer email"],
    &["customer email address", "order email", "account email", "payer email", "client email", "guest email"],
    // HubSpot, Salesforce, Pipedrive, Zoho, Odoo
    &["work email", "business email", "company email", "person email", "contact email", "personal email"],
    &["work email address", "home email", "private email", "contact email address", "lead email", "office email"],
    // Mailing lists, events, schools
    &["subscriber email", "member email", "attendee email", "participant email", "registrant email"],
    &["student email", "parent email", "employee email", "respondent email", "donor email", "supporter email"],
    // German, Dutch, Danish, Norwegian, Swedish, Icelandic
    &["E-Mail-Adresse", "Mailadresse", "E-Mail Adressen", "E-Mail (privat)", "E-Mail (geschäftlich)", "E-Mail-Konto"],
    &["E-mailadres", "Mailadres", "E-postadresse", "E-post"],
    &["E-postadress", "Mejl", "Mejladress", "Mailadress", "Netfang", "Tölvupóstur"],
    // French, Spanish, Catalan, Portuguese, Italian, Romanian
    &["Adresse e-mail", "Adresse mail", "Adresse électronique", "Courriel", "Adresse courriel", "Mél", "Adresse mél"],
    &["Adresse de messagerie", "Courrier électronique", "Adresse de courriel", "Messagerie"],
    &["Correo", "Correo electrónico", "Dirección de correo", "Dirección de correo electrónico", "Dirección de email"],
    &["Dirección email", "Dirección electrónica", "Correu electrònic", "Adreça electrònica", "Correu"],
    &["Correio eletrônico", "Correio electrónico", "Endereço de e-mail", "Endereço de correio eletrónico"],
    &["Endereço de correio electrónico", "Endereço eletrônico", "Correio"],
    &["Indirizzo e-mail", "Indirizzo mail", "Indirizzo di posta elettronica", "Indirizzo posta elettronica"],
    &["Posta elettronica", "Adresă de e-mail", "Adresă e-mail", "Poștă electronică"],
    // Polish, Czech, Slovak, Hungarian, Slovenian, Croatian, Serbian
    &["Adres e-mail", "Adres mailowy", "Adres poczty elektronicznej", "Poczta elektroniczna", "Poczta"],
    &["E-mailová adresa", "Adresa e-mailu", "Elektronická pošta", "E-mailové adresy"],
    &["E-mail cím", "E-mail címe", "Email címek", "Elektronikus levélcím", "Drótposta"],
    &["E-poštni naslov", "Elektronski naslov", "E-naslov", "E-adresa", "E-mail adresa", "Имејл", "Е-пошта"],
    // Finnish, Estonian, Latvian, Lithuanian, Turkish, Greek
    &["Sähköposti", "Sähköpostiosoite", "E-posti aadress", "E-post aadress", "Meiliaadress", "Meil"],
    &["E-pasts", "E-pasta adrese", "El. paštas", "El. pašto adresas", "Elektroninis paštas"],
    &["E-posta", "E-posta adresi", "E-mail adresi", "Elektronik posta", "Mail adresi"],
    &["Ηλεκτρονικό ταχυδρομείο", "Διεύθυνση ηλεκτρονικού ταχυδρομείου", "Διεύθυνση email", "Ηλ. ταχυδρομείο"],
    &["Ηλ. διεύθυνση"],
    // Russian, Ukrainian, Belarusian, Bulgarian
    &["Электронная почта", "Эл. почта", "Почта", "Адрес электронной почты", "Адрес эл. почты", "E-mail адрес"],
    &["Имейл", "Имейл адрес", "Электронный адрес", "Емейл", "Мейл", "Адрес email"],
    &["Електронна пошта", "Адреса електронної пошти", "Ел. пошта", "Пошта", "Електронна адреса"],
    &["Електронна поща", "Ел. поща", "Адрес на електронна поща"],
    // Hebrew, Arabic, Persian, Hindi, Thai, Vietnamese, Indonesian
    &["דואר אלקטרוני", "דוא״ל", "כתובת דוא״ל", "כתובת דואר אלקטרוני", "אימייל", "כתובת אימייל", "מייל"],
    &["البريد الإلكتروني", "بريد إلكتروني", "عنوان البريد الإلكتروني", "الإيميل", "ایمیل", "پست الکترونیکی"],
    &["ईमेल", "ईमेल पता", "อีเมล", "ที่อยู่อีเมล", "Thư điện tử", "Địa chỉ email", "Alamat email", "Surel"],
    // Japanese, Chinese, Korean
    &["メール", "メールアドレス", "Eメール", "Eメールアドレス", "電子メール", "電子メール アドレス", "メアド"],
    &["邮箱", "电子邮箱", "电子邮件", "电子邮件地址", "邮件地址", "邮箱地址", "邮件", "电邮", "电邮地址"],
    &["信箱", "電子信箱", "電子郵件", "電子郵件地址", "郵箱", "電郵", "電郵地址", "電子郵件信箱"],
    &["이메일", "이메일 주소", "전자 메일", "전자 메일 주소", "메일", "메일 주소", "전자우편"],
];

/// Why no single column holds the address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AddressColumnProblem {
    Missing,
    /// Several columns may hold it.
    Ambiguous(Vec<usize>),
}

/// Returns the only column whose name is that of an address column.
pub(super) fn find(names: &[String]) -> Result<usize, AddressColumnProblem> {
    let known: Vec<String> = NAMES.iter().copied().flatten().map(|name| folded(name)).collect();
    only(names, |name| {
        let name = folded(name);
        let number: String = name.chars().filter(char::is_ascii_digit).collect();
        let word: String = name.chars().filter(|c| !c.is_ascii_digit()).collect();
        matches!(number.trim_start_matches('0'), "" | "1") && known.contains(&word)
    })
}

/// Returns the only column of this name, in the same spelling or else in another one.
pub(super) fn find_named(names: &[String], wanted: &str) -> Result<usize, AddressColumnProblem> {
    match only(names, |name| name == wanted.trim()) {
        Err(AddressColumnProblem::Missing) => {
            let wanted = folded(wanted);
            only(names, |name| !wanted.is_empty() && folded(name) == wanted)
        }
        found => found,
    }
}

fn only(names: &[String], is_one: impl Fn(&str) -> bool) -> Result<usize, AddressColumnProblem> {
    let found: Vec<usize> = (0..names.len()).filter(|at| is_one(&names[*at])).collect();
    match found[..] {
        [] => Err(AddressColumnProblem::Missing),
        [only] => Ok(only),
        _ => Err(AddressColumnProblem::Ambiguous(found)),
    }
}

/// Returns the letters and digits in lower case and without accents. A delimiter stays: a name with
/// one was read with another delimiter.
fn folded(name: &str) -> String {
    let counts = |c: &char| c.is_alphanumeric() || matches!(c, ',' | ';' | '\t' | '|');
    name.to_lowercase().nfkd().filter(counts).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn the_usual_names_in_any_spelling() {
        for name in [
            "to",
            "TO",
            "email",
            "E-mail",
            "E-Mail",
            "e_mail",
            "EMAIL",
            "E mail",
            "E-mail Address",
            "Email Address",
            "email_address",
            "EmailAddress",
            "EMAIL-ADDRESS",
            "Primary Email",
            "E-mail 1 - Value",
            "Email 1",
            "email1",
            "Email Address 1",
            "E-Mail-Adresse",
            "E-Mail-Adresse 1",
            "E-MAILADRES",
            "Adres e-mail",
            "ADRES E-MAIL",
            "Adresse e-mail",
            "Correo electrónico",
            "CORREO ELECTRONICO",
            "Correo electro\u{301}nico",
            "e-posta",
            "E-POSTA ADRESİ",
            "電子メール アドレス",
            "電子メールアドレス",
            "メールアト\u{3099}レス",
            "Ｅメール",
            "Электронная почта",
            "Эл. почта",
            "邮箱",
            "이메일 주소",
            "דוא״ל",
            "mail",
            "recipient",
            "user_email",
            "billing_email",
            "Email (billing)",
            "Email*",
            "Email:",
            "Email Address [Required]",
            "PrimarySmtpAddress",
        ] {
            assert_eq!(find(&names(&["id", name, "name"])), Ok(1), "{name}");
        }
    }

    #[test]
    fn other_columns_are_no_address_columns() {
        for name in [
            "",
            "name",
            "address",
            "E-mail 2 Address",
            "Email 2",
            "E-mail 2 - Value",
            "E-mail 1 - Type",
            "E-mail Display Name",
            "Secondary Email",
            "Email Opt Out",
            "Email Status",
            "from",
            "From Email Address",
            "emailed",
            "email;",
            "to,email",
            "email|name",
            "tomorrow",
            "1",
            "@",
        ] {
            assert_eq!(find(&names(&["id", name])), Err(AddressColumnProblem::Missing), "{name}");
            assert_eq!(find(&names(&[name, "Email"])), Ok(1), "{name}");
        }
    }

    #[test]
    fn several_candidates_are_ambiguous() {
        for (header, at) in [
            (&["Email", "name", "Work Email"][..], vec![0, 2]),
            (&["to", "email"], vec![0, 1]),
            (&["Email", "E-mail 1"], vec![0, 1]),
            (&["email", "email"], vec![0, 1]),
        ] {
            assert_eq!(find(&names(header)), Err(AddressColumnProblem::Ambiguous(at)), "{header:?}");
        }
    }

    #[test]
    fn a_named_column_is_found_in_its_spelling_first() {
        let header = names(&["Email", "e-mail", "Work Email", "Contact, Main", "work email"]);
        for (wanted, expected) in [
            ("Email", Ok(0)),
            (" e-mail ", Ok(1)),
            ("work email", Ok(4)),
            ("CONTACT,MAIN", Ok(3)),
            ("EMAIL", Err(AddressColumnProblem::Ambiguous(vec![0, 1]))),
            ("WORK_EMAIL", Err(AddressColumnProblem::Ambiguous(vec![2, 4]))),
            ("mail", Err(AddressColumnProblem::Missing)),
            ("", Err(AddressColumnProblem::Missing)),
            ("-", Err(AddressColumnProblem::Missing)),
        ] {
            assert_eq!(find_named(&header, wanted), expected, "{wanted:?}");
        }
    }

    /// Every name is listed once and finds its column.
    #[test]
    fn the_table_is_consistent() {
        let mut known: Vec<String> = NAMES.iter().copied().flatten().map(|name| folded(name)).collect();
        assert!(known.iter().all(|name| !name.is_empty() && !name.chars().any(|c| c.is_ascii_digit())));
        let count = known.len();
        known.sort();
        let twice: Vec<&String> = known.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| &pair[0]).collect();
        assert!(twice.is_empty(), "{twice:?} of {count}");
    }
}
