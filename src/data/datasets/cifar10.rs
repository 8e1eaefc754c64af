//! CIFAR-10, in its original files or as JPEG files.

use std::path::{Path, PathBuf};

use super::cifar_batches::{Batches, CIFAR10};
use super::common::file_module;
use super::folder::Folders;
use super::image_table::Missing;
use super::images::ImageModule;
use crate::data::decode::Decode;
use crate::data::transforms::Pipeline;
use crate::data::{DataModule, DataModuleKind};
use crate::error::Result;
use crate::prelude::*;

file_module! {
    /// CIFAR-10: 60,000 colour images of ten classes, 32x32 (Krizhevsky, 2009).
    ///
    /// Reads the original files, pickles (`cifar-10-batches-py`) or binary (`cifar-10-batches-bin`), in `root` or below
    /// it; or image files, `root/{train,test}/<class>/NNNN.jpg`, also in `root/images`, `root/cifar10` or
    /// `root/CIFAR-10-images`. The validation part comes out of the training images, stratified. Inputs are
    /// `[3, 32, 32]`.
    pub struct Cifar10 {
        /// The folder of the files.
        root: PathBuf,
        /// error, or skip original files that are not there.
        #[serde(default)]
        missing_files: Missing,
        /// Whether the published MD5 sums of the pickles are checked.
        #[serde(default)]
        integrity: bool,
    }
}

/// Mean and standard deviation of the training images' channels.
const MEAN: [f32; 3] = [0.4914, 0.4822, 0.4465];
const STD: [f32; 3] = [0.2470, 0.2435, 0.2616];

/// Where `train` is, if it is anywhere.
fn find(root: &Path) -> Option<PathBuf> {
    let places = ["", "images", "cifar10", "CIFAR-10-images", "cifar10/images"];
    places.iter().map(|place| root.join(place)).find(|folder| folder.join("train").is_dir())
}

impl Component for Cifar10 {
    type Kind = DataModuleKind;
    const TARGETS: &'static [&'static str] = &["runner.data.CIFAR10"];

    fn check(&self, cx: &mut Check) {
        self.check_common(cx);
        if find(&self.root).is_none() && Batches::find(&self.root, &CIFAR10).is_none() {
            let message = if self.root.is_dir() {
                format!("there are no files of CIFAR-10 in {}", self.root.display())
            } else {
                format!("there is no folder {}", self.root.display())
            };
            cx.problem("root", message).help = Some(
                "set data.root to the folder of cifar-10-batches-py, or of train/<class>/*.jpg and test/<class>/*.jpg"
                    .into(),
            );
        }
    }

    fn build(self, cx: &mut Build) -> Result<Box<dyn DataModule>> {
        let common = self.common(cx, || Pipeline::normalize(&MEAN, &STD))?;
        let options = self.file_options();
        if let Some(batches) = Batches::find(&self.root, &CIFAR10) {
            let source = batches.with(self.missing_files, self.integrity);
            return Ok(Box::new(ImageModule::new(source, common, options)));
        }
        let decode = Decode { max_pixels: self.max_image_pixels, ..Decode::default() };
        let source = Folders::plain(vec![find(&self.root).unwrap_or(self.root)], decode);
        Ok(Box::new(ImageModule::new(source, common, options)))
    }
}
