//! `runner report DIR…`: makes the pages of runs again.

use std::path::Path;

use crate::cli::compose::Request;
use crate::error::{Error, Result};
use crate::report;
use crate::run::find_runs;

/// Makes `report.html` of every run in the given folders; gives their paths, a line each.
///
/// # Errors
/// A folder without runs.
pub fn report(request: &Request) -> Result<String> {
    let mut pages = Vec::new();
    for folder in request.words.iter().chain(&request.overrides) {
        let runs = find_runs(Path::new(folder));
        if runs.is_empty() {
            return Err(Error::request(format!("{folder} is not a run folder, and there is none below it"))
                .help("give a folder such as outputs/train/2026-01-31/12-00-00; `runner runs` lists them"));
        }
        for run in runs {
            pages.push(report::write(&run.folder)?.display().to_string());
        }
    }
    Ok(pages.join("\n"))
}
