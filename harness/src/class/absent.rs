//! Those in Moodle's worksheet of whom the export has nothing. They get no mark of themselves, and
//! are named, so that nobody is lost between the two files.

use super::entry::{Kind, Person};
use super::moodle::worksheet::Worksheet;
use super::roster::{Member, Roster};

/// Why somebody has no mark who handed in nothing.
pub const NOTHING: &str = "nothing was handed in";

/// The same of somebody who handed in something by the worksheet.
pub const MISSING: &str =
    "the worksheet has a time of submission, but the export has no file: download both again";

/// The members of the worksheet that are none of the class's ids. `folder` is the folder of another
/// participant in Moodle's zip, for theirs in the feedback zip.
pub fn people(ids: &[&str], sheet: &Worksheet, folder: Option<(&str, &str)>) -> Vec<Member> {
    let others = sheet.participants().filter(|(_, number)| !ids.contains(&number.as_str()));
    let member = |(row, number): (usize, String)| {
        let name = sheet.name(row);
        let problem = if sheet.submitted(row).is_some() { MISSING } else { NOTHING };
        Member {
            folder: folder.and_then(|(id, folder)| folder_like(id, folder, &number, &name)),
            people: vec![Person { name, number: number.clone(), email: String::new() }],
            id: number,
            submitted: None,
            handed_in: None,
            problems: vec![problem.to_owned()],
        }
    };
    others.map(member).collect()
}

/// Adds them to a class from Moodle. Whoever handed in no file, and so has no folder in Moodle's
/// zip, gets one for the feedback zip.
pub fn join(roster: &mut Roster, sheet: Option<&Worksheet>) {
    if roster.kind != Kind::Moodle {
        return;
    }
    let ids: Vec<&str> = roster.entries.iter().map(|member| member.id.as_str()).collect();
    let folder = roster.entries.iter().find_map(|one| Some((one.id.clone(), one.folder.clone()?)));
    let folder = folder.as_ref().map(|(id, folder)| (id.as_str(), folder.as_str()));
    let absent = sheet.map(|sheet| people(&ids, sheet, folder));
    for member in roster.entries.iter_mut().filter(|member| member.folder.is_none()) {
        let name = member.names();
        member.folder = folder.and_then(|(id, folder)| folder_like(id, folder, &member.id, &name));
    }
    roster.entries.extend(absent.unwrap_or_default());
    roster.entries.sort_by(|a, b| a.id.cmp(&b.id));
}

/// A sentence for each reason.
pub fn said(absent: &[Member]) -> Vec<String> {
    let of = |problem: &str| -> Vec<String> {
        let those = absent.iter().filter(|member| member.problems.iter().any(|one| one == problem));
        those.map(|member| format!("{} {}", member.id, member.names()).trim_end().to_owned()).collect()
    };
    let groups = [NOTHING, MISSING].map(|problem| (problem, of(problem)));
    let groups = groups.into_iter().filter(|(_, people)| !people.is_empty());
    groups.map(|(problem, people)| format!("{problem}: {}", people.join(", "))).collect()
}

/// The folder of a participant, made like that of another one: Moodle's versions differ in what
/// follows the number. A feedback file is found by the number, whatever the name is.
fn folder_like(id: &str, folder: &str, number: &str, name: &str) -> Option<String> {
    let (_, end) = folder.split_once(&format!("_{id}_"))?;
    let name = name.replace(['_', '/'], " ");
    Some(format!("{name}_{number}_{end}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHEET: &str = "Identifier,Full name,Grade,Last modified (submission),Last modified (grade)\n\
        Participant 7,Jane Doe,,-,-\n\
        Participant 8,\"Roe/Do, J\",,-,-\n\
        Participant 9,Late,,\"Monday, 2 February 2026, 9:00 PM\",-\n";

    #[test]
    fn whoever_is_in_the_worksheet_only_is_named_with_the_reason() {
        let sheet = Worksheet::of(SHEET.to_owned(), &[]).unwrap();
        let absent = people(&["7"], &sheet, Some(("7", "Jane Doe_7_assignsubmission_file_/")));
        let folders: Vec<_> = absent.iter().map(|one| one.folder.as_deref().unwrap()).collect();
        assert_eq!(folders, ["Roe Do, J_8_assignsubmission_file_/", "Late_9_assignsubmission_file_/"]);
        let said = said(&absent);
        assert!(said[0].contains("nothing was handed in: 8 Roe/Do, J"), "{said:?}");
        assert!(said[1].contains("download both again: 9 Late"), "{said:?}");
        assert!(said.len() == 2 && people(&["7", "8", "9"], &sheet, None).is_empty());
    }
}
