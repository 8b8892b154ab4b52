//! Which subtasks a run is about: `--only 1,2c,3`.

use crate::task::{self, Subtask};

/// The subtasks that a list names, in the assignment's order; all where there is no list. `2` stands for `2a`,
/// `2b` and `2c`.
///
/// # Errors
/// A sentence, where a name stands for nothing.
pub fn select(list: Option<&str>) -> Result<Vec<&'static Subtask>, String> {
    let all = task::subtasks();
    let Some(list) = list else { return Ok(all) };
    let names: Vec<_> = list.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    let stands_for = |name: &str, id: &str| {
        id == name || name.len() == 1 && id.strip_prefix(name).is_some_and(|rest| rest.len() == 1)
    };
    if let Some(name) = names.iter().find(|name| !all.iter().any(|subtask| stands_for(name, subtask.id))) {
        let ids = all.iter().map(|subtask| subtask.id).collect::<Vec<_>>().join(" ");
        return Err(format!(
            "there is no subtask {name:?}: choose from {ids}, or a task such as 2 for all of it"
        ));
    }
    if names.is_empty() {
        return Err("no subtask is named".to_owned());
    }
    Ok(all.into_iter().filter(|subtask| names.iter().any(|name| stands_for(name, subtask.id))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_stands_for_nothing_is_an_error_that_lists_what_there_is() {
        let error = select(Some("layout,9z")).unwrap_err();
        assert!(error.contains("\"9z\"") && error.contains("layout"), "{error}");
        assert!(select(Some(" , ")).is_err());
    }

    #[test]
    fn without_a_list_everything_is_graded() {
        assert_eq!(select(None).unwrap().len(), task::subtasks().len());
    }
}
