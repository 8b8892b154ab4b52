//! Selects the subtasks to grade from a list such as `--only 1,2c,3`.

use crate::task::{self, Subtask};

/// Returns the subtasks in `list`, in the assignment's order; all subtasks if there is no list. `2`
/// selects `2a`, `2b` and `2c`.
///
/// # Errors
/// If a name matches no subtask. The error is a sentence.
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
            "--only: there is no subtask {name:?}; choose from {ids}, or name a task such as 2 for all its subtasks"
        ));
    }
    if names.is_empty() {
        return Err("--only names no subtask; give a list such as 1,2c,3".to_owned());
    }
    Ok(all.into_iter().filter(|subtask| names.iter().any(|name| stands_for(name, subtask.id))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_is_an_error_that_lists_the_subtasks() {
        let error = select(Some("layout,9z")).unwrap_err();
        assert!(error.contains("\"9z\"") && error.contains("layout"), "{error}");
        assert!(select(Some(" , ")).is_err());
    }

    #[test]
    fn without_a_list_everything_is_graded() {
        assert_eq!(select(None).unwrap().len(), task::subtasks().len());
    }
}
