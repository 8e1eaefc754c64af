//! `runner report DIR…`: makes the pages of runs again, and that of a sweep, also while it runs; with `images=true` also
//! a picture of each metric's curve.

use std::path::Path;

use crate::cli::best::aims_of;
use crate::cli::compose::Request;
use crate::cli::evaluation::curves;
use crate::error::{Error, Result};
use crate::report;
use crate::run::find_runs;
use crate::sweep::{self, Journal, replay};

/// Makes `report.html` of every run in the given folders; gives their paths, a line each. A sweep's own page comes
/// first. With `images=true` every run also gets the curves of its metrics as pictures.
///
/// # Errors
/// A folder without runs.
pub fn report(request: &Request) -> Result<String> {
    let mut pages = Vec::new();
    let images = match request.typed("images") {
        None | Some("false") => false,
        Some("true") => true,
        Some(other) => return Err(Error::request(format!("images is true or false, not `{other}`"))),
    };
    for folder in request.words.iter().chain(&request.overrides).filter(|word| !word.starts_with("images=")) {
        let path = Path::new(folder);
        let is_sweep = path.join(Journal::NAME).is_file();
        if is_sweep {
            let records = replay(&Journal::read(path)?)?;
            sweep::report::write(path, &records, &aims_of(path)?)?;
            pages.push(path.join(sweep::report::NAME).display().to_string());
        }
        let runs = find_runs(path);
        if runs.is_empty() && !is_sweep {
            return Err(Error::request(format!("{folder} is not a run folder, and there is none below it"))
                .help("give a folder such as outputs/train/2026-01-31/12-00-00; `runner runs` lists them"));
        }
        for run in runs {
            pages.push(report::write(&run.folder)?.display().to_string());
            let drawn = if images { curves::draw(&run.folder)? } else { None };
            pages.extend(drawn.map(|folder| folder.display().to_string()));
        }
    }
    Ok(pages.join("\n"))
}
