//! `runner data`: what the model will see, and how fast it gets it.

mod histogram;
mod page;
mod sheet;
mod speed;

use std::path::{Path, PathBuf};

use crate::cli::compose::{Composed, Request};
use crate::data::{DataContext, DataFacts, DataModule, Loader, Split};
use crate::error::{Error, Result};
use crate::plan::Plan;
use crate::registry::{Build, Registry};
use crate::run::{RunDir, start_logging};
use histogram::{Classes, Sizes};
use sheet::Sheet;

/// The options that are no overrides of the config.
const OPTIONS: &[&str] = &["split", "samples", "epoch", "epochs", "out"];

/// The command.
///
/// # Errors
/// When the data cannot be set up; an option that makes no sense.
pub fn data(request: &Request, registry: &Registry) -> Result<i32> {
    let options = Options::of(request)?;
    let composed = request.without(OPTIONS).compose()?;
    match request.words.first().map(String::as_str) {
        None | Some("look") => look(&composed, registry, &options),
        Some("speed") => speed::speed(&Ready::new(&composed, registry)?, &options),
        Some(other) => Err(Error::request(format!("`runner data` has no `{other}`"))
            .help("runner data data=… looks at the data; runner data speed data=… times the loader")),
    }
}

/// What was asked for beside the config.
struct Options {
    split: Split,
    samples: usize,
    epoch: u64,
    epochs: u64,
    out: Option<PathBuf>,
    json: bool,
}

impl Options {
    fn of(request: &Request) -> Result<Self> {
        let number = |name: &str, default: u64| match request.typed(name) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| Error::request(format!("{name} is a whole number, not `{text}`"))),
        };
        let split = match request.typed("split") {
            None | Some("train") => Split::Train,
            Some("val") => Split::Val,
            Some("test") => Split::Test,
            Some("predict") => Split::Predict,
            Some(other) => {
                return Err(
                    Error::request(format!("there is no split `{other}`")).help("split=train, val, test or predict")
                );
            }
        };
        Ok(Options {
            split,
            samples: number("samples", 64)?.clamp(1, 4096) as usize,
            epoch: number("epoch", 0)?,
            epochs: number("epochs", 2)?.max(1),
            out: request.out(),
            json: request.args.json,
        })
    }
}

/// Data that is set up.
pub(super) struct Ready {
    pub data: Box<dyn DataModule>,
    pub facts: DataFacts,
    folder: PathBuf,
}

impl Ready {
    /// Checks the config and sets the data up; nothing is created.
    pub fn new(composed: &Composed, registry: &Registry) -> Result<Self> {
        start_logging(None)?;
        let folder = composed.run_dir()?;
        let checked = Plan::check(&composed.resolve(&folder)?, registry)?;
        let mut data = Build::new(registry).build(&checked.plan.data)?;
        data.prepare()?;
        let seed = u64::from(checked.plan.settings.seed.unwrap_or_default());
        data.setup(&DataContext { seed, run_dir: None })?;
        let facts = data.facts();
        Ok(Ready { data, facts, folder })
    }

    /// The loader of a split that must be there.
    pub fn loader(&self, split: Split) -> Result<Loader> {
        self.data.loader(split)?.ok_or_else(|| Error::request(format!("the data has no {} split", split.name())))
    }

    /// A fresh folder, or the one that was asked for.
    fn claim(&self, out: Option<&Path>) -> Result<PathBuf> {
        match out {
            Some(path) => {
                std::fs::create_dir_all(path).map_err(|error| Error::io("make", path, error))?;
                Ok(path.to_owned())
            }
            None => Ok(RunDir::claim(&self.folder)?.path().to_owned()),
        }
    }
}

/// Everything that is shown, on the terminal and on the page.
struct Look {
    /// Name, samples, batches, batch size of each split.
    splits: Vec<(&'static str, usize, usize, usize)>,
    classes: Option<Classes>,
    sizes: Option<Sizes>,
    /// The shape of an input, or that of a batch where inputs differ.
    input: String,
    sheet: Option<Sheet>,
    split: &'static str,
}

fn look(composed: &Composed, registry: &Registry, options: &Options) -> Result<i32> {
    let ready = Ready::new(composed, registry)?;
    let loader = ready.loader(options.split)?;
    let mut splits = Vec::new();
    for split in [Split::Train, Split::Val, Split::Test] {
        if let Some(loader) = ready.data.loader(split)? {
            splits.push((split.name(), loader.dataset.len(), loader.batches(), loader.batch_size));
        }
    }
    let sizes = Sizes::of(loader.dataset.as_ref())?;
    let (sheet, input) = sheet::take(&loader, &ready.facts, options)?;
    let folder = ready.claim(options.out.as_deref())?;
    ready.data.record(&folder)?;
    let classes = Classes::read(&folder)?;
    let look = Look { splits, classes, sizes, input, sheet, split: options.split.name() };
    print(&look);
    if let Some(sheet) = &look.sheet {
        sheet.write(&folder.join("sheet.png"))?;
    }
    let page = folder.join("data.html");
    crate::run::write_atomic(&page, page::render(&look)?.as_bytes())?;
    let skipped = folder.join("data/skipped.csv");
    if skipped.is_file() {
        println!("left out: {}", super::run::shown(&skipped));
    }
    println!("{}", super::run::shown(&page));
    Ok(0)
}

fn print(look: &Look) {
    for (name, samples, batches, size) in &look.splits {
        println!("{name:6} {samples:>9} samples {batches:>7} batches of {size}");
    }
    println!("input  {}", look.input);
    if let Some(sizes) = &look.sizes {
        println!("\n{}", sizes.text());
    }
    if let Some(classes) = &look.classes {
        println!("\n{}", classes.text());
    }
    println!();
}
