//! What a test or validation pass of a run leaves for the run's page: `evaluation/<split>/` with confusion matrices,
//! numbers by class and the worst predictions. Loggers that show images get the matrix and the worst predictions too.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use super::confusion::Matrix;
use super::pictures;
use super::scores::Counts as Scores;
use super::{plots, write_confused};
use crate::data::{Dataset, Split};
use crate::error::{Error, Result};
use crate::report::evaluation::{Confusion, Worst, WorstSample, folder};
use crate::train::{At, Counts, Image, Judged, LevelOutcomes, Loggers, Outcomes};

/// A matrix of more classes is told by its most frequent mistakes alone: it grows with the square.
const MOST_CLASSES: usize = 500;
/// A figure of more classes shows nothing.
const MOST_DRAWN: usize = 200;
/// How many of the most frequent mistakes are told.
const PAIRS: usize = 50;

/// The pass that is told of.
pub struct Pass<'a> {
    /// The run's folder.
    pub run: &'a Path,
    /// Which split.
    pub split: Split,
    /// Its samples.
    pub dataset: &'a dyn Dataset,
    /// The seed that they are read with.
    pub seed: u64,
    /// Who sees images.
    pub loggers: &'a Loggers,
    /// When.
    pub at: At,
}

impl Pass<'_> {
    /// Writes what the samples were taken for.
    ///
    /// # Errors
    /// When a file cannot be written. A sample without a picture has none on the page.
    pub fn write(&self, outcomes: &Outcomes) -> Result<()> {
        let folder = folder(self.run, self.split.name());
        std::fs::create_dir_all(&folder).map_err(|error| Error::io("create", &folder, error))?;
        for level in &outcomes.levels {
            self.level(&folder, level)?;
        }
        self.worst(&folder, &outcomes.worst)
    }

    fn level(&self, folder: &Path, level: &LevelOutcomes) -> Result<()> {
        let ending = if level.name.is_empty() { String::new() } else { format!("_{}", level.name) };
        let scores =
            level.by_class().into_iter().enumerate().map(|(class, [hits, false_alarms, misses])| {
                (level.class(class), Scores { hits, false_alarms, misses })
            });
        let scores: Vec<(String, Scores)> = scores.collect();
        if !self.loggers.is_empty() && scores.len() <= MOST_DRAWN {
            self.loggers.text(self.at, self.name(&format!("per_class{ending}")), markdown(&scores));
        }
        super::write_classes(&folder.join(format!("per_class{ending}.csv")), scores.into_iter())?;
        let Counts::Pairs(pairs) = &level.counts else { return Ok(()) };
        write_confused(&folder.join(format!("confused_pairs{ending}.csv")), confused(level, pairs), PAIRS)?;
        let used: BTreeSet<usize> = pairs.keys().flat_map(|(truth, prediction)| [*truth, *prediction]).collect();
        if used.len() > MOST_CLASSES {
            return Ok(());
        }
        let matrix = Matrix::of_pairs(&level.classes, pairs.iter().map(|((truth, taken), n)| (*truth, *taken, *n)));
        let confusion = Confusion { classes: matrix.rows.clone(), matrix: matrix.values.clone() };
        confusion.write(folder, &ending)?;
        if !self.loggers.is_empty() && matrix.rows.len() <= MOST_DRAWN {
            let of = if level.name.is_empty() { String::new() } else { format!(": {}", level.name) };
            let title = format!("Confusion matrix of {}{of}", self.split.name());
            let figure = plots::confusion(&matrix, &title, false).pixels();
            self.show(&format!("confusion_matrix{ending}"), figure);
        }
        Ok(())
    }

    fn worst(&self, folder: &Path, worst: &[Judged]) -> Result<()> {
        // Of an earlier pass.
        let _ = std::fs::remove_dir_all(folder.join("worst"));
        let mut samples = Vec::with_capacity(worst.len());
        let mut shown = Vec::new();
        for (rank, judged) in worst.iter().enumerate() {
            let picture = pictures::of(self.dataset, judged.index, self.seed);
            let mut sample = sample(judged, self.dataset.id(judged.index));
            if let Some(picture) = picture {
                let (bytes, kind) = pictures::encoded(&picture)?;
                let name = format!("worst/{rank:02}.{kind}");
                crate::run::write_derived(&folder.join(&name), &bytes)?;
                sample.image = Some(name);
                shown.push((picture, sample.clone()));
            }
            samples.push(sample);
        }
        if !self.loggers.is_empty() && !shown.is_empty() {
            self.show("worst_predictions", pictures::sheet(&shown));
        }
        Worst { samples }.write(folder)
    }

    fn show(&self, name: &str, picture: image::RgbImage) {
        let (width, height) = picture.dimensions();
        let image = Image { width, height, rgb: picture.into_raw() };
        self.loggers.image(self.at, self.name(name), image);
    }

    fn name(&self, what: &str) -> String {
        format!("{}/{what}", self.split.name())
    }
}

/// The numbers by class as a table that TensorBoard shows.
fn markdown(scores: &[(String, Scores)]) -> String {
    let mut text = "| class | samples | precision | recall | F1 |\n|---|--:|--:|--:|--:|\n".to_owned();
    for (name, scores) in scores {
        let name = name.replace('|', "\\|");
        let [precision, recall, f1] = [scores.precision(), scores.recall(), scores.f1()];
        text += &format!("| {name} | {} | {precision:.4} | {recall:.4} | {f1:.4} |\n", scores.support());
    }
    text
}

/// The mistakes, the most frequent first: truth, prediction, how often, and as a share of the truth's samples.
fn confused(level: &LevelOutcomes, pairs: &HashMap<(usize, usize), u64>) -> Vec<(String, String, f64, f64)> {
    let classes = level.by_class();
    let mut wrong: Vec<_> = pairs.iter().filter(|((truth, prediction), _)| truth != prediction).collect();
    wrong.sort_by_key(|(pair, count)| (std::cmp::Reverse(**count), **pair));
    let told = wrong.into_iter().take(PAIRS).map(|((truth, prediction), count)| {
        let [hits, _, misses] = classes[*truth];
        let share = *count as f64 / (hits + misses).max(1) as f64;
        (level.class(*truth), level.class(*prediction), *count as f64, share)
    });
    told.collect()
}

fn sample(judged: &Judged, id: String) -> WorstSample {
    let words = |classes: &[String]| if classes.is_empty() { "nothing".to_owned() } else { classes.join(", ") };
    WorstSample {
        id,
        truth: words(&judged.truth),
        prediction: words(&judged.prediction),
        confidence: judged.confidence,
        loss: Some(judged.loss),
        image: None,
    }
}
