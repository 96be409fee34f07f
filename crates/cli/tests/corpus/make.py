"""Writes CSV files as programs write them: python3 make.py FOLDER

Needs only the standard library. crates/cli/src/rows/csv/corpus.rs lists what each file holds.
"""

import csv
import io
import pathlib
import sqlite3
import sys

FOLDER = pathlib.Path(sys.argv[1])
PEOPLE = [
    ("zofia@example.org", "Zofia", "Żółć", "Łódź"),
    ("jurgen@example.org", "Jürgen \"Jott\"", "Müller", "Köln; Süd"),
    ("ipek@example.org", "İpek", "Ağaoğlu", "İzmir, Türkiye"),
    ("taro@example.org", "太郎", "山田", "東京\n千代田区"),
]
ASCII = [
    ("ann@example.org", "Ann", "Lee", "Leeds"),
    ("ben@example.org", "Ben", "Orr", "Derry, NI"),
]
BOM = "\ufeff"


def save(name, text, encoding="utf-8"):
    data = text if isinstance(text, bytes) else text.encode(encoding)
    (FOLDER / name).write_bytes(data)


def table(header, rows, **dialect):
    """Returns what Python's csv writes: Excel's rules, which most programs follow."""
    dialect.setdefault("lineterminator", "\r\n")
    out = io.StringIO()
    writer = csv.writer(out, **dialect)
    if header:
        writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue()


def people(*order, rows=PEOPLE):
    """Returns the rows with these fields: an index, or a text for every row."""
    return [[row[at] if isinstance(at, int) else at for at in order] for row in rows]


ALL = csv.QUOTE_ALL
EN = ["First Name", "Last Name", "E-mail Address", "City"]


def excel():
    rows = people(1, 2, 0, 3)
    for locale, delimiter, header in [
        ("en", ",", ["First name", "Last name", "Email", "City"]),
        ("pl", ";", ["Imię", "Nazwisko", "Adres e-mail", "Miasto"]),
        ("de", ";", ["Vorname", "Nachname", "E-Mail-Adresse", "Ort"]),
        ("fr", ";", ["Prénom", "Nom", "Adresse e-mail", "Ville"]),
        ("es", ";", ["Nombre", "Apellidos", "Correo electrónico", "Ciudad"]),
        ("tr", ";", ["Ad", "Soyad", "E-posta", "Şehir"]),
        ("ja", ",", ["名", "姓", "電子メール アドレス", "市区町村"]),
    ]:
        save(f"excel_{locale}_utf8.csv", BOM + table(header, rows, delimiter=delimiter))
        save(f"excel_{locale}_unicode.txt", BOM + table(header, rows, delimiter="\t"), "utf-16-le")
    # "CSV (delimited)" uses the code page of the system.
    for locale, encoding, row in [
        ("pl", "cp1250", ["zofia@example.pl", "Zofia", "Gąsior", "Świętochłowice"]),
        ("de", "cp1252", ["jurgen@example.de", "Jürgen", "Müller", "Großenhain"]),
        ("fr", "cp1252", ["helene@example.fr", "Hélène", "Lefèvre", "Besançon"]),
        ("tr", "cp1254", ["ipek@example.com.tr", "İpek", "Ağaoğlu", "Şişli"]),
        ("ja", "cp932", ["taro@example.jp", "太郎", "山田", "東京都千代田区"]),
    ]:
        save(f"excel_{locale}_ansi.csv", table(["email", "a", "b", "c"], [row], delimiter=";"), encoding)
    plain = people(1, 2, 0, 3, rows=ASCII)
    save("excel_mac_roman.csv", "email;name\rjurgen@example.de;Jürgen Müller\r", "mac_roman")
    save("excel_msdos.csv", "email;name;city\r\nzofia@example.pl;Zofia Gąsior;Kraków\r\n", "cp852")
    save("excel_ansi_ascii.csv", table(EN, plain, delimiter=";"))
    save("excel_mac_cr.csv", table(EN, plain, lineterminator="\r"))
    save("excel_sep.csv", BOM + "sep=;\r\n" + table(EN, rows, delimiter=";"))
    save("excel_sep_tab.csv", BOM + "sep=\t\r\n" + table(EN, rows, delimiter="\t"), "utf-16-le")
    save("excel_sep_resaved.csv", '"sep=,",,,\r\n' + table(EN, rows))
    save("excel_unicode_be.txt", BOM + table(EN, rows, delimiter="\t"), "utf-16-be")
    save("excel_utf16_no_mark.txt", table(EN, rows, delimiter="\t"), "utf-16-le")
    blank = [row + ["", ""] for row in people(1, 2, 0, 3)]
    blank[2:2] = [[""] * 6, [" "] * 6]
    save("excel_blank_rows.csv", BOM + table(EN + ["", ""], blank + [[""] * 6] * 3))
    # Old versions leave out empty cells at the end of a row.
    save("excel_short_rows.csv", "email,name,city\r\nann@example.org\r\nben@example.org,Ben,,,,\r\n")
    save("excel_text_numbers.csv", 'email;name;id\r\n="ann@example.org";="Ann";="00123"\r\n')
    save("excel_workbook.csv", b"PK\x03\x04\x14\x00\x06\x00\x08\x00")


def spreadsheets():
    header = ["First Name", "Last Name", "E-mail", "City"]
    rows = people(1, 2, 0, 3)
    save("libreoffice.csv", table(header, rows, lineterminator="\n"))
    save("libreoffice_quoted.csv", table(header, rows, lineterminator="\n", delimiter=";", quoting=ALL))
    save("libreoffice_tab.csv", table(header, rows, lineterminator="\n", delimiter="\t"))
    save("libreoffice_pipe.csv", table(header, rows, lineterminator="\n", delimiter="|"))
    save("libreoffice_colon.csv", table(header, rows, lineterminator="\n", delimiter=":"))
    save("libreoffice_utf16.csv", BOM + table(header, rows, lineterminator="\n"), "utf-16-le")
    latin2 = "email;name;city\npawel@example.pl;Paweł Gąsior;Świętochłowice\n"
    save("libreoffice_latin2.csv", latin2, "iso8859-2")
    save("numbers.csv", table(header, rows, lineterminator="\n"))
    save("google_sheets.csv", table(header, rows))
    forms = ["Sygnatura czasowa", "Adres e-mail", "Imię i nazwisko"]
    save("google_forms.csv", table(forms, people("2026/01/31 8:00:00 AM CET", 0, 1), quoting=ALL, lineterminator="\n"))


def address_books():
    outlook = ["Title", "First Name", "Last Name", "Home City", "E-mail Address", "E-mail Type", "E-mail Display Name"]
    outlook += ["E-mail 2 Address", "E-mail 2 Type", "E-mail 3 Address", "Notes"]
    rows = people("", 1, 2, 3, 0, "SMTP", 1, "other@example.org", "SMTP", "", "", rows=ASCII)
    save("outlook.csv", table(outlook, rows, quoting=ALL))
    rows = people("", 1, 2, 3, 0, "SMTP", 1, "", "", "", "")
    save("outlook_com.csv", BOM + table(outlook, rows))
    german = ["Anrede", "Vorname", "Nachname", "Ort", "E-Mail-Adresse", "E-Mail-Typ", "E-Mail: Angezeigter Name"]
    german += ["E-Mail 2: Adresse", "E-Mail 2: Typ"]
    save("outlook_de.csv", BOM + table(german, people("", 1, 2, 3, 0, "SMTP", 1, "x@example.org", ""), quoting=ALL))
    thunderbird = ["First Name", "Last Name", "Display Name", "Nickname", "Primary Email", "Secondary Email", "City"]
    save("thunderbird.csv", table(thunderbird, people(1, 2, 1, "", 0, "x@example.org", 3)))
    save("thunderbird.txt", table(thunderbird, people(1, 2, 1, "", 0, "", 3), delimiter="\t"))
    german = ["Vorname", "Nachname", "Anzeigename", "Primäre E-Mail-Adresse", "Sekundäre E-Mail-Adresse"]
    save("thunderbird_de.csv", table(german, people(1, 2, 1, 0, "")))
    new = ["First Name", "Middle Name", "Last Name", "Labels", "E-mail 1 - Label", "E-mail 1 - Value"]
    new += ["E-mail 2 - Label", "E-mail 2 - Value", "Phone 1 - Value"]
    rows = people(1, "", 2, "* myContacts", "* ", 0, "Work", "x@example.org", "")
    save("google_contacts.csv", table(new, rows, lineterminator="\n"))
    old = ["Name", "Given Name", "Family Name", "Group Membership", "E-mail 1 - Type", "E-mail 1 - Value", "Notes"]
    rows = people(1, 1, 2, "* My Contacts ::: Friends", "* Home", 0, "")
    save("google_contacts_old.csv", BOM + table(old, rows, delimiter=","), "utf-16-le")
    workspace = ["First Name [Required]", "Last Name [Required]", "Email Address [Required]", "Recovery Email"]
    save("google_workspace.csv", table(workspace, people(1, 2, 0, "x@example.org"), lineterminator="\n"))
    linkedin = 'Notes:\n"When exporting your connection data, some addresses are missing."\n\n'
    save("linkedin.csv", linkedin + table(["First Name", "Email Address"], people(1, 0), lineterminator="\n"))
    powershell = '#TYPE Selected.Microsoft.ActiveDirectory.Management.ADUser\r\n'
    directory = table(["GivenName", "Surname", "EmailAddress"], people(1, 2, 0, rows=ASCII), quoting=ALL)
    save("powershell.csv", powershell + directory)
    save("powershell_ad.csv", BOM + table(["displayName", "mail"], people(1, 0), quoting=ALL), "utf-16-le")


def services():
    save("mailchimp.csv", table(["Email Address", "First Name", "Last Name", "MEMBER_RATING"], people(0, 1, 2, "2"),
                                lineterminator="\n"))
    save("brevo.csv", BOM + table(["CONTACT ID", "EMAIL", "FIRSTNAME", "LASTNAME", "SMS"], people("7", 0, 1, 2, ""),
                                  delimiter=";", lineterminator="\n"))
    hubspot = ["Record ID", "First Name", "Last Name", "Email", "Email Domain", "Additional email addresses"]
    save("hubspot.csv", table(hubspot, people("1", 1, 2, 0, "example.org", ""), quoting=ALL, lineterminator="\n"))
    hubspot = ["Record ID", "First Name", "Last Name", "Email", "Work email"]
    save("hubspot_work.csv", table(hubspot, people("1", 1, 2, "x@example.org", 0), quoting=ALL, lineterminator="\n"))
    save("salesforce.csv", table(["First Name", "Last Name", "Title", "Account Name", "Email"],
                                 people(1, 2, "", "Acme, Inc.", 0), quoting=ALL, lineterminator="\n"))
    stripe = ["id", "Description", "Email", "Name", "Created (UTC)", "Email (metadata)"]
    save("stripe_customers.csv", table(stripe, people("cus_1", "", 0, 1, "2026-01-31 08:00", ""), lineterminator="\n"))
    stripe = ["id", "Amount", "Customer ID", "Customer Description", "Customer Email"]
    save("stripe_payments.csv", table(stripe, people("ch_1", "10,00", "cus_1", 1, 0), lineterminator="\n"))
    save("wordpress.csv", table(["ID", "user_login", "user_email", "display_name"], people("1", "x", 0, 1),
                                lineterminator="\n"))
    woo = ["Order Number", "Billing First Name", "Billing Last Name", "Billing Email", "Order Total"]
    save("woocommerce.csv", BOM + table(woo, people("17", 1, 2, 0, "9.99"), lineterminator="\n"))
    shopify = ["Customer ID", "First Name", "Last Name", "Email", "Accepts Email Marketing", "Tags"]
    save("shopify.csv", table(shopify, people("'7", 1, 2, 0, "yes", "a, b"), lineterminator="\n"))
    save("listmonk.csv", table(["uuid", "email", "name", "attributes", "status"],
                               people("6f", 0, 1, '{"city": "Köln", "tags": ["a", "b"]}', "enabled"),
                               lineterminator="\n"))
    save("moodle.csv", table(["username", "firstname", "lastname", "email"], people("u", 1, 2, 0), lineterminator="\n"))
    save("sendy.csv", table(None, people(1, 0), lineterminator="\n"))
    save("typeform.csv", table(["#", "What is your name?", "Kontakt", "Start Date"], people("1", 1, 0, ""),
                               lineterminator="\n"))


def mysql(text, quote):
    """Escapes as SELECT … INTO OUTFILE does by default."""
    for character in ["\\", "\n", "\t"] + ([quote] if quote else []):
        text = text.replace(character, "\\" + character)
    return quote + text + quote


def databases():
    rows = people(0, 1, 3, rows=ASCII)
    save("mysql_outfile.txt", "".join("\t".join(mysql(x, "") for x in row) + "\n" for row in rows))
    quoted = [["email", "name", "city"]] + people(0, 1, 3)
    save("mysql_outfile_quoted.csv", "".join(",".join(mysql(x, '"') for x in row) + "\n" for row in quoted))
    quoted = [["email", "name", "city"]] + rows
    lines = [",".join(mysql(x, '"') for x in row) for row in quoted]
    save("mysql_outfile_null.csv", "\n".join(lines) + '\n"cleo@example.org",\\N,\\N\n')
    lines = [["email", "name", "city"]] + people(0, 1, 3)
    save("mysql_outfile_tab.txt", "".join("\t".join(mysql(x, "") for x in row) + "\n" for row in lines))
    save("mysql_batch.txt", "email\tname\tcity\nann@example.org\tAnn\tNULL\nben@example.org\tBen\tDerry, NI\n")
    save("phpmyadmin.csv", table(["id", "email", "name"], people("1", 0, 1), quoting=ALL, lineterminator="\n"))
    header = ["email", "name", "city"]
    save("psql_copy.csv", table(header, people(0, 1, 3), lineterminator="\n"))
    save("psql_copy_quoted.csv", table(header, people(0, 1, 3), lineterminator="\n", delimiter=";", quoting=ALL))
    save("psql_copy_text.txt", "email\tname\tcity\nann@example.org\tAnn\t\\N\nben@example.org\tBen\tDerry, NI\n")
    save("psql_unaligned.txt", "email|name\nann@example.org|Ann\nben@example.org|Ben\n(2 rows)\n")
    database = sqlite3.connect(":memory:")
    database.execute("create table people (email, first, last, city)")
    database.executemany("insert into people values (?, ?, ?, ?)", PEOPLE)
    found = database.execute("select email, first, city from people")
    save("sqlite3.csv", table([column[0] for column in found.description], found))
    save("three_marks.csv", BOM * 3 + table(header, people(0, 1, 3), lineterminator="\n"))
    twice = table(header, people(0, 1, 3, rows=ASCII[:1])) + BOM + table(header, people(0, 1, 3, rows=ASCII[1:]))
    save("concatenated.csv", BOM + twice)


def statistics():
    def numbered(rows, **dialect):
        return table(None, [[str(at)] + row for at, row in enumerate(rows, 1)], lineterminator="\n", **dialect)

    header = ["email", "name", "city"]
    rows = people(0, 1, 3)
    text = csv.QUOTE_ALL
    save("r_write_csv.csv", '"","email","name","city"\n' + numbered(rows, quoting=text))
    save("r_write_csv2.csv", '"";"email";"name";"city"\n' + numbered(rows, quoting=text, delimiter=";"))
    save("r_write_table.txt", '"email"\t"name"\t"city"\n' + numbered(rows, quoting=text, delimiter="\t"))
    save("r_write_table_plain.txt", table(header, rows, quoting=text, delimiter="\t", lineterminator="\n"))
    save("pandas.csv", ",email,name,city\n" + numbered(rows))
    save("pandas_sig.csv", BOM + table(header, rows, delimiter=";", lineterminator="\n"))
    save("pandas_utf16.csv", table(header, rows, lineterminator="\n"), "utf-16")
    save("pandas_quoted.csv", table(header, rows, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\r\n"))
    escaped = "email,name,city\nann@example.org,Ann,Leeds\nben@example.org,Ben,Derry\\, NI\n"
    save("pandas_escaped.csv", escaped)
    save("pandas_escaped_quote.csv", table(header, rows, doublequote=False, escapechar="\\", lineterminator="\n"))
    save("hand_spaces.csv", 'email, name, city\n  ann@example.org , Ann , Leeds\nben@example.org, "Ben, Orr" , Derry\n')
    save("hand_open_quote.csv", 'email,name\nann@example.org,Ann\nben@example.org,"Ben\ncleo@example.org,Cleo\n')
    save("hand_stray_quote.csv", 'email,name\nann@example.org,"Ann" Lee\nben@example.org,Ben\n')


for write in [excel, spreadsheets, address_books, services, databases, statistics]:
    write()
