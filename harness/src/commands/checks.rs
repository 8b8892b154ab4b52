//! `harness checks` and `harness explain`: what is checked, before anything is graded.

use harness::explain;
use harness::rubric::Rubric;

use super::{Failure, Status};
use crate::cli::{Checks, Explain, ListFormat};

/// Lists all checks.
pub fn list(arguments: &Checks) -> Result<Status, Failure> {
    let rubric = Rubric::load(arguments.rubric.as_deref()).map_err(Failure::unreadable)?;
    let list = explain::list(&rubric);
    let text = match arguments.format {
        ListFormat::Text => explain::table(&list),
        ListFormat::Json => serde_json::to_string_pretty(&list).map_err(Failure::infrastructure)? + "\n",
    };
    harness::say!("{}", text.trim_end());
    super::printed()?;
    Ok(Status::Good)
}

/// Explains one check.
pub fn explain(arguments: &Explain) -> Result<Status, Failure> {
    let rubric = Rubric::load(arguments.rubric.as_deref()).map_err(Failure::unreadable)?;
    let Some(text) = explain::explain(&arguments.check, &rubric) else {
        return Err(Failure::unreadable(format!(
            "there is no check {:?}; `harness checks` lists them",
            arguments.check
        )));
    };
    harness::say!("{}", text.trim_end());
    super::printed()?;
    Ok(Status::Good)
}
