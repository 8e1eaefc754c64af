//! Data modules from the text of a config, for tests.

use std::path::Path;

use crate::config::{KeyPath, yaml};
use crate::data::{Batch, DataContext, DataModule, DataModuleKind, Split};
use crate::error::Result;
use crate::registry::KindInfo;
use crate::registry::{Build, Registry, Slot, SlotRef};

/// A data module that is checked, built and set up.
pub fn module(text: &str) -> Result<Box<dyn DataModule>> {
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let node = yaml::read(file.path())?;
    let mut registry = Registry::new();
    crate::data::register(&mut registry);
    let slot = SlotRef { node: node.clone(), path: KeyPath::root(), kind: KindInfo::of::<DataModuleKind>() };
    let (problems, _) = registry.check(&slot);
    if !problems.is_empty() {
        return Err(problems.into());
    }
    let slot = Slot::<DataModuleKind>::new(node, KeyPath::root());
    let mut module = Build::new(&registry).build(&slot)?;
    module.prepare()?;
    module.setup(&DataContext { seed: 1, run_dir: None })?;
    Ok(module)
}

/// What is wrong with a data module.
pub fn problem(text: &str) -> String {
    module(text).err().map(|error| error.to_string()).unwrap_or_default()
}

/// The first batch of a split.
pub fn batch(module: &dyn DataModule, split: Split) -> Batch {
    module.loader(split).unwrap().unwrap().epoch(0, 0).next().unwrap().unwrap()
}

/// How many samples each part has.
pub fn sizes(module: &dyn DataModule) -> [usize; 3] {
    [Split::Train, Split::Val, Split::Test]
        .map(|split| module.loader(split).unwrap().map_or(0, |loader| loader.dataset.len()))
}

/// Writes a gray image.
pub fn gray(path: &Path, width: u32, height: u32, value: u8) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    image::GrayImage::from_pixel(width, height, image::Luma([value])).save(path).unwrap();
}
